//! The settings that every process has.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::Args;

/// The settings that every process must provide.
pub trait Config: Args {
    /// The gRPC service for health checks. No other program serves it.
    const SERVICE: &'static str;

    /// The address to listen on.
    fn address(&self) -> SocketAddr;

    /// The settings of telemetry.
    fn telemetry(&self) -> telemetry::Settings;

    /// The time between the request to stop and the drain.
    fn lame_duck(&self) -> Duration {
        Duration::ZERO
    }
}

/// The listen address of a process; `PORT` is the default port. The subcommand `health` takes both too.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct Listen<const PORT: u16> {
    /// IP address to listen on
    #[arg(
        long,
        env = "LISTEN_ADDRESS",
        value_name = "IP",
        default_value = "127.0.0.1",
        global = true
    )]
    pub listen_address: IpAddr,

    /// TCP port to listen on
    // `default_value_t` would store the text in a static, which all values of `PORT` share.
    #[arg(long, env = "PORT", value_name = "PORT", default_value = PORT.to_string(), global = true,
        value_parser = port)]
    pub port: u16,
}

impl<const PORT: u16> Listen<PORT> {
    /// The address and the port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (self.listen_address, self.port).into()
    }
}

impl<const PORT: u16> From<SocketAddr> for Listen<PORT> {
    fn from(address: SocketAddr) -> Self {
        Self {
            listen_address: address.ip(),
            port: address.port(),
        }
    }
}

/// Parses a port. Clap's own parser says only "invalid digit found in string".
fn port(text: &str) -> Result<u16, &'static str> {
    let port = text.parse();
    port.or(Err("a port is a number from 0 to 65535"))
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn default<const PORT: u16>() -> SocketAddr {
        let command = Listen::<PORT>::augment_args(Command::new("x"));
        let command = command.mut_args(|argument| argument.env(None::<&str>));
        let matches = command.try_get_matches_from(["x"]).unwrap();
        let listen = Listen::<PORT>::from_arg_matches(&matches).unwrap();
        listen.address()
    }

    #[test]
    fn a_wrong_port_is_refused_with_the_right_range() {
        for wrong in ["65536", "-1", "eighty", ""] {
            let error = port(wrong).unwrap_err();
            assert_eq!(error, "a port is a number from 0 to 65535", "{wrong}");
        }
        assert_eq!(["0", "65535"].map(port), [Ok(0), Ok(65535)]);
    }

    #[test]
    fn each_process_has_its_own_default_port() {
        assert_eq!(default::<8080>().to_string(), "127.0.0.1:8080");
        assert_eq!(default::<8081>().to_string(), "127.0.0.1:8081");
    }
}
