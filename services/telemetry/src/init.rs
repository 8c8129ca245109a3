//! Starting and stopping the three signals.

use std::{ffi::OsString, io::IsTerminal as _, time::Duration};

use exemplars::Exemplars;
use opentelemetry::{KeyValue, global, metrics::Meter, trace::TracerProvider as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::{BatchConfigBuilder as LogBatchConfigBuilder, BatchLogProcessor, SdkLoggerProvider},
    metrics::{Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream},
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use opentelemetry_semantic_conventions::resource::{
    DEPLOYMENT_ENVIRONMENT_NAME, HOST_ARCH, HOST_NAME, OS_TYPE, PROCESS_EXECUTABLE_NAME,
    PROCESS_PID, PROCESS_RUNTIME_NAME, SERVICE_INSTANCE_ID, SERVICE_VERSION,
};
use tonic::transport::Endpoint;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    HistogramAggregation, LogFormat, Settings,
    export::{Flow, Limits, MetricExporter, Sender, logs, spans::Spans},
    format, metrics, process, propagate,
    trace::{self, Tracer},
};

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
    /// An endpoint is no URL that can be connected to.
    #[error("cannot connect to the endpoint")]
    Endpoint(#[source] tonic::transport::Error),
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
/// Logs always go to stdout. Signals with an endpoint are exported to it; without one, requests
/// still have trace ids, so that logs and pages can name them.
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
        process::observe();
    }

    let loggers = settings
        .logs_endpoint()
        .filter(|_| enabled)
        .map(|endpoint| logger_provider(settings, endpoint, resource.clone()))
        .transpose()?;

    let (tracers, tracer) = match settings.traces_endpoint() {
        Some(endpoint) if enabled => {
            let (tracers, tracer) = traces(settings, endpoint, resource)?;
            (Some(tracers), Some(tracer))
        }
        _ => (None, enabled.then_some(Tracer::Silent)),
    };

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
            .event_format(format::Json {
                limit: settings.attribute_value_length_limit,
            })
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
    if let Some(tracer) = tracer {
        trace::install(tracer);
    }
    propagate::install(settings.propagators.clone());
    for name in settings.propagators.unknown() {
        tracing::warn!(
            name,
            "OTEL_PROPAGATORS names an unknown propagator, which is ignored"
        );
    }

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
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let executable = std::env::current_exe().unwrap_or_default();
    let builder = Resource::builder_empty()
        .with_service_name(service)
        .with_attributes([
            KeyValue::new(SERVICE_VERSION, version),
            KeyValue::new(SERVICE_INSTANCE_ID, uuid::Uuid::new_v4().to_string()),
            KeyValue::new(DEPLOYMENT_ENVIRONMENT_NAME, "development"),
            KeyValue::new(PROCESS_PID, i64::from(std::process::id())),
            KeyValue::new(
                PROCESS_EXECUTABLE_NAME,
                text(executable.file_name().unwrap_or_default().to_owned()),
            ),
            KeyValue::new(PROCESS_RUNTIME_NAME, "rust"),
            KeyValue::new(HOST_NAME, text(gethostname::gethostname())),
            KeyValue::new(HOST_ARCH, host_arch()),
            KeyValue::new(OS_TYPE, os_type()),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        // What the operator says wins over what we say.
        .with_detector(Box::new(EnvResourceDetector::new()));
    match name {
        Some(name) if !name.is_empty() => builder.with_service_name(name),
        _ => builder,
    }
    .build()
}

/// The architecture, in the words of the semantic conventions.
fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The system, in the words of the semantic conventions.
fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The makers of spans: the SDK's for those of `tracing`, and our own.
fn traces(
    settings: &Settings,
    endpoint: &str,
    resource: Resource,
) -> Result<(SdkTracerProvider, Tracer), Error> {
    let flow = Flow::queued(
        "traces",
        settings.span_queue_size,
        (
            &metrics::OTEL_SDK_PROCESSOR_SPAN_PROCESSED,
            "batching_span_processor",
        ),
        (
            &metrics::OTEL_SDK_EXPORTER_SPAN_EXPORTED,
            "otlp_grpc_span_exporter",
        ),
    );
    let spans = Spans::new(
        sender(
            settings,
            endpoint,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        )?,
        flow,
        Limits::new(settings.attribute_value_length_limit),
        settings.span_batch_size,
        Duration::from_millis(settings.span_export_delay),
    );
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(settings.sampler())
        .with_span_processor(spans.clone())
        .build();
    let tracer = Tracer::Exporting {
        sampler: settings.sampler(),
        spans,
    };
    Ok((provider, tracer))
}

fn sender(settings: &Settings, endpoint: &str, method: &'static str) -> Result<Sender, Error> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(Error::Endpoint)?;
    Ok(Sender::new(
        &endpoint,
        method,
        settings.otlp_headers.metadata(),
        Duration::from_millis(settings.otlp_timeout),
    ))
}

fn meter_provider(
    settings: &Settings,
    endpoint: &str,
    resource: Resource,
) -> Result<SdkMeterProvider, Error> {
    let exemplars = Exemplars::new(settings.exemplar_filter);
    metrics::configure(exemplars.clone(), settings.histogram_aggregation);
    let sender = sender(
        settings,
        endpoint,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    )?;
    let exporter = MetricExporter::new(sender, exemplars);
    let reader = PeriodicReader::builder(exporter)
        .with_interval(Duration::from_millis(settings.metric_export_interval))
        .build();
    let builder = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_view(of_the_sdk)
        .with_reader(reader);
    Ok(match settings.histogram_aggregation {
        HistogramAggregation::Explicit => builder,
        HistogramAggregation::Exponential => builder.with_view(exponential),
    }
    .build())
}

/// The view that drops what the SDK says of itself: it would be counted twice, as [`Flow`] says the
/// same of all signals.
fn of_the_sdk(instrument: &Instrument) -> Option<Stream> {
    let of_the_sdk = instrument.scope().name() == "otel.sdk";
    of_the_sdk
        .then(|| {
            Stream::builder()
                .with_aggregation(Aggregation::Drop)
                .build()
                .ok()
        })
        .flatten()
}

/// The view that makes histograms exponential, but for those whose bounds have a meaning.
fn exponential(instrument: &Instrument) -> Option<Stream> {
    let ours = instrument.kind() == InstrumentKind::Histogram
        && !metrics::has_boundaries(instrument.name());
    let aggregation = Aggregation::Base2ExponentialHistogram {
        max_size: 160,
        max_scale: 20,
        record_min_max: true,
    };
    ours.then(|| Stream::builder().with_aggregation(aggregation).build().ok())
        .flatten()
}

fn logger_provider(
    settings: &Settings,
    endpoint: &str,
    resource: Resource,
) -> Result<SdkLoggerProvider, Error> {
    let exporter = LogExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_metadata(settings.otlp_headers.metadata())
        .with_timeout(Duration::from_millis(settings.otlp_timeout))
        .build()
        .map_err(exporter_error("logs"))?;
    let flow = Flow::queued(
        "logs",
        settings.log_queue_size,
        (
            &metrics::OTEL_SDK_PROCESSOR_LOG_PROCESSED,
            "batching_log_processor",
        ),
        (
            &metrics::OTEL_SDK_EXPORTER_LOG_EXPORTED,
            "otlp_grpc_log_exporter",
        ),
    );
    let config = LogBatchConfigBuilder::default()
        .with_max_queue_size(settings.log_queue_size)
        .with_scheduled_delay(Duration::from_millis(settings.log_export_delay))
        .build();
    let batches = BatchLogProcessor::builder(logs::Exporter {
        inner: exporter,
        flow: flow.clone(),
    })
    .with_batch_config(config)
    .build();
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(logs::Processor {
            inner: batches,
            flow,
            limits: Limits::new(settings.attribute_value_length_limit),
        })
        .build())
}

fn exporter_error(signal: &'static str) -> impl FnOnce(ExporterBuildError) -> Error {
    move |source| Error::Exporter { signal, source }
}
