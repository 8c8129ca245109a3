//! The settings of telemetry, under the names of the OpenTelemetry specification.

use std::fmt;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use tonic::metadata::MetadataMap;

use crate::propagate::Propagators;

/// What `--help` says about the variables that the SDK reads by itself.
pub const STANDARD_VARIABLES: &str = "\
Also read, as the OpenTelemetry specification defines them:
  OTEL_RESOURCE_ATTRIBUTES, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE";

/// How a process reports on itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct Settings {
    /// Where traces, metrics and logs are sent by OTLP over gRPC, such as
    /// <http://127.0.0.1:4317>; without it nothing is sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otlp_endpoint: Option<String>,

    /// Where traces are sent, if not to the common endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otlp_traces_endpoint: Option<String>,

    /// Where metrics are sent, if not to the common endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otlp_metrics_endpoint: Option<String>,

    /// Where logs are sent, if not to the common endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otlp_logs_endpoint: Option<String>,

    /// The OTLP transport; there is one
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "grpc", value_parser = ["grpc"])]
    pub otlp_protocol: String,

    /// Headers of each export, such as a collector's credentials: NAME=VALUE,...
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", value_name = "HEADERS", hide_env_values = true,
        default_value = "", hide_default_value = true, value_parser = headers)]
    pub otlp_headers: Headers,

    /// Milliseconds that the collector has to take an export
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", value_name = "MS", default_value = "10000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub otlp_timeout: u64,

    /// Name under which the process appears, if not its own
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,

    /// Which traces are recorded
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_enum, value_name = "SAMPLER",
        default_value_t = TracesSampler::ParentbasedAlwaysOn)]
    pub traces_sampler: TracesSampler,

    /// The share of traces that a `traceidratio` sampler records, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "SHARE", default_value = "1",
        value_parser = share)]
    pub traces_sampler_arg: f64,

    /// Milliseconds between two exports of metrics
    #[arg(long, env = "OTEL_METRIC_EXPORT_INTERVAL", value_name = "MS", default_value = "5000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub metric_export_interval: u64,

    /// Milliseconds that a finished span waits for others before they are sent
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", value_name = "MS", default_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub span_export_delay: u64,

    /// Milliseconds that a log record waits for others before they are sent
    #[arg(long, env = "OTEL_BLRP_SCHEDULE_DELAY", value_name = "MS", default_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub log_export_delay: u64,

    /// Finished spans that may wait to be sent; further ones are dropped, and counted
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", value_name = "N", default_value = "2048",
        value_parser = queue_size)]
    pub span_queue_size: usize,

    /// Finished spans that are sent at once when they have come together
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", value_name = "N", default_value = "512",
        value_parser = queue_size)]
    pub span_batch_size: usize,

    /// Log records that may wait to be sent; further ones are dropped, and counted
    #[arg(long, env = "OTEL_BLRP_MAX_QUEUE_SIZE", value_name = "N", default_value = "2048",
        value_parser = queue_size)]
    pub log_queue_size: usize,

    /// Bytes of a text in an exported attribute or a JSON log record; the rest is cut off
    #[arg(
        long,
        env = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "BYTES",
        default_value = "4096"
    )]
    pub attribute_value_length_limit: usize,

    /// How histograms without bounds of their own are exported; exponential ones are stored as
    /// native histograms by Prometheus
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", value_enum,
        value_name = "AGGREGATION", default_value_t = HistogramAggregation::Exponential)]
    pub histogram_aggregation: HistogramAggregation,

    /// Which measurements may become exemplars.
    #[arg(long, env = "OTEL_METRICS_EXEMPLAR_FILTER", value_name = "FILTER",
        default_value_t = exemplars::Filter::TraceBased, help = "Which measurements may become \
        exemplars: always_on, always_off, or trace_based, those made within a sampled trace")]
    pub exemplar_filter: exemplars::Filter,

    /// Switches traces, metrics and exported logs off; logs on stdout stay
    #[arg(long, env = "OTEL_SDK_DISABLED", num_args = 0..=1, default_value_t = false,
        default_missing_value = "true", value_name = "BOOL")]
    pub sdk_disabled: bool,

    /// Which log records are written: a level, or directives such as info,auth=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log: String,

    /// How log records look on stdout; auto is text on a terminal and JSON elsewhere
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,

    /// How HTTP and gRPC requests carry trace context: tracecontext, baggage, b3, b3multi, or none,
    /// separated by commas
    #[arg(
        long,
        env = "OTEL_PROPAGATORS",
        value_name = "NAME,...",
        default_value = "tracecontext,baggage"
    )]
    pub propagators: Propagators,
}

/// How log records look on stdout.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// A line for people.
    Text,
}

/// How histograms without bounds of their own are exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum HistogramAggregation {
    /// With the bounds that the semantic conventions advise.
    #[value(name = "explicit_bucket_histogram")]
    Explicit,
    /// With buckets that grow with the value, as fine as the range of values allows.
    #[value(name = "base2_exponential_bucket_histogram")]
    Exponential,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TracesSampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A share of all.
    #[value(name = "traceidratio")]
    Traceidratio,
    /// Those that the caller records; of those that begin here, all.
    ParentbasedAlwaysOn,
    /// Those that the caller records; of those that begin here, none.
    ParentbasedAlwaysOff,
    /// Those that the caller records; of those that begin here, a share.
    ParentbasedTraceidratio,
}

/// Headers of an export. They may hold credentials, and so are not shown.
#[derive(Clone, Default)]
pub struct Headers(MetadataMap);

impl Headers {
    pub(crate) fn metadata(&self) -> MetadataMap {
        self.0.clone()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

impl Settings {
    pub(crate) fn traces_endpoint(&self) -> Option<&str> {
        self.endpoint(self.otlp_traces_endpoint.as_ref())
    }

    pub(crate) fn metrics_endpoint(&self) -> Option<&str> {
        self.endpoint(self.otlp_metrics_endpoint.as_ref())
    }

    pub(crate) fn logs_endpoint(&self) -> Option<&str> {
        self.endpoint(self.otlp_logs_endpoint.as_ref())
    }

    /// The sampler of traces that are exported.
    pub(crate) fn sampler(&self) -> Sampler {
        let share = Sampler::TraceIdRatioBased(self.traces_sampler_arg);
        let parent_based = |root| Sampler::ParentBased(Box::new(root));
        match self.traces_sampler {
            TracesSampler::AlwaysOn => Sampler::AlwaysOn,
            TracesSampler::AlwaysOff => Sampler::AlwaysOff,
            TracesSampler::Traceidratio => share,
            TracesSampler::ParentbasedAlwaysOn => parent_based(Sampler::AlwaysOn),
            TracesSampler::ParentbasedAlwaysOff => parent_based(Sampler::AlwaysOff),
            TracesSampler::ParentbasedTraceidratio => parent_based(share),
        }
    }

    fn endpoint<'a>(&'a self, own: Option<&'a String>) -> Option<&'a str> {
        own.or(self.otlp_endpoint.as_ref())
            .map(String::as_str)
            .filter(|endpoint| !endpoint.is_empty())
    }
}

/// Accepts an http or https URL, and the empty string, which the specification treats as unset.
fn endpoint(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let uri: ::http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("not a URL of the form http://HOST:PORT".to_owned()),
    }
}

/// Accepts a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err("not a number from 0 to 1".to_owned())
    }
}

/// Parses the form that the specification takes from W3C baggage: `name=value,name=value`, values
/// percent-encoded.
fn headers(text: &str) -> Result<Headers, String> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        // A value is a secret, and has no place in a message.
        let (name, value) = pair.split_once('=').ok_or("not of the form NAME=VALUE")?;
        let name: HeaderName = name
            .trim()
            .to_ascii_lowercase()
            .parse()
            .or(Err("not the name of a header"))?;
        let value = percent_decode_str(value.trim())
            .decode_utf8()
            .or(Err("a value is not percent-encoded UTF-8"))?;
        let value = HeaderValue::from_str(&value).or(Err("a value is not one of a header"))?;
        headers.append(name, value);
    }
    Ok(Headers(MetadataMap::from_headers(headers)))
}

/// A queue without places would lose everything.
fn queue_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(size) => Ok(size),
        Err(error) => Err(format!("{error}")),
    }
}

fn filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(args: &[&str]) -> Result<Settings, clap::Error> {
        Cli::try_parse_from([&["x"], args].concat()).map(|cli| cli.settings)
    }

    #[test]
    fn a_signal_prefers_its_own_endpoint() {
        let settings = parse(&[
            "--otlp-endpoint=http://127.0.0.1:1",
            "--otlp-logs-endpoint=http://127.0.0.1:2",
        ])
        .unwrap();
        assert_eq!(settings.traces_endpoint(), Some("http://127.0.0.1:1"));
        assert_eq!(settings.logs_endpoint(), Some("http://127.0.0.1:2"));
    }

    #[test]
    fn headers_are_decoded_and_not_shown() {
        let settings =
            parse(&["--otlp-headers=Authorization=Basic%20QQ%3D%3D, x-tenant = a"]).unwrap();
        let metadata = settings.otlp_headers.metadata();
        assert_eq!(metadata.get("authorization").unwrap(), "Basic QQ==");
        assert_eq!(metadata.get("x-tenant").unwrap(), "a");
        assert!(!format!("{settings:?}").contains("QQ"));
        for bad in ["authorization", "a b=c", "a=%ff"] {
            let error = parse(&["--otlp-headers", bad]).unwrap_err();
            assert!(error.to_string().contains("--otlp-headers"), "{error}");
        }
    }

    #[test]
    fn a_sampler_is_one_of_the_specification() {
        let sampler = |args: &[&str]| format!("{:?}", parse(args).unwrap().sampler());
        assert_eq!(sampler(&[]), "ParentBased(AlwaysOn)");
        assert_eq!(
            sampler(&[
                "--traces-sampler=parentbased_traceidratio",
                "--traces-sampler-arg=0.25"
            ]),
            "ParentBased(TraceIdRatioBased(0.25))"
        );
        assert_eq!(
            sampler(&["--traces-sampler=traceidratio"]),
            "TraceIdRatioBased(1.0)"
        );
        for bad in [
            "--traces-sampler=xray",
            "--traces-sampler-arg=1.1",
            "--traces-sampler-arg=x",
            "--traces-sampler-arg=NaN",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_endpoint_counts_as_unset() {
        let settings = parse(&["--otlp-endpoint="]).unwrap();
        assert_eq!(settings.traces_endpoint(), None);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for bad in [
            "--otlp-endpoint=127.0.0.1:4317",
            "--otlp-endpoint=ftp://x",
            "--otlp-protocol=http/protobuf",
            "--metric-export-interval=0",
            "--log=a=b=c",
            "--log-format=xml",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
