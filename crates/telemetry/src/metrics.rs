//! Every metric of the project, declared once.
//!
//! `docs/telemetry.md` says what each is for; a test keeps the two alike. What a crate measures
//! it makes instruments of at its start, after [`crate::init`]: earlier ones measure nothing.
//!
//! What must not happen here: an attribute whose values a caller can choose.

pub use opentelemetry::metrics::Counter;

use std::sync::OnceLock;

use exemplars::{Exemplars, Filter, Reservoir};
use opentelemetry::{
    InstrumentationScope, KeyValue, global, metrics::AsyncInstrument, trace::SpanContext,
};

use crate::{HistogramAggregation, names};

/// What a metric is, for everyone who measures or reads it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, one of [`names`].
    pub name: &'static str,
    /// What its values can do.
    pub kind: Kind,
    /// Its unit, by the Unified Code for Units of Measure.
    pub unit: &'static str,
    /// What it counts or measures.
    pub description: &'static str,
    /// Upper bounds of a histogram's buckets; empty for the default aggregation.
    pub boundaries: &'static [f64],
    /// The attributes that its values may have.
    pub attributes: &'static [&'static str],
}

/// What the values of a metric can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only grow, and can be added up.
    Counter,
    /// Grow and shrink, and can be added up.
    UpDownCounter,
    /// Grow and shrink; a sum of them means nothing.
    Gauge,
    /// Are many, of which the distribution is of interest.
    Histogram,
}

/// Makes the constants and, so that none can be missing, [`ALL`] of them.
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

/// Bucket bounds, in seconds, that the conventions advise for database operations.
const DATABASE_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Bucket bounds, in seconds, around what a password hash is meant to cost.
const HASH_BOUNDS: &[f64] = &[
    0.01, 0.015, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5,
];

metrics! {
    /// Duration of HTTP server requests
    HTTP_SERVER_REQUEST_DURATION: Histogram = names::HTTP_SERVER_REQUEST_DURATION, "s",
        [HTTP_REQUEST_METHOD, URL_SCHEME, HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE, ERROR_TYPE];

    /// Duration of HTTP requests that were made, until the head of the answer
    HTTP_CLIENT_REQUEST_DURATION: Histogram = names::HTTP_CLIENT_REQUEST_DURATION, "s",
        [HTTP_REQUEST_METHOD, SERVER_ADDRESS, SERVER_PORT, URL_TEMPLATE, HTTP_RESPONSE_STATUS_CODE,
        ERROR_TYPE];

    /// Duration of RPCs, as the server sees them
    RPC_SERVER_CALL_DURATION: Histogram = names::RPC_SERVER_CALL_DURATION, "s",
        [RPC_SYSTEM_NAME, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, ERROR_TYPE];

    /// Duration of RPCs, as the client sees them
    RPC_CLIENT_CALL_DURATION: Histogram = names::RPC_CLIENT_CALL_DURATION, "s",
        [RPC_SYSTEM_NAME, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, SERVER_ADDRESS, SERVER_PORT,
        ERROR_TYPE];

    /// Calls of another service that were made again because it did not answer
    RPC_CLIENT_CALL_RETRIES: Counter = names::RPC_CLIENT_CALL_RETRIES, "{call}", [];

    /// Duration of database operations, with the wait for a connection
    DB_CLIENT_OPERATION_DURATION: Histogram = names::DB_CLIENT_OPERATION_DURATION, "s",
        [DB_SYSTEM_NAME, DB_NAMESPACE, DB_OPERATION_NAME, DB_COLLECTION_NAME, ERROR_TYPE],
        within DATABASE_BOUNDS;

    /// How long operations waited for a connection
    DB_CLIENT_CONNECTION_WAIT_TIME: Histogram = names::DB_CLIENT_CONNECTION_WAIT_TIME, "s",
        [DB_CLIENT_CONNECTION_POOL_NAME];

    /// Operations that wait for a connection
    DB_CLIENT_CONNECTION_PENDING_REQUESTS: UpDownCounter =
        names::DB_CLIENT_CONNECTION_PENDING_REQUESTS, "{request}",
        [DB_CLIENT_CONNECTION_POOL_NAME];

    /// Open connections to the database, by what they are doing
    DB_CLIENT_CONNECTION_COUNT: UpDownCounter = names::DB_CLIENT_CONNECTION_COUNT, "{connection}",
        [DB_CLIENT_CONNECTION_POOL_NAME, DB_CLIENT_CONNECTION_STATE];

    /// Sign-ins that succeeded
    SUCCESS_LOGIN: Counter = names::SUCCESS_LOGIN, "{call}", [];

    /// Sign-ins that did not succeed
    FAILED_LOGIN: Counter = names::FAILED_LOGIN, "{call}", [RPC_RESPONSE_STATUS_CODE];

    /// Accounts that were read
    SUCCESS_ME: Counter = names::SUCCESS_ME, "{call}", [];

    /// Accounts that were not read
    FAILED_ME: Counter = names::FAILED_ME, "{call}", [RPC_RESPONSE_STATUS_CODE];

    /// Registrations that succeeded
    SUCCESS_REGISTER: Counter = names::SUCCESS_REGISTER, "{call}", [];

    /// Registrations that did not succeed
    FAILED_REGISTER: Counter = names::FAILED_REGISTER, "{call}", [RPC_RESPONSE_STATUS_CODE];

    /// Accounts that were created
    USER_REGISTRATIONS: Counter = names::USER_REGISTRATIONS, "{account}", [];

    /// Accounts that there are
    USER_ACCOUNT_COUNT: UpDownCounter = names::USER_ACCOUNT_COUNT, "{account}", [];

    /// How long a password hash takes, without the wait for its turn
    USER_PASSWORD_HASH_DURATION: Histogram = names::USER_PASSWORD_HASH_DURATION, "s", [],
        within HASH_BOUNDS;

    /// Passwords that wait to be hashed
    USER_PASSWORD_HASH_QUEUE_LENGTH: UpDownCounter = names::USER_PASSWORD_HASH_QUEUE_LENGTH,
        "{password}", [];

    /// Passwords that were not hashed because too many waited
    USER_PASSWORD_HASH_REFUSED: Counter = names::USER_PASSWORD_HASH_REFUSED, "{password}", [];

    /// Sessions that were opened
    AUTH_SESSIONS_OPENED: Counter = names::AUTH_SESSIONS_OPENED, "{session}", [];

    /// Sessions that were closed
    AUTH_SESSIONS_CLOSED: Counter = names::AUTH_SESSIONS_CLOSED, "{session}", [AUTH_REASON];

    /// Sessions that are open
    AUTH_SESSIONS_ACTIVE: UpDownCounter = names::AUTH_SESSIONS_ACTIVE, "{session}", [];

    /// Tokens that were rejected
    AUTH_TOKENS_REJECTED: Counter = names::AUTH_TOKENS_REJECTED, "{token}", [AUTH_REASON];

    /// Sign-ins that were refused because too many had failed
    AUTH_ATTEMPTS_LIMITED: Counter = names::AUTH_ATTEMPTS_LIMITED, "{attempt}",
        [AUTH_LIMIT_SCOPE];

    /// Messages that were given to the broker, which has them or refused them
    MESSAGING_CLIENT_SENT_MESSAGES: Counter = names::MESSAGING_CLIENT_SENT_MESSAGES, "{message}",
        [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_DESTINATION_NAME, ERROR_TYPE];

    /// Duration of messaging operations
    MESSAGING_CLIENT_OPERATION_DURATION: Histogram = names::MESSAGING_CLIENT_OPERATION_DURATION,
        "s", [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE,
            MESSAGING_DESTINATION_NAME, ERROR_TYPE];

    /// Messages that were received
    MESSAGING_CLIENT_CONSUMED_MESSAGES: Counter = names::MESSAGING_CLIENT_CONSUMED_MESSAGES,
        "{message}", [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_DESTINATION_NAME,
            MESSAGING_CONSUMER_GROUP_NAME, ERROR_TYPE];

    /// How long the handling of a message takes, with all attempts
    MESSAGING_PROCESS_DURATION: Histogram = names::MESSAGING_PROCESS_DURATION, "s",
        [MESSAGING_SYSTEM, MESSAGING_OPERATION_NAME, MESSAGING_DESTINATION_NAME,
            MESSAGING_CONSUMER_GROUP_NAME, ERROR_TYPE];

    /// Events that wait to be sent
    EVENTS_OUTBOX_LENGTH: UpDownCounter = names::EVENTS_OUTBOX_LENGTH, "{event}", [];

    /// Age of the oldest event that the broker does not have
    EVENTS_OUTBOX_OLDEST_AGE: Gauge = names::EVENTS_OUTBOX_OLDEST_AGE, "s", [];

    /// Events that were dropped because the outbox did not take them in time
    EVENTS_OUTBOX_DROPPED: Counter = names::EVENTS_OUTBOX_DROPPED, "{event}", [];

    /// Events that the consumer has not handled yet
    EVENTS_CONSUMER_LAG: UpDownCounter = names::EVENTS_CONSUMER_LAG, "{event}",
        [MESSAGING_DESTINATION_NAME, MESSAGING_DESTINATION_PARTITION_ID,
            MESSAGING_CONSUMER_GROUP_NAME];

    /// Events that came again and were dropped
    EVENTS_CONSUMER_DUPLICATES: Counter = names::EVENTS_CONSUMER_DUPLICATES, "{event}", [];

    /// Events that were skipped because this version does not know their type
    EVENTS_CONSUMER_SKIPPED: Counter = names::EVENTS_CONSUMER_SKIPPED, "{event}", [];

    /// Attempts to handle an event again
    EVENTS_CONSUMER_RETRIES: Counter = names::EVENTS_CONSUMER_RETRIES, "{attempt}", [];

    /// Events that were set aside because they could not be handled
    EVENTS_DEAD_LETTERED: Counter = names::EVENTS_DEAD_LETTERED, "{event}",
        [MESSAGING_DESTINATION_NAME, ERROR_TYPE];

    /// Streams of the Activity page that are open
    ACTIVITY_STREAMS: UpDownCounter = names::ACTIVITY_STREAMS, "{stream}", [];

    /// Streams of the Activity page that were refused because too many were open
    ACTIVITY_STREAMS_REFUSED: Counter = names::ACTIVITY_STREAMS_REFUSED, "{stream}", [];

    /// Whether the supervisor answers: 1 or 0
    SUPERVISOR_UP: Gauge = names::SUPERVISOR_UP, "{supervisor}", [];

    /// Requests that the supervisor did not answer
    SUPERVISOR_REQUESTS_FAILED: Counter = names::SUPERVISOR_REQUESTS_FAILED, "{request}", [];

    /// Whether a process of the supervisor runs: 1 or 0
    SUPERVISOR_PROCESS_UP: Gauge = names::SUPERVISOR_PROCESS_UP, "{process}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Whether the probe of a process says that it is ready: 1 or 0
    SUPERVISOR_PROCESS_READY: Gauge = names::SUPERVISOR_PROCESS_READY, "{process}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// How often the supervisor started a process again
    SUPERVISOR_PROCESS_RESTARTS: Counter = names::SUPERVISOR_PROCESS_RESTARTS, "{restart}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Time since the last start of a process
    SUPERVISOR_PROCESS_AGE: Gauge = names::SUPERVISOR_PROCESS_AGE, "s",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// What a process ended with the last time
    SUPERVISOR_PROCESS_EXIT_CODE: Gauge = names::SUPERVISOR_PROCESS_EXIT_CODE, "{exit_code}",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Processor time of a process and of all that it started
    SUPERVISOR_PROCESS_CPU_TIME: Counter = names::SUPERVISOR_PROCESS_CPU_TIME, "s",
        [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Physical memory in use by a process and all that it started
    SUPERVISOR_PROCESS_MEMORY_USAGE: UpDownCounter = names::SUPERVISOR_PROCESS_MEMORY_USAGE,
        "By", [SUPERVISOR_PROCESS_NAME, SUPERVISOR_PROCESS_NAMESPACE];

    /// Processor time
    PROCESS_CPU_TIME: Counter = names::PROCESS_CPU_TIME, "s", [CPU_MODE];

    /// Physical memory in use
    PROCESS_MEMORY_USAGE: UpDownCounter = names::PROCESS_MEMORY_USAGE, "By", [];

    /// Virtual memory
    PROCESS_MEMORY_VIRTUAL: UpDownCounter = names::PROCESS_MEMORY_VIRTUAL, "By", [];

    /// Threads
    PROCESS_THREAD_COUNT: UpDownCounter = names::PROCESS_THREAD_COUNT, "{thread}", [];

    /// Open file descriptors
    PROCESS_UNIX_FILE_DESCRIPTOR_COUNT: UpDownCounter =
        names::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, "{file_descriptor}", [];

    /// Time since the start of the process
    PROCESS_UPTIME: Gauge = names::PROCESS_UPTIME, "s", [];

    /// Worker threads of the runtime
    TOKIO_RUNTIME_WORKER_COUNT: UpDownCounter = names::TOKIO_RUNTIME_WORKER_COUNT, "{thread}", [];

    /// Tasks of the runtime that have not ended
    TOKIO_RUNTIME_TASK_COUNT: UpDownCounter = names::TOKIO_RUNTIME_TASK_COUNT, "{task}", [];

    /// Tasks that wait for any worker of the runtime
    TOKIO_RUNTIME_GLOBAL_QUEUE_LENGTH: UpDownCounter = names::TOKIO_RUNTIME_GLOBAL_QUEUE_LENGTH,
        "{task}", [];

    /// Log records that were dropped because stdout did not take them
    LOG_STDOUT_DROPPED: Counter = names::LOG_STDOUT_DROPPED, "{log_record}", [];

    /// Spans that were given to the exporter, or dropped
    OTEL_SDK_PROCESSOR_SPAN_PROCESSED: Counter = names::OTEL_SDK_PROCESSOR_SPAN_PROCESSED,
        "{span}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Log records that were given to the exporter, or dropped
    OTEL_SDK_PROCESSOR_LOG_PROCESSED: Counter = names::OTEL_SDK_PROCESSOR_LOG_PROCESSED,
        "{log_record}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Spans whose export has ended, well or not
    OTEL_SDK_EXPORTER_SPAN_EXPORTED: Counter = names::OTEL_SDK_EXPORTER_SPAN_EXPORTED,
        "{span}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Log records whose export has ended, well or not
    OTEL_SDK_EXPORTER_LOG_EXPORTED: Counter = names::OTEL_SDK_EXPORTER_LOG_EXPORTED,
        "{log_record}", [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];

    /// Metric data points whose export has ended, well or not
    OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED: Counter =
        names::OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED, "{data_point}",
        [OTEL_COMPONENT_TYPE, OTEL_COMPONENT_NAME, ERROR_TYPE];
}

/// A histogram of durations and the like, with exemplars.
#[derive(Clone, Debug)]
pub struct Histogram(exemplars::Histogram<f64>);

impl Histogram {
    /// Records a value within the current span.
    pub fn record(&self, value: f64, attributes: &[KeyValue]) {
        self.0.record(value, attributes);
    }

    /// Records a value within this span.
    pub fn record_in(&self, span: &SpanContext, value: f64, attributes: &[KeyValue]) {
        self.0.record_in(span, value, attributes);
    }

    /// This histogram for these attributes alone, which need not be looked up for each value.
    #[must_use]
    pub fn bind(&self, attributes: &[KeyValue]) -> BoundHistogram {
        BoundHistogram(self.0.bind(attributes))
    }
}

/// A [`Histogram`] for one set of attributes.
#[derive(Debug)]
pub struct BoundHistogram(exemplars::BoundHistogram<f64>);

impl BoundHistogram {
    /// Records a value within this span.
    pub fn record_in(&self, span: &SpanContext, value: f64) {
        self.0.record_in(span, value);
    }
}

/// How histograms that are made from now on are exported. Of several, the first stays.
pub(crate) fn configure(exemplars: Exemplars, aggregation: HistogramAggregation) {
    // The meter provider of the process is set once as well.
    let _ = HISTOGRAMS.set((exemplars, aggregation));
}

static HISTOGRAMS: OnceLock<(Exemplars, HistogramAggregation)> = OnceLock::new();

/// Whether the histogram of this name has bounds of its own, in every aggregation.
pub(crate) fn has_boundaries(name: &str) -> bool {
    ALL.iter()
        .any(|metric| metric.name == name && !metric.boundaries.is_empty())
}

impl Metric {
    /// A counter for the crate of this name. Without attributes it is exported from the start,
    /// as zero: a rate needs a value before the first count.
    #[must_use]
    pub fn counter(&self, scope: &'static str) -> Counter<u64> {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        let counter = global::meter(scope)
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
            // Advice, which the view for exponential histograms does not take.
            [] => (
                names::DURATION_BOUNDS.as_slice(),
                aggregation == HistogramAggregation::Explicit,
            ),
            own => (own, true),
        };
        let instrument = global::meter(scope)
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
        let scope = InstrumentationScope::builder(scope).build();
        Histogram(exemplars.histogram(&scope, self.name, instrument, reservoir))
    }

    /// A counter that is read by `callback` at each export, on the exporter's thread: it must
    /// not wait for anything. The same holds for the others that are observed.
    pub fn observed_counter<F>(&self, scope: &'static str, callback: F)
    where
        F: Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        global::meter(scope)
            .f64_observable_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(callback)
            .build();
    }

    /// An up-down counter that is read by `callback` at each export.
    pub fn observed_up_down_counter<F>(&self, scope: &'static str, callback: F)
    where
        F: Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
    {
        debug_assert_eq!(self.kind, Kind::UpDownCounter, "{}", self.name);
        global::meter(scope)
            .i64_observable_up_down_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(callback)
            .build();
    }

    /// A gauge that is read by `callback` at each export.
    pub fn observed_gauge<F>(&self, scope: &'static str, callback: F)
    where
        F: Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        global::meter(scope)
            .f64_observable_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(callback)
            .build();
    }
}

#[cfg(test)]
mod tests;
