//! The banner, which shows a new user the addresses and the next steps.

use std::{net::SocketAddr, path::Path};

use crate::Config;

/// The addresses of the running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) pages: SocketAddr,
    pub(crate) auth: SocketAddr,
    pub(crate) user: SocketAddr,
}

/// Prints the banner to stderr, because stdout is for the log, which may be JSON.
pub(crate) fn print(config: &Config, addresses: Addresses, has_broker: bool) {
    let data = std::path::absolute(&config.data.path).unwrap_or_else(|_| config.data.path.clone());
    chassis::print_error(&text(config, addresses, &data, has_broker));
}

fn text(config: &Config, addresses: Addresses, data: &Path, has_broker: bool) -> String {
    let Addresses { pages, auth, user } = addresses;
    let pages = chassis::health::url(pages);
    let version = env!("CARGO_PKG_VERSION");
    let data = data.display();
    let events = match &config.events.kafka_brokers {
        Some(brokers) if has_broker => format!("a broker in this process, {brokers}"),
        Some(brokers) => format!("brokers {brokers}"),
        None => "none".to_owned(),
    };
    let endpoint = config.telemetry.otlp.endpoint();
    let endpoint = endpoint.filter(|_| !config.telemetry.sdk_disabled);
    let telemetry = match endpoint {
        Some(endpoint) => format!("traces, metrics and logs go to {endpoint}"),
        None => "logs on stdout; traces and metrics are not exported".to_owned(),
    };
    let grafana = config.pages.grafana_url.as_ref();
    let ending = match (endpoint, grafana) {
        (Some(_), Some(grafana)) => format!(
            "\
Each page links to its trace in Grafana, at
{grafana}"
        ),
        (Some(_), None) => "\
GRAFANA_URL is not set, so pages do not link to their traces. Set it to the
address of Grafana: http://127.0.0.1:3000 with the backends of this project."
            .to_owned(),
        (None, _) if config.telemetry.sdk_disabled => "\
OTEL_SDK_DISABLED is set, so there are no traces and no metrics."
            .to_owned(),
        (None, _) => "\
OTEL_EXPORTER_OTLP_ENDPOINT is not set. To see traces, metrics and logs in
Grafana, start the backends in another terminal, and then otelix again:

  nix run .#lgtm
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 \\
  GRAFANA_URL=http://127.0.0.1:3000 cargo run"
            .to_owned(),
    };
    format!(
        "
otelix {version}: user, auth and frontend in one process

  open       {pages}
  gRPC       auth {auth}, user {user} (with reflection)
  data       {data}
  events     {events}
  telemetry  {telemetry}
  load       cargo run -p loadgen -- --target {pages}

{ending}

Press Ctrl-C to stop.
"
    )
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn banner(arguments: &[&str]) -> String {
        // Ignores the environment of the test process.
        let command = Config::augment_args(Command::new("otelix"))
            .mut_args(|argument| argument.env(None::<&str>));
        let matches = command
            .try_get_matches_from([&["otelix"], arguments].concat())
            .unwrap();
        let mut config = Config::from_arg_matches(&matches).unwrap();
        config.events.kafka_brokers = Some("127.0.0.1:39999".parse().unwrap());
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses {
            pages: address(38082),
            auth: address(38081),
            user: address(38080),
        };
        text(
            &config,
            addresses,
            Path::new("/home/ann/otelix/volumes"),
            true,
        )
    }

    const ENDPOINT: &str = "--otlp-endpoint=http://127.0.0.1:4317";
    const GRAFANA: &str = "--grafana-url=http://127.0.0.1:3000";

    #[test]
    fn the_banner_fits_a_narrow_terminal() {
        for arguments in [
            &[][..],
            &[ENDPOINT],
            &[ENDPOINT, GRAFANA],
            &["--sdk-disabled"],
        ] {
            let banner = banner(arguments);
            for line in banner.lines() {
                assert!(line.len() <= 78, "{line}");
            }
        }
    }

    #[test]
    fn the_banner_names_the_variables_that_are_not_set() {
        let names = |banner: &str| {
            ["OTEL_EXPORTER_OTLP_ENDPOINT", "GRAFANA_URL", "nix run"]
                .map(|name| banner.contains(name))
        };
        assert_eq!(names(&banner(&[])), [true; 3]);
        assert_eq!(names(&banner(&[ENDPOINT])), [false, true, false]);
        assert_eq!(names(&banner(&[ENDPOINT, GRAFANA])), [false; 3]);
        assert_eq!(names(&banner(&[ENDPOINT, "--sdk-disabled"])), [false; 3]);
    }
}
