//! The settings of the load generator.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU64},
    time::Duration,
};

use clap::Args;

use crate::{journey::Mix, schedule::Shape, target::Targets};

/// The load generator's settings. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 loadgen --rate 20 --duration 5m\n\
\x20 loadgen --target grpc://127.0.0.1:8081 --mix me=1 --bad 0\n\
\x20 loadgen --duration forever --listen 127.0.0.1:8084")]
pub struct Config {
    /// Target: `http://HOST:PORT` for the forms of the frontend, `grpc://HOST:PORT` for the gRPC
    /// API of auth. Several targets are separated by commas, and get requests in turn. Each simulated user has its own address in X-Forwarded-For. If the frontend is
    /// on another machine, list this one in its `TRUSTED_PROXIES`, or its limits count all users as
    /// one
    #[arg(
        long,
        env = "LOADGEN_TARGET",
        value_name = "URL,...",
        default_value = "http://127.0.0.1:8082"
    )]
    pub(crate) target: Targets,

    /// Journeys that start per second, on average: 0.001 to 100000
    #[arg(long, env = "LOADGEN_RATE", value_name = "PER_SECOND", default_value = "10", value_parser = rate)]
    pub(crate) rate: f64,

    /// Time in which journeys start, such as 30s or 5m; 0s or `forever` means until SIGTERM or
    /// SIGINT
    #[arg(long, env = "LOADGEN_DURATION", value_name = "TIME", default_value = "30s", value_parser = length)]
    pub(crate) duration: Length,

    /// Limit of journeys; by default only the duration ends the run
    #[arg(long, env = "LOADGEN_COUNT", value_name = "NUMBER")]
    pub(crate) count: Option<NonZeroU64>,

    /// Distribution of the journeys' start times
    #[arg(long, env = "LOADGEN_SHAPE", value_enum, default_value_t = Shape::Steady)]
    pub(crate) shape: Shape,

    /// Relative frequency of each journey
    #[arg(
        long,
        env = "LOADGEN_MIX",
        value_name = "JOURNEY=WEIGHT,..",
        default_value = "register=1,login=3,me=6,logout=1"
    )]
    pub(crate) mix: Mix,

    /// Share of journeys with bad input, which the target must refuse: 0 to 1
    #[arg(long, env = "LOADGEN_BAD", value_name = "SHARE", default_value = "0.1", value_parser = share)]
    pub(crate) bad: f64,

    /// Seed of the random choices and the schedule; the same seed and settings give the same
    /// journeys. Random by default; the report contains it
    #[arg(long, env = "LOADGEN_SEED", value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// Limit of concurrent journeys; further ones wait, and the wait counts as their latency
    #[arg(
        long,
        env = "LOADGEN_MAX_IN_FLIGHT",
        value_name = "NUMBER",
        default_value = "256"
    )]
    pub(crate) max_in_flight: NonZeroU16,

    /// Timeout of each request
    #[arg(long, env = "LOADGEN_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// Time for the target to become ready before the first journey
    #[arg(long, env = "LOADGEN_WAIT", value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) wait: Duration,

    /// Accounts that are registered before the first journey: 1 to 1000
    #[arg(long, env = "LOADGEN_ACCOUNTS", value_name = "NUMBER", default_value = "8",
        value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) accounts: u16,

    /// Writes the report as one JSON document, and no log records
    #[arg(long, env = "LOADGEN_JSON", num_args = 0..=1, default_value_t = false,
        default_missing_value = "true", value_name = "BOOL")]
    pub(crate) json: bool,

    /// Address of the gRPC health checks, such as 127.0.0.1:8084; none by default
    #[arg(
        long = "listen",
        alias = "listen-address",
        env = "LOADGEN_LISTEN",
        value_name = "IP:PORT",
        global = true
    )]
    pub(crate) listen_address: Option<SocketAddr>,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Settings,
}

/// The time in which journeys start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Length {
    /// Until the process is asked to stop.
    Forever,
    /// For this time.
    For(Duration),
}

impl Length {
    /// The time, if it is limited.
    #[must_use]
    pub(crate) fn bound(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(time) => Some(time),
        }
    }
}

/// Limit of all times: a year, so that no sum of two times overflows.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|error| format!("not a time such as 30s or 5m: {error}"))?;
    if time > LONGEST {
        return Err("longer than a year".to_owned());
    }
    Ok(time)
}

fn timeout(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("must be above 0".to_owned()),
        time => Ok(time),
    }
}

fn length(text: &str) -> Result<Length, String> {
    if text == "forever" {
        return Ok(Length::Forever);
    }
    Ok(match time(text)? {
        Duration::ZERO => Length::Forever,
        time => Length::For(time),
    })
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.001, 100_000.0)
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        let command = Config::augment_args(clap::Command::new("loadgen"));
        let matches = command.try_get_matches_from([&["loadgen"], args].concat())?;
        Config::from_arg_matches(&matches)
    }

    #[test]
    fn all_settings_have_defaults() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.target.to_string(), "http://127.0.0.1:8082");
        assert_eq!(config.duration, Length::For(Duration::from_secs(30)));
        assert_eq!(config.mix.to_string(), "register=1,login=3,me=6,logout=1");
        assert_eq!(
            (config.seed, config.count, config.json),
            (None, None, false)
        );
    }

    #[test]
    fn the_address_for_health_checks_has_two_flags() {
        for flag in ["--listen", "--listen-address"] {
            let config = parse(&[flag, "127.0.0.1:8084"]).unwrap();
            assert_eq!(config.listen_address.unwrap().port(), 8084, "{flag}");
        }
    }

    #[test]
    fn zero_is_forever() {
        for text in ["0s", "forever"] {
            assert_eq!(
                parse(&["--duration", text]).unwrap().duration,
                Length::Forever
            );
        }
    }

    #[test]
    fn invalid_settings_are_refused() {
        for bad in [
            "--target=127.0.0.1:8082",
            "--target=http://127.0.0.1:8082,",
            "--target=http://127.0.0.1:8082,grpc://127.0.0.1:8081",
            "--rate=0",
            "--rate=-1",
            "--rate=NaN",
            "--rate=inf",
            "--duration=30",
            "--duration=-1s",
            "--duration=1000years",
            "--count=0",
            "--shape=round",
            "--mix=me=0",
            "--bad=1.1",
            "--bad=nan",
            "--seed=-1",
            "--max-in-flight=0",
            "--timeout=0s",
            "--accounts=0",
            "--listen=8084",
            "--listen-address=8084",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
