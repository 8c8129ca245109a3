//! The settings of the process, and of the command.

use std::{net::SocketAddr, time::Duration};

use chassis::Listen;
use clap::{Args, Parser};

/// What the process can be told. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 vitals --supervisor-port 8099\n\
\x20 vitals startup --within 2m")]
pub struct Config {
    /// Where the process listens.
    #[command(flatten)]
    pub(crate) listen: Listen<8085>,

    /// Who is asked.
    #[command(flatten)]
    pub(crate) supervisor: Supervisor,

    /// How the process reports on itself, and on the others.
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Settings,
}

/// Where the supervisor is. Only its port: the processes it tells of are looked up by their ids,
/// which mean something on this machine alone.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Supervisor {
    /// Port of the supervisor's API on 127.0.0.1
    #[arg(long, env = "SUPERVISOR_PORT", value_name = "PORT", default_value_t = 8099,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) supervisor_port: u16,
}

/// Waits until everything is ready, and says how long each took: exits with 0 if so, else with 1
///
/// Ready is a process whose probe says so, and one without a probe when it has ended well.
#[derive(Clone, Debug, Parser)]
#[command(name = "startup", bin_name = "vitals startup")]
pub struct Startup {
    /// How long it may take, such as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = humantime::parse_duration)]
    pub(crate) within: Duration,

    /// Who is asked.
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
    fn the_command_is_sound() {
        Startup::command().debug_assert();
    }

    #[test]
    fn nothing_has_to_be_set() {
        let startup = Startup::try_parse_from(["startup"]).unwrap();
        assert_eq!(startup.within, Duration::from_secs(120));
        assert_eq!(startup.supervisor.supervisor_port, 8099);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for bad in ["--within=120", "--within=-1s", "--supervisor-port=0"] {
            assert!(Startup::try_parse_from(["startup", bad]).is_err(), "{bad}");
        }
    }
}
