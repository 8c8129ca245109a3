//! Every metric of the project, declared once.
//!
//! `docs/telemetry.md` says what each is for; a test compares the two. Crates create their
//! instruments at their start, after [`crate::init`]. Instruments from before it record nothing. An instrument belongs
//! to the [`Service`] in whose scope it is created.
//!
//! No attribute may have values that a caller can choose.

pub use opentelemetry::metrics::Counter;

use std::sync::OnceLock;

use exemplars::{Exemplars, Filter, Reservoir};
use opentelemetry::{
    InstrumentationScope, KeyValue, global,
    metrics::{AsyncInstrument, Meter},
    trace::SpanContext,
};

use crate::{HistogramAggregation, Service, names};

/// The declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name, one of [`names`].
    pub name: &'static str,
    /// The kind of instrument.
    pub kind: Kind,
    /// The unit, by the Unified Code for Units of Measure.
    pub unit: &'static str,
    /// The description in exports.
    pub description: &'static str,
    /// Upper bounds of a histogram's buckets; empty for the default aggregation.
    pub boundaries: &'static [f64],
    /// The attributes that its data points may have.
    pub attributes: &'static [&'static str],
}

/// The kind of instrument of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Values only grow, and can be summed.
    Counter,
    /// Values grow and shrink, and can be summed.
    UpDownCounter,
    /// Values grow and shrink, and their sum has no meaning.
    Gauge,
    /// The distribution of many values.
    Histogram,
}

/// Makes a constant for each metric, and [`ALL`], in which so no metric can be missing.
macro_rules! metrics {
    ($(
        #[doc = $description:literal]
        $metric:ident: $kind:ident = $name:path, $unit:literal, [$($attribute:ident),*]
        $(, within $boundaries:expr)?;
    )*) => {
        $(
            #[doc = $description]
            pub const $metric: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                description: $description.trim_ascii(),
                boundaries: metrics!(@boundaries $($boundaries)?),
                attributes: &[$(names::$attribute),*],
            };
        )*

        /// Every metric of the project.
        pub const ALL: &[Metric] = &[$($metric),*];
    };
    (@boundaries) => { &[] };
    (@boundaries $boundaries:expr) => { $boundaries };
}

/// Bucket bounds, in seconds, that the conventions recommend for database operations.
const DATABASE_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Bucket bounds, in seconds, around the intended duration of a password hash.
const HASH_BOUNDS: &[f64] = &[
    0.01, 0.015, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5,
];

metrics! {
    /// Duration of HTTP server requests
    HTTP_SERVER_REQUEST_DURATION: Histogram = names::HTTP_SERVER_REQUEST_DURATION, "s",
        [HTTP_REQUEST_METHOD, URL_SCHEME, HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE, ERROR_TYPE];

    /// Duration of HTTP client requests, until the head of the response
    HTTP_CLIENT_REQUEST_DURATION: Histogram = names::HTTP_CLIENT_REQUEST_DURATION, "s",
        [HTTP_REQUEST_METHOD, SERVER_ADDRESS, SERVER_PORT, URL_TEMPLATE, HTTP_RESPONSE_STATUS_CODE,
        ERROR_TYPE];

    /// Duration of RPCs, measured by the server
    RPC_SERVER_CALL_DURATION: Histogram = names::RPC_SERVER_CALL_DURATION, "s",
        [RPC_SYSTEM_NAME, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, ERROR_TYPE];

    /// Duration of RPCs, measured by the client
    RPC_CLIENT_CALL_DURATION: Histogram = names::RPC_CLIENT_CALL_DURATION, "s",
        [RPC_SYSTEM_NAME, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, SERVER_ADDRESS, SERVER_PORT,
        ERROR_TYPE];

    /// Retries of calls that failed with UNAVAILABLE
    RPC_CLIENT_CALL_RETRIES: Counter = names::RPC_CLIENT_CALL_RETRIES, "{call}", [];

    /// Duration of database operations, including the wait for a connection
    DB_CLIENT_OPERATION_DURATION: Histogram = names::DB_CLIENT_OPERATION_DURATION, "s",
        [DB_SYSTEM_NAME, DB_NAMESPACE, DB_OPERATION_NAME, DB_COLLECTION_NAME, ERROR_TYPE],
        within DATABASE_BOUNDS;

    /// Time that database operations waited for a connection
    DB_CLIENT_CONNECTION_WAIT_TIME: Histogram = names::DB_CLIENT_CONNECTION_WAIT_TIME, "s",
        [DB_CLIENT_CONNECTION_POOL_NAME];

    /// Database operations that wait for a connection
    DB_CLIENT_CONNECTION_PENDING_REQUESTS: UpDownCounter =
        names::DB_CLIENT_CONNECTION_PENDING_REQUESTS, "{request}",
        [DB_CLIENT_CONNECTION_POOL_NAME];

    /// Open connections to the database, by state
    DB_CLIENT_CONNECTION_COUNT: UpDownCounter = names::DB_CLIENT_CONNECTION_COUNT, "{connection}",
        [DB_CLIENT_CONNECTION_POOL_NAME, DB_CLIENT_CONNECTION_STATE];

    /// Sign-ins that succeeded
    SUCCESS_LOGIN: Counter = names::SUCCESS_LOGIN, "{call}", [];

    /// Sign-ins that failed
    FAILED_LOGIN: Counter = names::FAILED_LOGIN, "{call}", [RPC_RESPONSE_STATUS_CODE];

    /// Account pages that were shown
    SUCCESS_ME: Counter = names::SUCCESS_ME, "{call}", [];

    /// Account pages that could not be shown
    FAILED_ME: Counter = names::FAILED_ME, "{call}", [RPC_RESPONSE_STATUS_CODE];

    /// Registrations that succeeded
    SUCCESS_REGISTER: Counter = names::SUCCESS_REGISTER, "{call}", [];

    /// Registrations that failed
    FAILED_REGISTER: Counter = names::FAILED_REGISTER, "{call}", [RPC_RESPONSE_STATUS_CODE];

    /// Accounts that were created
    USER_REGISTRATIONS: Counter = names::USER_REGISTRATIONS, "{account}", [];

    /// Accounts in the database
    USER_ACCOUNT_COUNT: UpDownCounter = names::USER_ACCOUNT_COUNT, "{account}", [];

    /// Duration of a password hash, without the wait in the queue
    USER_PASSWORD_HASH_DURATION: Histogram = names::USER_PASSWORD_HASH_DURATION, "s", [],
        within HASH_BOUNDS;

    /// Passwords that wait to be hashed
    USER_PASSWORD_HASH_QUEUE_LENGTH: UpDownCounter = names::USER_PASSWORD_HASH_QUEUE_LENGTH,
        "{password}", [];

    /// Passwords that were refused because the queue was full
    USER_PASSWORD_HASH_REFUSED: Counter = names::USER_PASSWORD_HASH_REFUSED, "{password}", [];

    /// Sessions that were opened
    AUTH_SESSIONS_OPENED: Counter = names::AUTH_SESSIONS_OPENED, "{session}", [];

    /// Sessions that were closed
    AUTH_SESSIONS_CLOSED: Counter = names::AUTH_SESSIONS_CLOSED, "{session}", [AUTH_REASON];

    /// Sessions that are open
    AUTH_SESSIONS_ACTIVE: UpDownCounter = names::AUTH_SESSIONS_ACTIVE, "{session}", [];

    /// Tokens that were rejected
    AUTH_TOKENS_REJECTED: Counter = names::AUTH_TOKENS_REJECTED, "{token}", [AUTH_REASON];

    /// Attempts to sign in or register that were refused because there were too many
    AUTH_ATTEMPTS_LIMITED: Counter = names::AUTH_ATTEMPTS_LIMITED, "{attempt}",
        [AUTH_LIMIT_SCOPE];

    /// Messages that were sent to the broker and acknowledged or refused
    MESSAGING_CLIENT_SENT_MESSAGES: Counter = names::MESSAGING_CLIENT_SENT_MESSAGES, "{message}",
        [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_DESTINATION_NAME, ERROR_TYPE];

    /// Duration of messaging operations
    MESSAGING_CLIENT_OPERATION_DURATION: Histogram = names::MESSAGING_CLIENT_OPERATION_DURATION,
        "s", [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE,
            MESSAGING_DESTINATION_NAME, ERROR_TYPE];

    /// Messages that a consumer has handled, or failed to handle
    MESSAGING_CLIENT_CONSUMED_MESSAGES: Counter = names::MESSAGING_CLIENT_CONSUMED_MESSAGES,
        "{message}", [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_DESTINATION_NAME,
            MESSAGING_CONSUMER_GROUP_NAME, ERROR_TYPE];

    /// Duration of the handling of a message, including retries
    MESSAGING_PROCESS_DURATION: Histogram = names::MESSAGING_PROCESS_DURATION, "s",
        [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_DESTINATION_NAME,
            MESSAGING_CONSUMER_GROUP_NAME, ERROR_TYPE];

    /// Events in the outbox that wait to be sent
    EVENTS_OUTBOX_LENGTH: UpDownCounter = names::EVENTS_OUTBOX_LENGTH, "{event}", [];

    /// Age of the oldest event that the broker does not have yet
    EVENTS_OUTBOX_OLDEST_AGE: Gauge = names::EVENTS_OUTBOX_OLDEST_AGE, "s", [];

    /// Events that were dropped because the outbox did not take them in time
    EVENTS_OUTBOX_DROPPED: Counter = names::EVENTS_OUTBOX_DROPPED, "{event}", [];

    /// Events that the consumer has not handled yet
    EVENTS_CONSUMER_LAG: UpDownCounter = names::EVENTS_CONSUMER_LAG, "{event}",
        [MESSAGING_DESTINATION_NAME, MESSAGING_DESTINATION_PARTITION_ID,
            MESSAGING_CONSUMER_GROUP_NAME];

    /// Duplicate events that were ignored
    EVENTS_CONSUMER_DUPLICATES: Counter = names::EVENTS_CONSUMER_DUPLICATES, "{event}", [];

    /// Events that were skipped because this version does not know their type
    EVENTS_CONSUMER_SKIPPED: Counter = names::EVENTS_CONSUMER_SKIPPED, "{event}", [];

    /// Attempts to handle an event again
    EVENTS_CONSUMER_RETRIES: Counter = names::EVENTS_CONSUMER_RETRIES, "{attempt}", [];

    /// Events that were sent to the dead letters because they could not be handled
    EVENTS_DEAD_LETTERED: Counter = names::EVENTS_DEAD_LETTERED, "{event}",
        [MESSAGING_DESTINATION_NAME, ERROR_TYPE];

    /// Open streams of the Activity page
    ACTIVITY_STREAMS: UpDownCounter = names::ACTIVITY_STREAMS, "{stream}", [];

    /// Streams of the Activity page that were refused because too many were open
    ACTIVITY_STREAMS_REFUSED: Counter = names::ACTIVITY_STREAMS_REFUSED, "{stream}", [];

    /// Data points that Prometheus does not get
    ADMISSION_DATA_POINTS_DROPPED: Counter = names::ADMISSION_DATA_POINTS_DROPPED,
        "{data_point}", [ADMISSION_SENDER, ADMISSION_REASON];

    /// Series of Prometheus that count for the limits of admission
    ADMISSION_SERIES_COUNT: UpDownCounter = names::ADMISSION_SERIES_COUNT, "{series}", [];

    /// Whether the supervisor answers: 1 or 0
    SUPERVISOR_UP: Gauge = names::SUPERVISOR_UP, "{supervisor}", [];

    /// Failed requests to the supervisor
    SUPERVISOR_REQUESTS_FAILED: Counter = names::SUPERVISOR_REQUESTS_FAILED, "{request}", [];

    /// Whether a process of the supervisor runs: 1 or 0
    SUPERVISOR_PROCESS_UP: Gauge = names::SUPERVISOR_PROCESS_UP, "{process}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Whether a process is ready by its probe: 1 or 0
    SUPERVISOR_PROCESS_READY: Gauge = names::SUPERVISOR_PROCESS_READY, "{process}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Restarts of a process by the supervisor
    SUPERVISOR_PROCESS_RESTARTS: Counter = names::SUPERVISOR_PROCESS_RESTARTS, "{restart}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Time since the last start of a process
    SUPERVISOR_PROCESS_AGE: Gauge = names::SUPERVISOR_PROCESS_AGE, "s",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Last exit code of a process
    SUPERVISOR_PROCESS_EXIT_CODE: Gauge = names::SUPERVISOR_PROCESS_EXIT_CODE, "{exit_code}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Processor time of a process and its child processes
    SUPERVISOR_PROCESS_CPU_TIME: Counter = names::SUPERVISOR_PROCESS_CPU_TIME, "s",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Physical memory in use by a process and its child processes
    SUPERVISOR_PROCESS_MEMORY_USAGE: UpDownCounter = names::SUPERVISOR_PROCESS_MEMORY_USAGE,
        "By", [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Processor time of the process
    PROCESS_CPU_TIME: Counter = names::PROCESS_CPU_TIME, "s", [CPU_MODE];

    /// Physical memory in use by the process
    PROCESS_MEMORY_USAGE: UpDownCounter = names::PROCESS_MEMORY_USAGE, "By", [];

    /// Virtual memory of the process
    PROCESS_MEMORY_VIRTUAL: UpDownCounter = names::PROCESS_MEMORY_VIRTUAL, "By", [];

    /// Threads of the process
    PROCESS_THREAD_COUNT: UpDownCounter = names::PROCESS_THREAD_COUNT, "{thread}", [];

    /// Open file descriptors of the process
    PROCESS_UNIX_FILE_DESCRIPTOR_COUNT: UpDownCounter =
        names::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, "{file_descriptor}", [];

    /// Time since the start of the process
    PROCESS_UPTIME: Gauge = names::PROCESS_UPTIME, "s", [];

    /// Worker threads of the runtime
    TOKIO_RUNTIME_WORKER_COUNT: UpDownCounter = names::TOKIO_RUNTIME_WORKER_COUNT, "{thread}", [];

    /// Tasks of the runtime that have not ended
    TOKIO_RUNTIME_TASK_COUNT: UpDownCounter = names::TOKIO_RUNTIME_TASK_COUNT, "{task}", [];

    /// Tasks in the global queue of the runtime
    TOKIO_RUNTIME_GLOBAL_QUEUE_LENGTH: UpDownCounter = names::TOKIO_RUNTIME_GLOBAL_QUEUE_LENGTH,
        "{task}", [];

    /// Log records that were dropped because the reader of stdout was too slow or gone
    LOG_STDOUT_DROPPED: Counter = names::LOG_STDOUT_DROPPED, "{log_record}", [];

    /// Spans that were passed to the exporter or dropped
    OTEL_SDK_PROCESSOR_SPAN_PROCESSED: Counter = names::OTEL_SDK_PROCESSOR_SPAN_PROCESSED,
        "{span}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Log records that were passed to the exporter or dropped
    OTEL_SDK_PROCESSOR_LOG_PROCESSED: Counter = names::OTEL_SDK_PROCESSOR_LOG_PROCESSED,
        "{log_record}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Spans whose export has succeeded or failed
    OTEL_SDK_EXPORTER_SPAN_EXPORTED: Counter = names::OTEL_SDK_EXPORTER_SPAN_EXPORTED,
        "{span}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Log records whose export has succeeded or failed
    OTEL_SDK_EXPORTER_LOG_EXPORTED: Counter = names::OTEL_SDK_EXPORTER_LOG_EXPORTED,
        "{log_record}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Metric data points whose export has succeeded or failed
    OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED: Counter =
        names::OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED, "{data_point}",
        [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];
}

/// A histogram with exemplars.
#[derive(Clone, Debug)]
pub struct Histogram(exemplars::Histogram<f64>);

impl Histogram {
    /// Records a value, with the current span for exemplars.
    pub fn record(&self, value: f64, attributes: &[KeyValue]) {
        self.0.record(value, attributes);
    }

    /// Records a value, with this span for exemplars.
    pub fn record_in(&self, span: &SpanContext, value: f64, attributes: &[KeyValue]) {
        self.0.record_in(span, value, attributes);
    }

    /// A handle for these attributes, which saves a lookup for each value.
    #[must_use]
    pub fn bind(&self, attributes: &[KeyValue]) -> BoundHistogram {
        BoundHistogram(self.0.bind(attributes))
    }
}

/// A [`Histogram`] for one set of attributes.
#[derive(Debug)]
pub struct BoundHistogram(exemplars::BoundHistogram<f64>);

impl BoundHistogram {
    /// Records a value, with this span for exemplars.
    pub fn record_in(&self, span: &SpanContext, value: f64) {
        self.0.record_in(span, value);
    }
}

/// Configures the export of histograms that are created afterwards. Only the first call has an effect.
pub(crate) fn configure(exemplars: Exemplars, aggregation: HistogramAggregation) {
    // The meter provider of the process is also set only once.
    let _ = HISTOGRAMS.set((exemplars, aggregation));
}

static HISTOGRAMS: OnceLock<(Exemplars, HistogramAggregation)> = OnceLock::new();

/// Whether the histogram of this name has bounds of its own, in every aggregation.
pub(crate) fn has_boundaries(name: &str) -> bool {
    ALL.iter()
        .any(|metric| metric.name == name && !metric.boundaries.is_empty())
}

impl Metric {
    /// A counter for the crate of this name. If it has no attributes, it is exported as zero from the
    /// start, since a rate needs a value before the first count.
    #[must_use]
    pub fn counter(&self, scope: &'static str) -> Counter<u64> {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        let counter = meter(scope)
            .u64_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build();
        if self.attributes.is_empty() {
            counter.add(0, &[]);
        }
        counter
    }

    /// A histogram for the crate of this name.
    #[must_use]
    pub fn histogram(&self, scope: &'static str) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        let (exemplars, aggregation) = HISTOGRAMS.get().cloned().unwrap_or_else(|| {
            let none = Exemplars::new(Filter::AlwaysOff);
            (none, HistogramAggregation::Exponential)
        });
        let (boundaries, explicit) = match self.boundaries {
            // These bounds are a recommendation, which the view for exponential histograms overrides.
            [] => (
                names::DURATION_BOUNDS.as_slice(),
                aggregation == HistogramAggregation::Explicit,
            ),
            own => (own, true),
        };
        let scope = self::scope(scope);
        let instrument = global::meter_with_scope(scope.clone())
            .f64_histogram(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_boundaries(boundaries.to_vec())
            .build();
        let reservoir = if explicit {
            Reservoir::Aligned(boundaries.to_vec())
        } else {
            Reservoir::Fixed(20)
        };
        Histogram(exemplars.histogram(&scope, self.name, instrument, reservoir))
    }

    /// A counter that `callback` reads at each export. The callback runs on the exporter's thread and must
    /// not block. The same holds for the other observed instruments.
    pub fn observed_counter<F>(&self, scope: &'static str, callback: F)
    where
        F: Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        meter(scope)
            .f64_observable_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(callback)
            .build();
    }

    /// An up-down counter that `callback` reads at each export.
    pub fn observed_up_down_counter<F>(&self, scope: &'static str, callback: F)
    where
        F: Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
    {
        debug_assert_eq!(self.kind, Kind::UpDownCounter, "{}", self.name);
        meter(scope)
            .i64_observable_up_down_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(callback)
            .build();
    }

    /// A gauge that `callback` reads at each export.
    pub fn observed_gauge<F>(&self, scope: &'static str, callback: F)
    where
        F: Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        meter(scope)
            .f64_observable_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(callback)
            .build();
    }
}

fn meter(name: &'static str) -> Meter {
    global::meter_with_scope(scope(name))
}

/// The scope of this name, marked with the current service.
fn scope(name: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder(name)
        .with_attributes(Service::current().mark())
        .build()
}

#[cfg(test)]
mod tests;
