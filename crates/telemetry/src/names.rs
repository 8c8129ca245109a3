//! The names of exported metrics and attributes.
//!
//! They come from the OpenTelemetry semantic conventions 1.42. Names that these lack follow their
//! style. [`crate::metrics`] describes each metric.

pub use opentelemetry_semantic_conventions::{
    attribute::{
        CLIENT_ADDRESS, CPU_MODE, DB_CLIENT_CONNECTION_POOL_NAME, DB_CLIENT_CONNECTION_STATE,
        DB_COLLECTION_NAME, DB_NAMESPACE, DB_OPERATION_NAME, DB_QUERY_SUMMARY, DB_SYSTEM_NAME,
        ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_RESPONSE_STATUS_CODE,
        HTTP_ROUTE, MESSAGING_CLIENT_ID, MESSAGING_CONSUMER_GROUP_NAME, MESSAGING_DESTINATION_NAME,
        MESSAGING_DESTINATION_PARTITION_ID, MESSAGING_KAFKA_OFFSET, MESSAGING_MESSAGE_ID,
        MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE, MESSAGING_SYSTEM, OTEL_COMPONENT_NAME,
        OTEL_COMPONENT_TYPE, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME, SERVER_ADDRESS,
        SERVER_PORT, URL_FULL, URL_PATH, URL_SCHEME, URL_TEMPLATE,
    },
    metric::{
        DB_CLIENT_CONNECTION_COUNT, DB_CLIENT_CONNECTION_PENDING_REQUESTS,
        DB_CLIENT_CONNECTION_WAIT_TIME, DB_CLIENT_OPERATION_DURATION, HTTP_CLIENT_REQUEST_DURATION,
        HTTP_SERVER_REQUEST_DURATION, MESSAGING_CLIENT_CONSUMED_MESSAGES,
        MESSAGING_CLIENT_OPERATION_DURATION, MESSAGING_CLIENT_SENT_MESSAGES,
        MESSAGING_PROCESS_DURATION, OTEL_SDK_EXPORTER_LOG_EXPORTED,
        OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED, OTEL_SDK_EXPORTER_SPAN_EXPORTED,
        OTEL_SDK_PROCESSOR_LOG_PROCESSED, OTEL_SDK_PROCESSOR_SPAN_PROCESSED, PROCESS_CPU_TIME,
        PROCESS_MEMORY_USAGE, PROCESS_MEMORY_VIRTUAL, PROCESS_THREAD_COUNT,
        PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, PROCESS_UPTIME, RPC_CLIENT_CALL_DURATION,
        RPC_SERVER_CALL_DURATION,
    },
};

/// The value of [`RPC_SYSTEM_NAME`] here.
pub const GRPC: &str = "grpc";

/// The value of [`DB_SYSTEM_NAME`] here.
pub const SQLITE: &str = "sqlite";

/// The value of [`MESSAGING_SYSTEM`] here.
pub const KAFKA: &str = "kafka";

/// Replaces unknown values of an attribute, so that a caller cannot create new series.
pub const OTHER: &str = "_OTHER";

/// Why a session was closed, or a token rejected.
pub const AUTH_REASON: &str = "auth.reason";

/// The limit that refused an attempt: `account`, `address` or `registration`.
pub const AUTH_LIMIT_SCOPE: &str = "auth.limit.scope";

/// The service whose data points are dropped, as `service.name` or `service.namespace/service.name`.
pub const ADMISSION_SENDER: &str = "admission.sender";

/// Why data points are dropped: `max_series`, `max_series_per_service`, `max_services` or `refused`.
pub const ADMISSION_REASON: &str = "admission.reason";

/// Data points that Prometheus does not get.
pub const ADMISSION_DATA_POINTS_DROPPED: &str = "admission.data_points.dropped";

/// Series of Prometheus that count for the limits of admission.
pub const ADMISSION_SERIES_COUNT: &str = "admission.series.count";

/// Retries of calls.
pub const RPC_CLIENT_CALL_RETRIES: &str = "rpc.client.call.retries";

/// Worker threads of the runtime.
pub const TOKIO_RUNTIME_WORKER_COUNT: &str = "tokio.runtime.worker.count";

/// Tasks of the runtime.
pub const TOKIO_RUNTIME_TASK_COUNT: &str = "tokio.runtime.task.count";

/// Tasks in the runtime's global queue.
pub const TOKIO_RUNTIME_GLOBAL_QUEUE_LENGTH: &str = "tokio.runtime.global_queue.length";

/// Log records that were dropped before stdout.
pub const LOG_STDOUT_DROPPED: &str = "log.stdout.dropped";

/// Sign-ins that succeeded.
pub const SUCCESS_LOGIN: &str = "success_login";

/// Sign-ins that failed.
pub const FAILED_LOGIN: &str = "failed_login";

/// Account pages that were shown.
pub const SUCCESS_ME: &str = "success_me";

/// Account pages that could not be shown.
pub const FAILED_ME: &str = "failed_me";

/// Registrations that succeeded.
pub const SUCCESS_REGISTER: &str = "success_register";

/// Registrations that failed.
pub const FAILED_REGISTER: &str = "failed_register";

/// Accounts that were created.
pub const USER_REGISTRATIONS: &str = "user.registrations";

/// Accounts in the database.
pub const USER_ACCOUNT_COUNT: &str = "user.account.count";

/// Duration of password hashes.
pub const USER_PASSWORD_HASH_DURATION: &str = "user.password.hash.duration";

/// Passwords that wait to be hashed.
pub const USER_PASSWORD_HASH_QUEUE_LENGTH: &str = "user.password.hash.queue.length";

/// Passwords that were refused because the queue was full.
pub const USER_PASSWORD_HASH_REFUSED: &str = "user.password.hash.refused";

/// Sessions that were opened.
pub const AUTH_SESSIONS_OPENED: &str = "auth.sessions.opened";

/// Sessions that were closed.
pub const AUTH_SESSIONS_CLOSED: &str = "auth.sessions.closed";

/// Sessions that are open.
pub const AUTH_SESSIONS_ACTIVE: &str = "auth.sessions.active";

/// Tokens that were rejected.
pub const AUTH_TOKENS_REJECTED: &str = "auth.tokens.rejected";

/// Attempts to sign in or register that were refused because there were too many.
pub const AUTH_ATTEMPTS_LIMITED: &str = "auth.attempts.limited";

/// Events that wait to be sent.
pub const EVENTS_OUTBOX_LENGTH: &str = "events.outbox.length";

/// Age of the oldest event that the broker does not have yet.
pub const EVENTS_OUTBOX_OLDEST_AGE: &str = "events.outbox.oldest.age";

/// Events that were dropped before they were written to the outbox.
pub const EVENTS_OUTBOX_DROPPED: &str = "events.outbox.dropped";

/// Events that a consumer has not handled yet.
pub const EVENTS_CONSUMER_LAG: &str = "events.consumer.lag";

/// Duplicate events that were ignored.
pub const EVENTS_CONSUMER_DUPLICATES: &str = "events.consumer.duplicates";

/// Events that were skipped because their type is unknown.
pub const EVENTS_CONSUMER_SKIPPED: &str = "events.consumer.skipped";

/// Attempts to handle an event again.
pub const EVENTS_CONSUMER_RETRIES: &str = "events.consumer.retries";

/// Events that were sent to the dead letters.
pub const EVENTS_DEAD_LETTERED: &str = "events.dead_lettered";

/// Open streams of the Activity page.
pub const ACTIVITY_STREAMS: &str = "activity.streams";

/// Streams of the Activity page that were refused because too many were open.
pub const ACTIVITY_STREAMS_REFUSED: &str = "activity.streams.refused";

/// The name of a process in the supervisor's configuration.
pub const SUPERVISOR_PROCESS_NAME: &str = "supervisor.process.name";

/// The namespace of a process in the supervisor's configuration.
pub const SUPERVISOR_PROCESS_NAMESPACE: &str = "supervisor.process.namespace";

/// Whether the supervisor answers.
pub const SUPERVISOR_UP: &str = "supervisor.up";

/// Failed requests to the supervisor.
pub const SUPERVISOR_REQUESTS_FAILED: &str = "supervisor.requests.failed";

/// Whether a process runs.
pub const SUPERVISOR_PROCESS_UP: &str = "supervisor.process.up";

/// Whether a process is ready.
pub const SUPERVISOR_PROCESS_READY: &str = "supervisor.process.ready";

/// Restarts of a process.
pub const SUPERVISOR_PROCESS_RESTARTS: &str = "supervisor.process.restarts";

/// Time since the last start of a process.
pub const SUPERVISOR_PROCESS_AGE: &str = "supervisor.process.age";

/// Last exit code of a process.
pub const SUPERVISOR_PROCESS_EXIT_CODE: &str = "supervisor.process.exit_code";

/// Processor time of a process and its child processes.
pub const SUPERVISOR_PROCESS_CPU_TIME: &str = "supervisor.process.cpu.time";

/// Memory of a process and its child processes.
pub const SUPERVISOR_PROCESS_MEMORY_USAGE: &str = "supervisor.process.memory.usage";

/// Bucket bounds, in seconds, that the conventions recommend for durations of calls.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
