//! Start and stop of the three signals.

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
    thread,
    time::Duration,
};

use exemplars::Exemplars;
use opentelemetry::{KeyValue, global, trace::TracerProvider as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{
    Resource,
    logs::{BatchConfigBuilder as LogBatchConfigBuilder, BatchLogProcessor, SdkLoggerProvider},
    metrics::{Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream},
    resource::TelemetryResourceDetector,
    trace::{SdkTracerProvider, SpanLimits},
};
use opentelemetry_semantic_conventions::resource::{
    DEPLOYMENT_ENVIRONMENT_NAME, HOST_ARCH, HOST_NAME, OS_TYPE, PROCESS_EXECUTABLE_NAME,
    PROCESS_PID, PROCESS_RUNTIME_NAME, SERVICE_INSTANCE_ID, SERVICE_VERSION,
};
use tokio::task::{JoinError, JoinHandle};
use tracing_subscriber::{
    Layer as _,
    filter::{FilterExt as _, LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    BadSetting, HistogramAggregation, LogFormat, Protocol, Settings,
    export::{AttributeLimits, Flow, MetricExporter, Outage, Route, Sender, logs, spans::Spans},
    format, metrics, process,
    profiles::Profiles,
    propagate,
    settings::{self, Export, Signal},
    stdout::Stdout,
    trace::{self, Tracer},
};

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate or key of an exporter cannot be used.
    #[error("cannot export {signal}")]
    Exporter {
        /// The signal of the exporter.
        signal: &'static str,
        /// The variable, and the reason why its value cannot be used.
        source: BadSetting,
    },
    /// The thread that writes logs could not be started.
    #[error("cannot write logs")]
    Stdout(#[source] std::io::Error),
    /// Profiles cannot be made or sent.
    #[error("cannot make profiles")]
    Profiles(#[source] BadSetting),
    /// Telemetry was started before in this process.
    #[error("telemetry is already started")]
    Started(#[source] tracing_subscriber::util::TryInitError),
    /// The task that sends spans has ended before the process.
    #[error("spans are no longer sent")]
    Ended(#[source] Option<JoinError>),
}

/// Telemetry that is running. [Shut it down](Self::shutdown) before the process ends.
#[derive(Debug)]
#[must_use = "without a shutdown, the last spans, metrics and logs are lost"]
pub struct Telemetry {
    meters: Option<SdkMeterProvider>,
    loggers: Option<SdkLoggerProvider>,
    tracers: Option<SdkTracerProvider>,
    /// The task that sends spans.
    sending: Option<JoinHandle<()>>,
    stdout: Stdout,
    limit: Option<format::Limit>,
    outage: Outage,
    /// Makes profiles until it is dropped.
    profiles: Option<Profiles>,
}

/// Starts traces, metrics and logs of this process.
///
/// Logs always go to stdout. Signals with an endpoint are exported to it; without one, requests
/// still have trace ids, so that logs and pages can name them.
///
/// Must be called on a tokio runtime, which runs the exporters' connections.
///
/// # Errors
/// When an exporter cannot be made, or when the process has a subscriber already.
pub fn init(settings: &Settings, service: &str, version: &str) -> Result<Telemetry, Error> {
    let resource = resource(settings, service, version);
    let stdout = Stdout::start(std::io::stdout()).map_err(Error::Stdout)?;
    let outage = Outage::default();
    let profiles = settings.pyroscope_url.as_ref();
    let profiles = profiles.map(|url| Profiles::new(url, &resource));
    let profiles = profiles.transpose().map_err(Error::Profiles)?;

    let meters = settings
        .export(Signal::Metrics)
        .map(|export| meter_provider(settings, &export, resource.clone(), &outage))
        .transpose()?;
    if let Some(meters) = &meters {
        global::set_meter_provider(meters.clone());
        process::observe();
        stdout.observe();
    }

    let loggers = settings
        .export(Signal::Logs)
        .map(|export| logger_provider(settings, &export, resource.clone(), &outage))
        .transpose()?;

    let (tracers, tracer, sending) = if let Some(export) = settings.export(Signal::Traces) {
        let (tracers, tracer, sending) = traces(settings, &export, resource, &outage)?;
        (Some(tracers), Some(tracer), Some(sending))
    } else {
        let tracer = (!settings.sdk_disabled).then_some(Tracer::Silent);
        (None, tracer, None)
    };

    let filter = &settings.log.filter;
    let is_terminal = std::io::stdout().is_terminal();
    let text = match settings.log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => is_terminal,
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let color = is_terminal && !no_color && !is_dumb;
    // At level debug, the reader wants every record.
    let levels = filter.iter().map(|(_, level)| level);
    let is_brief = levels
        .chain(filter.default_level())
        .all(|level| level <= LevelFilter::INFO);
    let limit = (text && is_terminal && is_brief).then(|| limit(stdout.clone(), color));
    let lines = tracing_subscriber::fmt::layer()
        // `eprintln!` would panic if stderr is broken too.
        .log_internal_errors(false)
        .with_writer(stdout.clone());
    let lines = if text {
        lines
            .event_format(format::Text {
                color,
                limit: limit.clone(),
            })
            .with_filter(filter.clone())
            .boxed()
    } else {
        lines
            .event_format(format::Json {
                limit: settings.log_length_limit(),
            })
            .with_filter(filter.clone())
            .boxed()
    };

    // Log records about the exporter's own traffic would be exported in turn, without end.
    let without_transport = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(
            [
                "h2",
                "hyper",
                "hyper_rustls",
                "hyper_util",
                "opentelemetry",
                "rustls",
                "tonic",
                "tower",
            ]
            .map(|target| (target, LevelFilter::OFF)),
        );
    let exported = loggers.as_ref().map(|loggers| {
        OpenTelemetryTracingBridge::new(loggers).with_filter(filter.clone().and(without_transport))
    });

    // Spans do not depend on the log filter: `RUST_LOG=warn` must not end the traces.
    let spans = tracers.as_ref().map(|tracers| {
        tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer(service.to_owned()))
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
        .with(lines)
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
    for warning in settings::warnings() {
        tracing::warn!(
            variable = warning.variable,
            reason = warning.reason,
            "an environment variable is ignored"
        );
    }

    Ok(Telemetry {
        meters,
        loggers,
        tracers,
        sending,
        stdout,
        limit,
        outage,
        profiles: profiles.map(Profiles::start),
    })
}

/// The limit for lines of requests on a terminal.
fn limit(stdout: Stdout, color: bool) -> format::Limit {
    format::Limit::new(move |left_out| {
        let note = format!("{left_out} records of requests are left out; RUST_LOG=debug shows all");
        // Without a reader of stdout, the note is not needed.
        let _ = stdout
            .clone()
            .write_all(format::Text::note(color, &note).as_bytes());
    })
}

impl Telemetry {
    /// Waits for the task that sends spans to end, which it does only if it panics. If no traces are exported, it
    /// never returns.
    pub async fn failed(&mut self) -> Error {
        match &mut self.sending {
            Some(task) => {
                let ended = task.await;
                self.sending = None;
                Error::Ended(ended.err())
            }
            None => std::future::pending().await,
        }
    }

    /// Sends all queued items and stops. Metrics are sent last, because they count the other signals' items. If the
    /// collector does not answer, this takes some seconds.
    pub async fn shutdown(self) {
        let Self {
            meters,
            loggers,
            tracers,
            sending: _,
            stdout,
            limit,
            outage,
            profiles,
        } = self;
        drop(profiles);
        if let Some(limit) = limit {
            limit.tell();
        }
        // Flushes even if a deadline of the caller drops this future.
        let _flushed = FlushOnDrop(stdout);
        crate::spawn_blocking(move || {
            // Concurrently, since each may wait for a collector that does not answer.
            let (traces, logs) = thread::scope(|scope| {
                let traces = scope.spawn(|| tracers.map(|provider| provider.shutdown()));
                let logs = loggers.map(|provider| provider.shutdown());
                (traces.join().unwrap_or_default(), logs)
            });
            let metrics = meters.map(|provider| provider.shutdown());
            let outcomes = [("traces", traces), ("logs", logs), ("metrics", metrics)];
            let failed = outcomes
                .iter()
                .filter(|(_, outcome)| matches!(outcome, Some(Err(_))));
            let failed: Vec<_> = failed.map(|(signal, _)| *signal).collect();
            // The log of an outage has its cause, which the SDK does not return.
            if !failed.is_empty() && !outage.lasts() {
                tracing::warn!(signals = failed.join(","), "telemetry was not flushed");
            }
        })
        .await;
    }
}

struct FlushOnDrop(Stdout);

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        self.0.flush();
    }
}

fn resource(settings: &Settings, service: &str, version: &str) -> Resource {
    let name = settings.service_name.clone();
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let executable = std::env::current_exe().unwrap_or_default();
    let environment = settings
        .environment
        .map(|name| KeyValue::new(DEPLOYMENT_ENVIRONMENT_NAME, name));
    let builder = Resource::builder_empty()
        .with_service_name(service.to_owned())
        .with_attributes([
            KeyValue::new(SERVICE_VERSION, version.to_owned()),
            KeyValue::new(SERVICE_INSTANCE_ID, uuid::Uuid::new_v4().to_string()),
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
        .with_attributes(environment)
        .with_detector(Box::new(TelemetryResourceDetector))
        // The environment overrides the attributes above.
        .with_attributes(settings::resource_attributes());
    match name {
        Some(name) if !name.is_empty() => builder.with_service_name(name),
        _ => builder,
    }
    .build()
}

/// The architecture, by its name in the semantic conventions.
fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The operating system, by its name in the semantic conventions.
fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The SDK's tracer for spans of `tracing`, and the tracer of this crate.
fn traces(
    settings: &Settings,
    export: &Export,
    resource: Resource,
    outage: &Outage,
) -> Result<(SdkTracerProvider, Tracer, JoinHandle<()>), Error> {
    let flow = Flow::queued(
        route(export, outage),
        settings.span_queue_size,
        (
            &metrics::OTEL_SDK_PROCESSOR_SPAN_PROCESSED,
            "batching_span_processor",
        ),
        (
            &metrics::OTEL_SDK_EXPORTER_SPAN_EXPORTED,
            exporter(export, "otlp_grpc_span_exporter", "otlp_http_span_exporter"),
        ),
    );
    let (spans, sending) = Spans::new(
        sender(export)?,
        flow,
        AttributeLimits::new(settings.span_length_limit()),
        settings.span_batch_size,
        Duration::from_millis(settings.span_export_delay),
    );
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        // Ignores the limits of the environment, which this crate's spans do not obey either.
        .with_span_limits(SpanLimits::default())
        .with_sampler(settings.sampler())
        .with_span_processor(spans.clone())
        .build();
    let tracer = Tracer::Exporting {
        sampler: settings.sampler(),
        spans,
    };
    Ok((provider, tracer, sending))
}

fn route(export: &Export, outage: &Outage) -> Route {
    Route {
        signal: export.signal,
        endpoint: export.endpoint.to_string(),
        outage: outage.clone(),
    }
}

fn sender(export: &Export) -> Result<Sender, Error> {
    let signal = export.signal;
    Sender::new(export).map_err(|source| Error::Exporter { signal, source })
}

/// The name of an exporter in its own metrics.
fn exporter(export: &Export, grpc: &'static str, http: &'static str) -> &'static str {
    match export.protocol {
        Protocol::Grpc => grpc,
        Protocol::Http => http,
    }
}

fn meter_provider(
    settings: &Settings,
    export: &Export,
    resource: Resource,
    outage: &Outage,
) -> Result<SdkMeterProvider, Error> {
    let exemplars = Exemplars::new(settings.exemplar_filter);
    metrics::configure(exemplars.clone(), settings.histogram_aggregation);
    let component = exporter(
        export,
        "otlp_grpc_metric_exporter",
        "otlp_http_metric_exporter",
    );
    let exporter =
        MetricExporter::new(sender(export)?, route(export, outage), component, exemplars);
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

/// The view that drops the SDK's metrics about itself. [`Flow`] exports the same metrics for all signals,
/// so they would be counted twice.
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

/// The view that makes histograms exponential, except those with bounds of their own.
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
    export: &Export,
    resource: Resource,
    outage: &Outage,
) -> Result<SdkLoggerProvider, Error> {
    let flow = Flow::queued(
        route(export, outage),
        settings.log_queue_size,
        (
            &metrics::OTEL_SDK_PROCESSOR_LOG_PROCESSED,
            "batching_log_processor",
        ),
        (
            &metrics::OTEL_SDK_EXPORTER_LOG_EXPORTED,
            exporter(export, "otlp_grpc_log_exporter", "otlp_http_log_exporter"),
        ),
    );
    let config = LogBatchConfigBuilder::default()
        .with_max_queue_size(settings.log_queue_size)
        .with_scheduled_delay(Duration::from_millis(settings.log_export_delay))
        .with_max_export_batch_size(settings.log_batch_size)
        .build();
    let exporter = logs::Exporter::new(sender(export)?, flow.clone());
    let batches = BatchLogProcessor::builder(exporter)
        .with_batch_config(config)
        .build();
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(logs::Processor {
            inner: batches,
            flow,
            limits: AttributeLimits::new(settings.log_length_limit()),
        })
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_task_that_sends_spans_is_reported() {
        let mut telemetry = Telemetry {
            meters: None,
            loggers: None,
            tracers: None,
            sending: Some(tokio::spawn(async { panic!("of a test") })),
            stdout: Stdout::start(std::io::sink()).unwrap(),
            limit: None,
            outage: Outage::default(),
            profiles: None,
        };
        let Error::Ended(Some(error)) = telemetry.failed().await else {
            panic!("expected the error for an ended task");
        };
        assert!(error.is_panic());
        telemetry.shutdown().await;
    }
}
