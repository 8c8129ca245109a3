//! The names of everything that is exported.
//!
//! Semantic conventions first (OpenTelemetry semantic conventions 1.40); what they lack is
//! named in their manner.

pub use opentelemetry_semantic_conventions::{
    attribute::{
        CLIENT_ADDRESS, ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
        RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME, SERVER_ADDRESS, SERVER_PORT,
        URL_PATH, URL_SCHEME,
    },
    metric::{HTTP_SERVER_REQUEST_DURATION, RPC_CLIENT_CALL_DURATION, RPC_SERVER_CALL_DURATION},
};

/// The value of [`RPC_SYSTEM_NAME`] here.
pub const GRPC: &str = "grpc";

/// What replaces a method that the server does not know, so that a caller cannot make series.
pub const OTHER: &str = "_OTHER";

/// Bucket bounds, in seconds, that the conventions advise for durations of calls.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
