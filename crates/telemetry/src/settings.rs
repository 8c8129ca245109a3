//! The settings of telemetry, under the names of the OpenTelemetry specification.

mod environment;
mod otlp;
mod pairs;

pub use self::{
    environment::specified,
    otlp::{Compression, Endpoint, Headers, Otlp, Protocol},
};

pub(crate) use self::{
    environment::{resource_attributes, warnings},
    otlp::{Export, File, Signal},
};

use clap::{Args, Command, FromArgMatches as _, ValueEnum};
use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::filter::Targets;

use crate::propagate::Propagators;

/// The paragraph of `--help` about variables without an option.
pub const STANDARD_VARIABLES: &str = "\
Also read, as the OpenTelemetry specification defines it:
  OTEL_RESOURCE_ATTRIBUTES
Empty OTEL_* variables count as unset. Values that are unknown names or invalid numbers
are ignored with a warning. A NO_COLOR that is not empty, or TERM=dumb,
switches colors off.";

/// Settings of telemetry.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct Settings {
    /// Where and how traces, metrics and logs are sent.
    #[command(flatten)]
    pub otlp: Otlp,

    /// Whether traces are exported
    #[arg(long, env = "OTEL_TRACES_EXPORTER", value_enum, ignore_case = true,
        value_name = "EXPORTER", default_value_t = Exporter::Otlp)]
    pub traces_exporter: Exporter,

    /// Whether metrics are exported
    #[arg(long, env = "OTEL_METRICS_EXPORTER", value_enum, ignore_case = true,
        value_name = "EXPORTER", default_value_t = Exporter::Otlp)]
    pub metrics_exporter: Exporter,

    /// Whether logs are exported; they go to stdout in any case
    #[arg(long, env = "OTEL_LOGS_EXPORTER", value_enum, ignore_case = true,
        value_name = "EXPORTER", default_value_t = Exporter::Otlp)]
    pub logs_exporter: Exporter,

    /// The service.name in telemetry, if not the name of the program
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,

    /// Which traces are recorded
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_enum, ignore_case = true, value_name = "SAMPLER",
        default_value_t = TracesSampler::ParentbasedAlwaysOn)]
    pub traces_sampler: TracesSampler,

    /// Share of traces that a `traceidratio` sampler records, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "SHARE", default_value = "1",
        value_parser = share)]
    pub traces_sampler_arg: f64,

    /// Milliseconds between two exports of metrics
    #[arg(long, env = "OTEL_METRIC_EXPORT_INTERVAL", value_name = "MS", default_value = "5000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub metric_export_interval: u64,

    /// Longest time in milliseconds that an ended span waits for its batch to fill
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", value_name = "MS", default_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub span_export_delay: u64,

    /// Longest time in milliseconds that a log record waits for its batch to fill
    #[arg(long, env = "OTEL_BLRP_SCHEDULE_DELAY", value_name = "MS", default_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub log_export_delay: u64,

    /// Maximum number of ended spans in the queue; further ones are dropped and counted
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", value_name = "N", default_value = "2048",
        value_parser = queue_size)]
    pub span_queue_size: usize,

    /// Number of queued spans that are sent without waiting for the delay
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", value_name = "N", default_value = "512",
        value_parser = queue_size)]
    pub span_batch_size: usize,

    /// Maximum number of log records in the queue; further ones are dropped and counted
    #[arg(long, env = "OTEL_BLRP_MAX_QUEUE_SIZE", value_name = "N", default_value = "2048",
        value_parser = queue_size)]
    pub log_queue_size: usize,

    /// Number of queued log records that are sent without waiting for the delay
    #[arg(long, env = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", value_name = "N", default_value = "512",
        value_parser = queue_size)]
    pub log_batch_size: usize,

    /// Maximum number of characters of a text in an exported attribute or a JSON log record; longer
    /// texts are truncated
    #[arg(
        long,
        env = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "COUNT",
        default_value = "4096"
    )]
    pub attribute_value_length_limit: usize,

    /// The same limit for spans alone
    #[arg(
        long,
        env = "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "COUNT"
    )]
    pub span_attribute_value_length_limit: Option<usize>,

    /// The same limit for log records alone
    #[arg(
        long,
        env = "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "COUNT"
    )]
    pub logrecord_attribute_value_length_limit: Option<usize>,

    /// How histograms without bounds of their own are exported; Prometheus stores exponential ones
    /// as native histograms
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", value_enum,
        ignore_case = true, value_name = "AGGREGATION", default_value_t = HistogramAggregation::Exponential)]
    pub histogram_aggregation: HistogramAggregation,

    /// Which measurements may become exemplars.
    #[arg(long, env = "OTEL_METRICS_EXEMPLAR_FILTER", value_name = "FILTER",
        default_value_t = exemplars::Filter::TraceBased, help = "Which measurements may become \
        exemplars: always_on, always_off, or trace_based, those made within a sampled trace")]
    pub exemplar_filter: exemplars::Filter,

    /// URL of Pyroscope, to which profiles of processor time are pushed; without it, none are made
    #[arg(
        long,
        env = "PYROSCOPE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub pyroscope_url: Option<Endpoint>,

    /// Switches traces, metrics and exported logs off, but not logs on stdout
    #[arg(long, env = "OTEL_SDK_DISABLED", num_args = 0..=1, default_value_t = false,
        default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    pub sdk_disabled: bool,

    /// Log records on stdout.
    #[command(flatten)]
    pub log: LogSettings,

    /// The `deployment.environment.name` if `OTEL_RESOURCE_ATTRIBUTES` has none.
    #[arg(skip)]
    pub environment: Option<&'static str>,

    /// Formats of trace context in HTTP and gRPC requests: tracecontext, baggage, b3, b3multi, or none,
    /// separated by commas
    #[arg(
        long,
        env = "OTEL_PROPAGATORS",
        value_name = "NAME,...",
        default_value = "tracecontext,baggage"
    )]
    pub propagators: Propagators,
}

/// Settings of log records on stdout.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct LogSettings {
    /// Which log records are written: a level, or directives such as info,auth=debug. With
    /// info,request=debug, each request is logged
    #[arg(id = "log", long = "log", env = "RUST_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub filter: Targets,

    /// Format of log records on stdout; auto is text on a terminal and JSON elsewhere. At level info, a
    /// terminal shows at most 5 lines a second for requests, one of which counts the skipped records
    #[arg(id = "log_format", long = "log-format", env = "LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub format: LogFormat,
}

/// Whether a signal is exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Exporter {
    /// Exported by OTLP, if there is an endpoint.
    Otlp,
    /// Not exported.
    None,
}

/// The format of log records on stdout.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// How histograms without bounds of their own are exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum HistogramAggregation {
    /// With the bounds that the semantic conventions recommend.
    #[value(name = "explicit_bucket_histogram")]
    Explicit,
    /// With exponentially growing buckets, at the highest resolution that the range of values allows.
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
    /// Traces that the caller records, and all that start in this process.
    ParentbasedAlwaysOn,
    /// Traces that the caller records, and none that start in this process.
    ParentbasedAlwaysOff,
    /// Traces that the caller records, and a share of those that start in this process.
    ParentbasedTraceidratio,
}

impl Settings {
    /// The settings of a process that writes logs to stdout, and exports nothing.
    #[must_use]
    pub fn only_logs(log: LogSettings) -> Self {
        let command = Self::augment_args(Command::new(""));
        let command = command.mut_args(|argument| argument.env(None::<&str>));
        let matches = command.try_get_matches_from([""]);
        let defaults = matches.and_then(|matches| Self::from_arg_matches(&matches));
        Self {
            sdk_disabled: true,
            log,
            ..defaults.expect("every setting has a default")
        }
    }

    /// The signals that would be exported if they had an endpoint: `traces`, `metrics` and `logs`.
    pub fn without_endpoint(&self) -> impl Iterator<Item = &'static str> {
        let signals = [Signal::Traces, Signal::Metrics, Signal::Logs];
        let lacking = signals.into_iter().filter(|signal| {
            self.exporter(*signal) == Exporter::Otlp && self.otlp.export(*signal).is_none()
        });
        lacking.filter(|_| !self.sdk_disabled).map(Signal::name)
    }

    /// The endpoints to which signals are sent, one for each host and port.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let signals = [Signal::Traces, Signal::Metrics, Signal::Logs];
        let exports = signals.into_iter().filter_map(|signal| self.export(signal));
        let mut endpoints: Vec<Endpoint> = exports.map(|export| export.endpoint).collect();
        endpoints.dedup_by_key(|endpoint| endpoint.address());
        endpoints
    }

    /// Whether traces are sent to an endpoint.
    #[must_use]
    pub fn exports_traces(&self) -> bool {
        self.export(Signal::Traces).is_some()
    }

    fn exporter(&self, signal: Signal) -> Exporter {
        match signal {
            Signal::Traces => self.traces_exporter,
            Signal::Metrics => self.metrics_exporter,
            Signal::Logs => self.logs_exporter,
        }
    }

    /// The export settings of a signal; `None` if it is not exported.
    pub(crate) fn export(&self, signal: Signal) -> Option<Export> {
        match self.exporter(signal) {
            Exporter::Otlp if !self.sdk_disabled => self.otlp.export(signal),
            Exporter::Otlp | Exporter::None => None,
        }
    }

    /// Maximum number of characters of a text in a log record.
    pub(crate) fn log_length_limit(&self) -> usize {
        self.logrecord_attribute_value_length_limit
            .unwrap_or(self.attribute_value_length_limit)
    }

    /// Maximum number of characters of a text in a span.
    pub(crate) fn span_length_limit(&self) -> usize {
        self.span_attribute_value_length_limit
            .unwrap_or(self.attribute_value_length_limit)
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
}

/// Accepts "true" and "false" in any case.
fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither true nor false"),
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

/// Accepts a number from 1: an empty queue would drop every item.
fn queue_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(size) => Ok(size),
        Err(error) => Err(format!("{error}")),
    }
}

/// A filter by level and target. `EnvFilter` can filter by spans too, but needs a regex engine for it.
fn filter(text: &str) -> Result<Targets, String> {
    if text.contains('[') {
        return Err("spans and fields cannot be filtered, only targets".to_owned());
    }
    let directives: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
        .collect();
    if directives.is_empty() {
        return Err("no level and no target".to_owned());
    }
    directives
        .join(",")
        .parse()
        .map_err(|error| format!("{error}"))
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
    fn a_log_filter_has_levels_for_targets() {
        let log =
            |filter: &str| parse(&[&format!("--log={filter}")]).map(|settings| settings.log.filter);
        let is_enabled = |filter: &str, target| {
            log(filter)
                .unwrap()
                .would_enable(target, &tracing::Level::DEBUG)
        };
        assert!(!is_enabled("info", "auth"));
        assert!(is_enabled("info, auth=debug,", "auth::sessions"));
        assert!(!is_enabled("info,auth=debug", "user"));
        assert!(is_enabled("auth", "auth"));
        for bad in ["", ",", "a=b=c", "a=loud", "[span]=debug", "a[{id}]=debug"] {
            assert!(log(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        for bad in [
            "--otlp-protocol=http/json",
            "--otlp-traces-timeout=0",
            "--otlp-logs-compression=zstd",
            "--metrics-exporter=prometheus",
            "--sdk-disabled=1",
            "--metric-export-interval=0",
            "--log=a=b=c",
            "--log-format=xml",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
