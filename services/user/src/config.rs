//! The settings of the user service.

use std::{net::SocketAddr, thread::available_parallelism, time::Duration};

use chassis::{LameDuck, Listen};
use clap::Args;

/// The user service's settings. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 user --data /var/lib/otelix --kafka-brokers 127.0.0.1:9092\n\
\x20 user health --wait 5s")]
pub struct Config {
    /// The address and port of the server.
    #[command(flatten)]
    pub listen: Listen<8080>,

    /// The time before a drain.
    #[command(flatten)]
    pub stop: LameDuck,

    /// The location of the database.
    #[command(flatten)]
    pub database: database::Settings,

    /// The cost of a password hash, and limits on hashing.
    #[command(flatten)]
    pub hashing: Hashing,

    /// The broker of the events.
    #[command(flatten)]
    pub events: events::Settings,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

/// The cost of a password hash, and limits on hashing. The algorithm is Argon2id (RFC 9106). The
/// defaults are parameters that OWASP's password storage cheat sheet recommends.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Password hashing")]
pub struct Hashing {
    /// Memory of one hash in KiB; hashes with other costs stay valid, and are replaced at the next
    /// sign-in
    #[arg(long, env = "HASH_MEMORY_KIB", value_name = "KIB", default_value_t = 19_456,
        value_parser = clap::value_parser!(u32).range(8..=4_194_304))]
    pub hash_memory: u32,

    /// Passes over the memory for one hash
    #[arg(long, env = "HASH_ITERATIONS", value_name = "COUNT", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub hash_iterations: u32,

    /// Hashes computed at the same time; 0 means one for each processor
    #[arg(long, env = "HASH_CONCURRENCY", value_name = "COUNT", default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub hash_concurrency: u16,

    /// Passwords that may wait to be hashed, with one such limit for sign-ins and one for
    /// registrations; further ones are refused
    #[arg(long, env = "HASH_QUEUE", value_name = "COUNT", default_value_t = 256)]
    pub hash_queue: u16,
}

impl Hashing {
    /// The number of hashes that are computed at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        match self.hash_concurrency {
            0 => available_parallelism().map_or(1, usize::from),
            count => usize::from(count),
        }
    }
}

impl chassis::Config for Config {
    const SERVICE: &'static str = proto::user::v1::user_service_server::SERVICE_NAME;

    fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    fn telemetry(&self) -> telemetry::Settings {
        self.telemetry.clone()
    }

    fn lame_duck(&self) -> Duration {
        self.stop.lame_duck
    }
}
