//! The JSON encoding of OTLP: protobuf's JSON mapping, with ids in hex and enums as numbers.
//!
//! A transcoder between JSON and protobuf bytes, driven by a table of the fields of each message.
//! The generated types can read JSON too, with the feature `with-serde` of opentelemetry-proto.
//! That reader refuses `null` for ids and arrays, `"NaN"` as a `doubleValue`, and unknown fields
//! of an `AnyValue`. It accepts an array in place of a message.
//!
//! The decoder reads the JSON text as a stream into protobuf bytes, without a tree of its values.
//! Unknown fields are skipped at every level, and `null` is the default of every field. OTLP
//! refuses the names of enum values. Two rules are ours: a field given twice is an error, and
//! objects and arrays nest at most 127 levels deep.

mod decode;
mod encode;
mod number;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};

pub use crate::json::table::Table;
pub(crate) use crate::json::{decode::wire, table::Kind};

/// A request or response of OTLP.
pub trait Message: prost::Message + Default {
    #[doc(hidden)]
    fn table() -> &'static Table;
}

/// Reads a message from JSON.
///
/// # Errors
///
/// If the text is not valid JSON, or not the JSON form of the message.
pub fn decode<M: Message>(json: &[u8]) -> Result<M, Error> {
    let wire = wire(M::table(), json)?;
    M::decode(wire.as_slice()).map_err(|error| Error {
        field: String::new(),
        reason: error.to_string(),
    })
}

/// Writes a message as JSON on one line.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    encode::json(M::table(), &message.encode_to_vec())
}

/// The reason why JSON is not a valid message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    field: String,
    reason: String,
}

impl Error {
    /// The path of the invalid field, for example `resourceSpans[0].scopeSpans[1].spans[2].traceId`.
    /// Empty if the message as a whole is invalid.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with the field, and where in the text.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}

impl Message for ExportTraceServiceRequest {
    fn table() -> &'static Table {
        &table::EXPORT_TRACE_SERVICE_REQUEST
    }
}

impl Message for ExportTraceServiceResponse {
    fn table() -> &'static Table {
        &table::EXPORT_TRACE_SERVICE_RESPONSE
    }
}

impl Message for ExportMetricsServiceRequest {
    fn table() -> &'static Table {
        &table::EXPORT_METRICS_SERVICE_REQUEST
    }
}

impl Message for ExportMetricsServiceResponse {
    fn table() -> &'static Table {
        &table::EXPORT_METRICS_SERVICE_RESPONSE
    }
}

impl Message for ExportLogsServiceRequest {
    fn table() -> &'static Table {
        &table::EXPORT_LOGS_SERVICE_REQUEST
    }
}

impl Message for ExportLogsServiceResponse {
    fn table() -> &'static Table {
        &table::EXPORT_LOGS_SERVICE_RESPONSE
    }
}
