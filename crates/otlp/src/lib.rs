//! Receiver of OpenTelemetry data: OTLP over gRPC and HTTP, in protobuf and JSON.
//!
//! The receiver decodes and checks requests, and hands them to a [`Sink`]. Its answers follow the
//! [OTLP specification](https://opentelemetry.io/docs/specs/otlp/).

pub mod json;
mod sink;

pub use crate::sink::{Accepted, Busy, Sink};
