//! The settings of the process, and of the command `startup`.

use std::{net::SocketAddr, time::Duration};

use chassis::Listen;
use clap::{Args, Parser};

/// The settings of vitals. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 vitals --supervisor-port 8099\n\
\x20 vitals startup --within 2m")]
pub struct Config {
    /// The address and port of the health checks.
    #[command(flatten)]
    pub(crate) listen: Listen<8085>,

    /// The supervisor to query.
    #[command(flatten)]
    pub(crate) supervisor: Supervisor,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Settings,
}

/// The address of the supervisor. Only the port can be set: vitals looks up its processes by
/// process id, so it must be on this machine.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Supervisor {
    /// Port of the supervisor's API on 127.0.0.1
    #[arg(long, env = "SUPERVISOR_PORT", value_name = "PORT", default_value_t = 8099,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) supervisor_port: u16,
}

/// Waits until all processes are ready, and prints the startup time of each; exits with 0 if all
/// are ready in time, else with 1
///
/// A process with a probe is ready if the probe succeeds. A process without one is ready when it
/// has ended with exit code 0.
#[derive(Clone, Debug, Parser)]
#[command(name = "startup", bin_name = "vitals startup")]
pub struct Startup {
    /// Time for all processes to become ready, such as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = humantime::parse_duration)]
    pub(crate) within: Duration,

    /// The supervisor to query.
    #[command(flatten)]
    pub(crate) supervisor: Supervisor,
}

impl chassis::Config for Config {
    const SERVICE: &'static str = env!("CARGO_PKG_NAME");

    fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    fn telemetry(&self) -> telemetry::Settings {
        self.telemetry.clone()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_is_valid() {
        Startup::command().debug_assert();
    }

    #[test]
    fn all_settings_have_defaults() {
        let startup = Startup::try_parse_from(["startup"]).unwrap();
        assert_eq!(startup.within, Duration::from_secs(120));
        assert_eq!(startup.supervisor.supervisor_port, 8099);
    }

    #[test]
    fn invalid_settings_are_refused() {
        for bad in ["--within=120", "--within=-1s", "--supervisor-port=0"] {
            assert!(Startup::try_parse_from(["startup", bad]).is_err(), "{bad}");
        }
    }
}
