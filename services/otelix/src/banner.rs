//! The banner, which shows a new user the addresses and the next steps.

use std::{net::SocketAddr, path::Path};

use telemetry::Endpoint;

use crate::{
    Config,
    lens::{Places, Viewer},
};

/// The addresses of the running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) pages: SocketAddr,
    pub(crate) auth: SocketAddr,
    pub(crate) user: SocketAddr,
}

/// Prints the banner to stderr, because stdout is for the log, which may be JSON.
///
/// `dead` are the endpoints of telemetry at which nothing answers.
pub(crate) fn print(
    config: &Config,
    addresses: Addresses,
    viewer: &Viewer,
    dead: &[Endpoint],
    has_broker: bool,
) {
    let data = std::path::absolute(&config.data.path).unwrap_or_else(|_| config.data.path.clone());
    chassis::print_error(&text(config, addresses, viewer, dead, &data, has_broker));
}

fn text(
    config: &Config,
    addresses: Addresses,
    viewer: &Viewer,
    dead: &[Endpoint],
    data: &Path,
    has_broker: bool,
) -> String {
    let Addresses { pages, auth, user } = addresses;
    let pages = chassis::health::url(pages);
    let version = env!("CARGO_PKG_VERSION");
    let data = data.display();
    let events = match &config.events.kafka_brokers {
        Some(brokers) if has_broker => format!("a broker in this process, {brokers}"),
        Some(brokers) => format!("brokers {brokers}"),
        None => "none".to_owned(),
    };
    let (telemetry, ending) = match viewer {
        Viewer::Runs(places) => with_lens(config, &pages, places),
        Viewer::Elsewhere | Viewer::Off => without_lens(config, &pages, viewer),
    };
    let problems: Vec<_> = dead.iter().map(problem).collect();
    let problems = problems.concat();
    format!(
        "
otelix {version}: user, auth and frontend in one process

  open       {pages}
{telemetry}{problems}
  gRPC       auth {auth}, user {user} (with reflection)
  data       {data}
  events     {events}

{ending}

Press Ctrl-C to stop.
"
    )
}

/// An endpoint at which nothing answers, and what to do.
fn problem(endpoint: &Endpoint) -> String {
    format!(
        "
  problem    nothing answers at {endpoint}, so telemetry is lost.
             Start a collector there. Lens needs no endpoint."
    )
}

/// Where telemetry is shown, and what to do next.
fn with_lens(config: &Config, pages: &str, places: &Places) -> (String, String) {
    let [grpc, http] = places.otlp;
    let lens = chassis::health::url(places.pages);
    let endpoint = chassis::health::url(grpc);
    let grpc = endpoint.trim_start_matches("http://");
    let shows = match &*places.signals {
        [] if config.telemetry.sdk_disabled => {
            "other programs; OTEL_SDK_DISABLED is set".to_owned()
        }
        [] => "shows what other programs send".to_owned(),
        ["traces", "metrics", "logs"] => "shows traces, metrics and logs".to_owned(),
        signals => format!("shows {} alone", signals.join(" and ")),
    };
    let secret = match &config.lens_settings {
        _ if places.pages.ip().to_canonical().is_loopback() => "",
        settings if settings.has_token() => {
            "\n             readers need LENS_TOKEN: open it with ?token=SECRET"
        }
        _ => "\n             readers need a secret: open the link in the log, with ?token=",
    };
    let mut telemetry = format!(
        "  \
lens       {lens}   {shows}{secret}
  OTLP       {grpc} (gRPC), {} (HTTP), for your services too",
        http.port()
    );
    if !places.taken.is_empty() {
        let taken: Vec<_> = places.taken.iter().map(ToString::to_string).collect();
        telemetry.push_str("\n             ");
        telemetry.push_str(&in_use(&taken));
    }
    if places.signals.is_empty() && !config.telemetry.sdk_disabled {
        telemetry.push_str("\n  telemetry  ");
        telemetry.push_str(&destination(config));
        telemetry.push_str(", not to lens");
    }
    let first = if places.signals.contains(&"traces") {
        "Create an account, and click on the trace id at the foot of the page."
    } else {
        "Traces of this process do not go to lens, so its pages do not link there."
    };
    let ending = format!(
        "\
{first}

Put load on it, in another terminal:
  OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} \\
  cargo run -p loadgen -- --target {pages}

Use a collector with Grafana instead: start one, and then otelix again:
  nix run .#lgtm
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 \\
  GRAFANA_URL=http://127.0.0.1:3000 cargo run"
    );
    (telemetry, ending)
}

/// The ports that other programs use, in words.
fn in_use(ports: &[String]) -> String {
    match ports {
        [others @ .., last] if !others.is_empty() => {
            format!("other programs use ports {} and {last}", others.join(", "))
        }
        ports => format!("another program uses port {}", ports.join("")),
    }
}

/// Where the telemetry of this process goes, if not to lens.
fn destination(config: &Config) -> String {
    let endpoint = config.telemetry.otlp.endpoint();
    match endpoint {
        _ if config.telemetry.sdk_disabled => {
            "logs on stdout alone, because OTEL_SDK_DISABLED is set".to_owned()
        }
        Some(endpoint) => format!("goes to {endpoint}"),
        None if config.telemetry.otlp.has_endpoint() => {
            "goes to the endpoints of its signals".to_owned()
        }
        None => "logs on stdout alone".to_owned(),
    }
}

/// Where telemetry goes, and why lens is off.
fn without_lens(config: &Config, pages: &str, viewer: &Viewer) -> (String, String) {
    let goes = destination(config);
    let variable = match config.telemetry.otlp.endpoint() {
        Some(_) => "OTEL_EXPORTER_OTLP_ENDPOINT",
        None => "the endpoints of the signals",
    };
    let why = match viewer {
        Viewer::Off if config.telemetry.otlp.has_endpoint() => {
            format!("off, because of LENS=off; to use it, unset LENS and\n             {variable}")
        }
        Viewer::Off => "off, because of LENS=off; to use it, unset LENS".to_owned(),
        _ => format!("off, because an endpoint is set; to use it, unset\n             {variable}"),
    };
    let telemetry = format!("  telemetry  {goes}\n  lens       {why}");
    let links = match &config.pages.grafana_url {
        // There are no traces to link to.
        _ if !config.telemetry.exports_traces() => String::new(),
        _ if config.pages.lens_url.is_some() => {
            "Each page links to its trace in lens, at LENS_URL.\n\n".to_owned()
        }
        Some(grafana) => format!("Each page links to its trace in Grafana, at\n{grafana}\n\n"),
        None => "\
GRAFANA_URL is not set, so pages do not link to their traces. Set it to the
address of Grafana: http://127.0.0.1:3000 with the backends of this project.

"
        .to_owned(),
    };
    let ending = format!(
        "\
{links}Put load on it, in another terminal:
  cargo run -p loadgen -- --target {pages}"
    );
    (telemetry, ending)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn banner(arguments: &[&str], viewer: &Viewer) -> String {
        banner_with(arguments, viewer, &[])
    }

    fn banner_with(arguments: &[&str], viewer: &Viewer, dead: &[&str]) -> String {
        let dead: Vec<Endpoint> = dead.iter().map(|text| text.parse().unwrap()).collect();
        // Ignores the environment of the test process.
        let command = Config::augment_args(Command::new("otelix"))
            .mut_args(|argument| argument.env(None::<&str>));
        let matches = command
            .try_get_matches_from([&["otelix"], arguments].concat())
            .unwrap();
        let mut config = Config::from_arg_matches(&matches).unwrap();
        config.events.kafka_brokers = Some("127.0.0.1:39999".parse().unwrap());
        let addresses = Addresses {
            pages: address(38082),
            auth: address(38081),
            user: address(38080),
        };
        text(
            &config,
            addresses,
            viewer,
            &dead,
            Path::new("/home/ann/otelix/volumes"),
            true,
        )
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn runs(signals: &[&'static str], taken: &[u16]) -> Viewer {
        Viewer::Runs(Places {
            pages: address(38086),
            otlp: [address(34317), address(34318)],
            taken: taken.to_vec(),
            signals: signals.to_vec(),
        })
    }

    const ALL: &[&str] = &["traces", "metrics", "logs"];
    const ENDPOINT: &str = "--otlp-endpoint=http://127.0.0.1:4317";
    const GRAFANA: &str = "--grafana-url=http://127.0.0.1:3000";

    #[test]
    fn the_banner_fits_a_narrow_terminal() {
        for (arguments, viewer) in [
            (&[][..], runs(ALL, &[])),
            (&[], runs(ALL, &[8086, 4317, 4318])),
            (&["--sdk-disabled"], runs(&[], &[])),
            (&[ENDPOINT], runs(&[], &[])),
            (
                &["--otlp-traces-endpoint=http://127.0.0.1:4317"],
                runs(&ALL[1..], &[]),
            ),
            (&[ENDPOINT], Viewer::Elsewhere),
            (&[ENDPOINT, GRAFANA], Viewer::Elsewhere),
            (&["--sdk-disabled"], Viewer::Off),
            (&[], Viewer::Off),
        ] {
            let banner = banner_with(arguments, &viewer, &["http://127.0.0.1:4317"]);
            for line in banner.lines() {
                assert!(line.len() <= 78, "{line}");
            }
        }
    }

    #[test]
    fn the_banner_says_where_lens_is_and_how_to_use_grafana_instead() {
        let banner = banner(&[], &runs(ALL, &[4318]));
        for text in [
            "http://127.0.0.1:38086",
            "127.0.0.1:34317 (gRPC)",
            "port 4318",
            "click on the trace id",
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:34317",
            "nix run .#lgtm",
            "GRAFANA_URL=",
        ] {
            assert!(banner.contains(text), "{text}: {banner}");
        }
    }

    #[test]
    fn the_banner_has_no_address_that_clients_cannot_use() {
        let everywhere = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let Viewer::Runs(places) = runs(ALL, &[8086, 4317, 4318]) else {
            unreachable!();
        };
        let viewer = Viewer::Runs(Places {
            pages: everywhere(38086),
            otlp: [everywhere(34317), everywhere(34318)],
            ..places
        });
        let random = banner(&[], &viewer);
        let secret = banner(&["--lens-token=a-secret-of-this-test"], &viewer);
        for banner in [&random, &secret] {
            assert!(!banner.contains("0.0.0.0"), "{banner}");
            assert!(!banner.contains("a-secret"), "{banner}");
            let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:34317 ";
            assert!(banner.contains(endpoint), "{banner}");
            let ports = "other programs use ports 8086, 4317 and 4318\n";
            assert!(banner.contains(ports), "{banner}");
        }
        assert!(random.contains("open the link in the log"), "{random}");
        assert!(secret.contains("readers need LENS_TOKEN"), "{secret}");
        let local = banner(&[], &runs(ALL, &[4318]));
        assert!(
            local.contains("another program uses port 4318\n"),
            "{local}"
        );
        assert!(!local.contains("readers need"), "{local}");
        for line in [random, secret].iter().flat_map(|banner| banner.lines()) {
            assert!(line.len() <= 78, "{line}");
        }
    }

    #[test]
    fn the_banner_says_why_lens_is_off() {
        let elsewhere = banner(&[ENDPOINT], &Viewer::Elsewhere);
        let unset = "to use it, unset\n             OTEL_EXPORTER_OTLP_ENDPOINT\n";
        assert!(elsewhere.contains(unset), "{elsewhere}");
        assert!(elsewhere.contains("GRAFANA_URL is not set"), "{elsewhere}");
        let linked = banner(&[ENDPOINT, GRAFANA], &Viewer::Elsewhere);
        assert!(
            linked.contains("in Grafana, at\nhttp://127.0.0.1:3000"),
            "{linked}"
        );
        let beside = banner(&[ENDPOINT], &runs(&[], &[]));
        assert!(beside.contains("what other programs send"), "{beside}");
        let goes = "telemetry  goes to http://127.0.0.1:4317";
        assert!(beside.contains(goes), "{beside}");
        let off = banner(&[], &Viewer::Off);
        assert!(off.contains("LENS=off; to use it, unset LENS\n"), "{off}");
        // Nothing has a trace to link to.
        let metrics = "--otlp-metrics-endpoint=http://127.0.0.1:4317";
        for arguments in [
            &[][..],
            &[GRAFANA],
            &["--sdk-disabled", ENDPOINT],
            &["--traces-exporter=none", ENDPOINT],
            &[metrics],
        ] {
            let off = banner(arguments, &Viewer::Off);
            assert!(
                !off.contains("GRAFANA_URL") && !off.contains("links to"),
                "{off}"
            );
        }
        let both = banner(&[ENDPOINT], &Viewer::Off);
        let unset = "unset LENS and\n             OTEL_EXPORTER_OTLP_ENDPOINT\n";
        assert!(both.contains(unset), "{both}");
        let signal = "--otlp-traces-endpoint=http://127.0.0.1:4317";
        let both = banner(&[signal], &Viewer::Off);
        assert!(both.contains("the endpoints of the signals"), "{both}");
    }

    #[test]
    fn the_banner_names_an_endpoint_at_which_nothing_answers() {
        let address = "http://127.0.0.1:4317";
        for viewer in [Viewer::Off, Viewer::Elsewhere, runs(&[], &[])] {
            let banner = banner_with(&[ENDPOINT], &viewer, &[address]);
            let problem = format!("nothing answers at {address}, so telemetry is lost");
            assert!(banner.contains(&problem), "{banner}");
        }
    }
}
