//! The settings of telemetry, under the names of the OpenTelemetry specification.

mod environment;
mod otlp;

pub use self::{
    environment::specified,
    otlp::{Compression, Endpoint, Headers, Otlp, Protocol},
};

pub(crate) use self::{
    environment::warnings,
    otlp::{Export, File, Signal},
};

use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::filter::Targets;

use crate::propagate::Propagators;

/// What `--help` says about the variables that have no option.
pub const STANDARD_VARIABLES: &str = "\
Also read, as the OpenTelemetry specification defines it:
  OTEL_RESOURCE_ATTRIBUTES
Of the OTEL_* variables, empty ones count as unset. Those with an unknown name or an invalid number
are ignored with a warning. NO_COLOR, if it is not empty, switches colors off.";

/// How a process reports on itself.
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

    /// Name under which the process appears, if not its own
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,

    /// Which traces are recorded
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_enum, ignore_case = true, value_name = "SAMPLER",
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

    /// Log records that are sent at once when they have come together
    #[arg(long, env = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", value_name = "N", default_value = "512",
        value_parser = queue_size)]
    pub log_batch_size: usize,

    /// Characters of a text in an exported attribute or a JSON log record; the rest is cut off
    #[arg(
        long,
        env = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "COUNT",
        default_value = "4096"
    )]
    pub attribute_value_length_limit: usize,

    /// The same for spans alone
    #[arg(
        long,
        env = "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "COUNT"
    )]
    pub span_attribute_value_length_limit: Option<usize>,

    /// The same for log records alone
    #[arg(
        long,
        env = "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        value_name = "COUNT"
    )]
    pub logrecord_attribute_value_length_limit: Option<usize>,

    /// How histograms without bounds of their own are exported; exponential ones are stored as
    /// native histograms by Prometheus
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", value_enum,
        ignore_case = true, value_name = "AGGREGATION", default_value_t = HistogramAggregation::Exponential)]
    pub histogram_aggregation: HistogramAggregation,

    /// Which measurements may become exemplars.
    #[arg(long, env = "OTEL_METRICS_EXEMPLAR_FILTER", value_name = "FILTER",
        default_value_t = exemplars::Filter::TraceBased, help = "Which measurements may become \
        exemplars: always_on, always_off, or trace_based, those made within a sampled trace")]
    pub exemplar_filter: exemplars::Filter,

    /// Switches traces, metrics and exported logs off; logs on stdout stay
    #[arg(long, env = "OTEL_SDK_DISABLED", num_args = 0..=1, default_value_t = false,
        default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    pub sdk_disabled: bool,

    /// Which log records are written: a level, or directives such as info,auth=debug. With
    /// info,request=debug there is one for each request
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log: Targets,

    /// The `deployment.environment.name` where `OTEL_RESOURCE_ATTRIBUTES` has none.
    #[arg(skip)]
    pub environment: Option<&'static str>,

    /// How log records look on stdout; auto is text on a terminal and JSON elsewhere. At level info, a
    /// terminal shows at most 5 lines of requests a second, and how many more there are
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

/// Whether a signal is exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Exporter {
    /// By OTLP, if there is an endpoint.
    Otlp,
    /// No.
    None,
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

impl Settings {
    /// How a signal is exported; `None` where it is not.
    pub(crate) fn export(&self, signal: Signal) -> Option<Export> {
        let exporter = match signal {
            Signal::Traces => self.traces_exporter,
            Signal::Metrics => self.metrics_exporter,
            Signal::Logs => self.logs_exporter,
        };
        match exporter {
            Exporter::Otlp if !self.sdk_disabled => self.otlp.export(signal),
            Exporter::Otlp | Exporter::None => None,
        }
    }

    /// Characters of a text in a log record.
    pub(crate) fn log_length_limit(&self) -> usize {
        self.logrecord_attribute_value_length_limit
            .unwrap_or(self.attribute_value_length_limit)
    }

    /// Characters of a text in a span.
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

/// A queue without places would lose everything.
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
        let log = |filter: &str| parse(&[&format!("--log={filter}")]).map(|settings| settings.log);
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
    fn what_cannot_work_is_refused() {
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
