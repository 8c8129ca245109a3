//! Starting and stopping the three signals.

use std::{io::IsTerminal as _, time::Duration};

use opentelemetry::{KeyValue, global, metrics::Meter, trace::TracerProvider as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::{BatchConfigBuilder as LogBatchConfigBuilder, BatchLogProcessor, SdkLoggerProvider},
    metrics::{PeriodicReader, SdkMeterProvider},
    resource::EnvResourceDetector,
    trace::{
        BatchConfigBuilder as SpanBatchConfigBuilder, BatchSpanProcessor, Sampler,
        SdkTracerProvider,
    },
};
use opentelemetry_semantic_conventions::resource::{
    PROCESS_PID, SERVICE_INSTANCE_ID, SERVICE_VERSION,
};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{LogFormat, Settings, format};

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An OTLP exporter could not be made of its settings.
    #[error("cannot export {signal}")]
    Exporter {
        /// The signal that it was for.
        signal: &'static str,
        /// What the exporter says.
        source: ExporterBuildError,
    },
    /// The log filter cannot be parsed.
    #[error("cannot parse the log filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Telemetry was started before in this process.
    #[error("telemetry is already started")]
    Started(#[source] tracing_subscriber::util::TryInitError),
}

/// Telemetry that is running. [Shut it down](Self::shutdown) before the process ends.
#[derive(Debug)]
#[must_use = "what is not shut down loses its last spans, metrics and logs"]
pub struct Telemetry {
    meters: Option<SdkMeterProvider>,
    loggers: Option<SdkLoggerProvider>,
    tracers: Option<SdkTracerProvider>,
}

/// Starts traces, metrics and logs of this process.
///
/// Logs always go to stdout. Signals with an endpoint are exported to it; without one, traces
/// still have ids, so that logs and pages can name them.
///
/// Must be called on a tokio runtime: the exporters' connections live there.
///
/// # Errors
/// When an exporter cannot be made, or when the process has a subscriber already.
pub fn init(
    settings: &Settings,
    service: &'static str,
    version: &'static str,
) -> Result<Telemetry, Error> {
    let resource = resource(settings, service, version);
    let enabled = !settings.sdk_disabled;

    let meters = settings
        .metrics_endpoint()
        .filter(|_| enabled)
        .map(|endpoint| meter_provider(settings, endpoint, resource.clone()))
        .transpose()?;
    if let Some(meters) = &meters {
        global::set_meter_provider(meters.clone());
    }

    let loggers = settings
        .logs_endpoint()
        .filter(|_| enabled)
        .map(|endpoint| logger_provider(settings, endpoint, resource.clone()))
        .transpose()?;

    let tracers = enabled
        .then(|| tracer_provider(settings, resource))
        .transpose()?;

    let filter = || EnvFilter::try_new(&settings.log).map_err(Error::Filter);

    let text = match settings.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stdout().is_terminal(),
    };
    let stdout = tracing_subscriber::fmt::layer();
    let stdout = if text {
        stdout
            .event_format(format::Text {
                color: std::io::stdout().is_terminal(),
            })
            .with_filter(filter()?)
            .boxed()
    } else {
        stdout
            .event_format(format::Json)
            .with_filter(filter()?)
            .boxed()
    };

    // The exporter's own traffic must not become records that are exported in turn.
    let without_transport = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(
            [
                "h2",
                "hyper",
                "hyper_util",
                "opentelemetry",
                "tonic",
                "tower",
            ]
            .map(|target| (target, LevelFilter::OFF)),
        );
    let exported = loggers
        .as_ref()
        .map(|loggers| {
            filter().map(|filter| {
                OpenTelemetryTracingBridge::new(loggers).with_filter(filter.and(without_transport))
            })
        })
        .transpose()?;

    // Spans do not depend on the log filter: `RUST_LOG=warn` must not end the traces.
    let spans = tracers.as_ref().map(|tracers| {
        tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer(service))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(
                tracing_subscriber::filter::filter_fn(|metadata| {
                    metadata.is_span() && *metadata.level() <= tracing::Level::INFO
                })
                .with_max_level_hint(LevelFilter::INFO),
            )
    });

    tracing_subscriber::registry()
        .with(spans)
        .with(exported)
        .with(stdout)
        .try_init()
        .map_err(Error::Started)?;

    Ok(Telemetry {
        meters,
        loggers,
        tracers,
    })
}

/// The meter for a crate's own instruments. Costs nothing while metrics are not exported.
#[must_use]
pub fn meter(scope: &'static str) -> Meter {
    global::meter(scope)
}

impl Telemetry {
    /// Sends what is queued and stops. Traces first, metrics last, so that each can report on
    /// the one before. Takes at most some seconds when the collector does not answer.
    pub async fn shutdown(self) {
        crate::spawn_blocking(move || {
            let outcomes = [
                ("traces", self.tracers.map(|provider| provider.shutdown())),
                ("logs", self.loggers.map(|provider| provider.shutdown())),
                ("metrics", self.meters.map(|provider| provider.shutdown())),
            ];
            for (signal, outcome) in outcomes {
                if let Some(Err(error)) = outcome {
                    tracing::warn!(signal, error = %error, "telemetry was not flushed");
                }
            }
        })
        .await;
    }
}

fn resource(settings: &Settings, service: &'static str, version: &'static str) -> Resource {
    let name = settings.service_name.clone();
    let builder = Resource::builder_empty()
        .with_service_name(service)
        .with_attributes([
            KeyValue::new(SERVICE_VERSION, version),
            KeyValue::new(SERVICE_INSTANCE_ID, uuid::Uuid::new_v4().to_string()),
            KeyValue::new(PROCESS_PID, i64::from(std::process::id())),
        ])
        // What the operator says wins over what we say.
        .with_detector(Box::new(EnvResourceDetector::new()));
    match name {
        Some(name) if !name.is_empty() => builder.with_service_name(name),
        _ => builder,
    }
    .build()
}

fn tracer_provider(settings: &Settings, resource: Resource) -> Result<SdkTracerProvider, Error> {
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = settings.traces_endpoint() else {
        // Ids without the cost of recording what nobody receives.
        return Ok(builder.with_sampler(Sampler::AlwaysOff).build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(exporter_error("traces"))?;
    let config = SpanBatchConfigBuilder::default()
        .with_scheduled_delay(Duration::from_millis(settings.span_export_delay))
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(config)
        .build();
    Ok(builder.with_span_processor(processor).build())
}

fn meter_provider(
    settings: &Settings,
    endpoint: &str,
    resource: Resource,
) -> Result<SdkMeterProvider, Error> {
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(exporter_error("metrics"))?;
    let reader = PeriodicReader::builder(exporter)
        .with_interval(Duration::from_millis(settings.metric_export_interval))
        .build();
    Ok(SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .build())
}

fn logger_provider(
    settings: &Settings,
    endpoint: &str,
    resource: Resource,
) -> Result<SdkLoggerProvider, Error> {
    let exporter = LogExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(exporter_error("logs"))?;
    let config = LogBatchConfigBuilder::default()
        .with_scheduled_delay(Duration::from_millis(settings.log_export_delay))
        .build();
    let processor = BatchLogProcessor::builder(exporter)
        .with_batch_config(config)
        .build();
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(processor)
        .build())
}

fn exporter_error(signal: &'static str) -> impl FnOnce(ExporterBuildError) -> Error {
    move |source| Error::Exporter { signal, source }
}
