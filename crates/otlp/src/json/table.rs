//! The fields of the OTLP messages.
//!
//! Tags and types are those of opentelemetry-proto 1.11. A test compares them with the generated
//! types.

use std::fmt;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1 as logs_service, metrics::v1 as metrics_service, trace::v1 as trace_service,
    },
    common::v1 as common,
    logs::v1 as logs,
    metrics::v1 as metrics,
    resource::v1::Resource,
    trace::v1 as trace,
};
use prost::encoding::WireType;

/// The fields of a message type, and the bytes that one message of it takes in memory without what it
/// points to.
pub struct Table(pub(crate) &'static [Field], pub(crate) usize);

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) tag: u32,
    /// The name in JSON.
    pub(super) name: &'static str,
    pub(crate) kind: Kind,
    pub(super) label: Label,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Label {
    Single,
    /// A member of a oneof. No message of OTLP has two of them.
    Oneof,
    Repeated,
}

/// The type of a field, and of each element of a repeated field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    String,
    Bool,
    /// Bytes that OTLP writes in hex.
    Id,
    Bytes,
    Double,
    Number(Number),
    Message(&'static Table),
}

/// The types of whole numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Number {
    Enum,
    Int32,
    Uint32,
    Sint32,
    Fixed32,
    Int64,
    Uint64,
    Fixed64,
    Sfixed64,
}

// Shows names alone, because messages contain each other.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|field| field.name))
            .finish()
    }
}

impl Kind {
    /// Whether protobuf packs repeated values of this type.
    pub(crate) const fn is_packed(self) -> bool {
        matches!(self, Self::Bool | Self::Double | Self::Number(_))
    }

    /// The wire type of a value that is not packed.
    pub(crate) const fn wire_type(self) -> WireType {
        match self {
            Self::String | Self::Id | Self::Bytes | Self::Message(_) => WireType::LengthDelimited,
            Self::Bool => WireType::Varint,
            Self::Double => WireType::SixtyFourBit,
            Self::Number(number) => number.wire_type(),
        }
    }
}

impl Number {
    pub(crate) const fn wire_type(self) -> WireType {
        match self {
            Self::Fixed32 => WireType::ThirtyTwoBit,
            Self::Fixed64 | Self::Sfixed64 => WireType::SixtyFourBit,
            Self::Enum | Self::Int32 | Self::Uint32 | Self::Sint32 | Self::Int64 | Self::Uint64 => {
                WireType::Varint
            }
        }
    }

    /// The least and the greatest value.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Self::Enum | Self::Int32 | Self::Sint32 => (i32::MIN.into(), i32::MAX.into()),
            Self::Uint32 | Self::Fixed32 => (0, u32::MAX.into()),
            Self::Int64 | Self::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
            Self::Uint64 | Self::Fixed64 => (0, u64::MAX.into()),
        }
    }
}

const fn single(tag: u32, name: &'static str, kind: Kind) -> Field {
    field(tag, name, kind, Label::Single)
}

const fn oneof(tag: u32, name: &'static str, kind: Kind) -> Field {
    field(tag, name, kind, Label::Oneof)
}

const fn repeated(tag: u32, name: &'static str, kind: Kind) -> Field {
    field(tag, name, kind, Label::Repeated)
}

const fn field(tag: u32, name: &'static str, kind: Kind, label: Label) -> Field {
    Field {
        tag,
        name,
        kind,
        label,
    }
}

pub(super) static ANY_VALUE: Table = Table(
    &[
        oneof(1, "stringValue", Kind::String),
        oneof(2, "boolValue", Kind::Bool),
        oneof(3, "intValue", Kind::Number(Number::Int64)),
        oneof(4, "doubleValue", Kind::Double),
        oneof(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
        oneof(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        oneof(7, "bytesValue", Kind::Bytes),
        oneof(8, "stringValueStrindex", Kind::Number(Number::Int32)),
    ],
    size_of::<common::AnyValue>(),
);

pub(super) static ARRAY_VALUE: Table = Table(
    &[repeated(1, "values", Kind::Message(&ANY_VALUE))],
    size_of::<common::ArrayValue>(),
);

pub(super) static KEY_VALUE_LIST: Table = Table(
    &[repeated(1, "values", Kind::Message(&KEY_VALUE))],
    size_of::<common::KeyValueList>(),
);

pub(super) static KEY_VALUE: Table = Table(
    &[
        single(1, "key", Kind::String),
        single(2, "value", Kind::Message(&ANY_VALUE)),
        single(3, "keyStrindex", Kind::Number(Number::Int32)),
    ],
    size_of::<common::KeyValue>(),
);

pub(super) static INSTRUMENTATION_SCOPE: Table = Table(
    &[
        single(1, "name", Kind::String),
        single(2, "version", Kind::String),
        repeated(3, "attributes", Kind::Message(&KEY_VALUE)),
        single(4, "droppedAttributesCount", Kind::Number(Number::Uint32)),
    ],
    size_of::<common::InstrumentationScope>(),
);

pub(super) static ENTITY_REF: Table = Table(
    &[
        single(1, "schemaUrl", Kind::String),
        single(2, "type", Kind::String),
        repeated(3, "idKeys", Kind::String),
        repeated(4, "descriptionKeys", Kind::String),
    ],
    size_of::<common::EntityRef>(),
);

pub(super) static RESOURCE: Table = Table(
    &[
        repeated(1, "attributes", Kind::Message(&KEY_VALUE)),
        single(2, "droppedAttributesCount", Kind::Number(Number::Uint32)),
        repeated(3, "entityRefs", Kind::Message(&ENTITY_REF)),
    ],
    size_of::<Resource>(),
);

pub(super) static RESOURCE_SPANS: Table = Table(
    &[
        single(1, "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
        single(3, "schemaUrl", Kind::String),
    ],
    size_of::<trace::ResourceSpans>(),
);

pub(super) static SCOPE_SPANS: Table = Table(
    &[
        single(1, "scope", Kind::Message(&INSTRUMENTATION_SCOPE)),
        repeated(2, "spans", Kind::Message(&SPAN)),
        single(3, "schemaUrl", Kind::String),
    ],
    size_of::<trace::ScopeSpans>(),
);

pub(super) static SPAN: Table = Table(
    &[
        single(1, "traceId", Kind::Id),
        single(2, "spanId", Kind::Id),
        single(3, "traceState", Kind::String),
        single(4, "parentSpanId", Kind::Id),
        single(16, "flags", Kind::Number(Number::Fixed32)),
        single(5, "name", Kind::String),
        single(6, "kind", Kind::Number(Number::Enum)),
        single(7, "startTimeUnixNano", Kind::Number(Number::Fixed64)),
        single(8, "endTimeUnixNano", Kind::Number(Number::Fixed64)),
        repeated(9, "attributes", Kind::Message(&KEY_VALUE)),
        single(10, "droppedAttributesCount", Kind::Number(Number::Uint32)),
        repeated(11, "events", Kind::Message(&EVENT)),
        single(12, "droppedEventsCount", Kind::Number(Number::Uint32)),
        repeated(13, "links", Kind::Message(&LINK)),
        single(14, "droppedLinksCount", Kind::Number(Number::Uint32)),
        single(15, "status", Kind::Message(&STATUS)),
    ],
    size_of::<trace::Span>(),
);

pub(super) static EVENT: Table = Table(
    &[
        single(1, "timeUnixNano", Kind::Number(Number::Fixed64)),
        single(2, "name", Kind::String),
        repeated(3, "attributes", Kind::Message(&KEY_VALUE)),
        single(4, "droppedAttributesCount", Kind::Number(Number::Uint32)),
    ],
    size_of::<trace::span::Event>(),
);

pub(super) static LINK: Table = Table(
    &[
        single(1, "traceId", Kind::Id),
        single(2, "spanId", Kind::Id),
        single(3, "traceState", Kind::String),
        repeated(4, "attributes", Kind::Message(&KEY_VALUE)),
        single(5, "droppedAttributesCount", Kind::Number(Number::Uint32)),
        single(6, "flags", Kind::Number(Number::Fixed32)),
    ],
    size_of::<trace::span::Link>(),
);

pub(super) static STATUS: Table = Table(
    &[
        single(2, "message", Kind::String),
        single(3, "code", Kind::Number(Number::Enum)),
    ],
    size_of::<trace::Status>(),
);

pub(super) static RESOURCE_METRICS: Table = Table(
    &[
        single(1, "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
        single(3, "schemaUrl", Kind::String),
    ],
    size_of::<metrics::ResourceMetrics>(),
);

pub(super) static SCOPE_METRICS: Table = Table(
    &[
        single(1, "scope", Kind::Message(&INSTRUMENTATION_SCOPE)),
        repeated(2, "metrics", Kind::Message(&METRIC)),
        single(3, "schemaUrl", Kind::String),
    ],
    size_of::<metrics::ScopeMetrics>(),
);

pub(super) static METRIC: Table = Table(
    &[
        single(1, "name", Kind::String),
        single(2, "description", Kind::String),
        single(3, "unit", Kind::String),
        oneof(5, "gauge", Kind::Message(&GAUGE)),
        oneof(7, "sum", Kind::Message(&SUM)),
        oneof(9, "histogram", Kind::Message(&HISTOGRAM)),
        oneof(
            10,
            "exponentialHistogram",
            Kind::Message(&EXPONENTIAL_HISTOGRAM),
        ),
        oneof(11, "summary", Kind::Message(&SUMMARY)),
        repeated(12, "metadata", Kind::Message(&KEY_VALUE)),
    ],
    size_of::<metrics::Metric>(),
);

pub(super) static GAUGE: Table = Table(
    &[repeated(1, "dataPoints", Kind::Message(&NUMBER_DATA_POINT))],
    size_of::<metrics::Gauge>(),
);

pub(super) static SUM: Table = Table(
    &[
        repeated(1, "dataPoints", Kind::Message(&NUMBER_DATA_POINT)),
        single(2, "aggregationTemporality", Kind::Number(Number::Enum)),
        single(3, "isMonotonic", Kind::Bool),
    ],
    size_of::<metrics::Sum>(),
);

pub(super) static HISTOGRAM: Table = Table(
    &[
        repeated(1, "dataPoints", Kind::Message(&HISTOGRAM_DATA_POINT)),
        single(2, "aggregationTemporality", Kind::Number(Number::Enum)),
    ],
    size_of::<metrics::Histogram>(),
);

pub(super) static EXPONENTIAL_HISTOGRAM: Table = Table(
    &[
        repeated(
            1,
            "dataPoints",
            Kind::Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT),
        ),
        single(2, "aggregationTemporality", Kind::Number(Number::Enum)),
    ],
    size_of::<metrics::ExponentialHistogram>(),
);

pub(super) static SUMMARY: Table = Table(
    &[repeated(
        1,
        "dataPoints",
        Kind::Message(&SUMMARY_DATA_POINT),
    )],
    size_of::<metrics::Summary>(),
);

pub(super) static NUMBER_DATA_POINT: Table = Table(
    &[
        repeated(7, "attributes", Kind::Message(&KEY_VALUE)),
        single(2, "startTimeUnixNano", Kind::Number(Number::Fixed64)),
        single(3, "timeUnixNano", Kind::Number(Number::Fixed64)),
        oneof(4, "asDouble", Kind::Double),
        oneof(6, "asInt", Kind::Number(Number::Sfixed64)),
        repeated(5, "exemplars", Kind::Message(&EXEMPLAR)),
        single(8, "flags", Kind::Number(Number::Uint32)),
    ],
    size_of::<metrics::NumberDataPoint>(),
);

pub(crate) static HISTOGRAM_DATA_POINT: Table = Table(
    &[
        repeated(9, "attributes", Kind::Message(&KEY_VALUE)),
        single(2, "startTimeUnixNano", Kind::Number(Number::Fixed64)),
        single(3, "timeUnixNano", Kind::Number(Number::Fixed64)),
        single(4, "count", Kind::Number(Number::Fixed64)),
        single(5, "sum", Kind::Double),
        repeated(6, "bucketCounts", Kind::Number(Number::Fixed64)),
        repeated(7, "explicitBounds", Kind::Double),
        repeated(8, "exemplars", Kind::Message(&EXEMPLAR)),
        single(10, "flags", Kind::Number(Number::Uint32)),
        single(11, "min", Kind::Double),
        single(12, "max", Kind::Double),
    ],
    size_of::<metrics::HistogramDataPoint>(),
);

pub(super) static EXPONENTIAL_HISTOGRAM_DATA_POINT: Table = Table(
    &[
        repeated(1, "attributes", Kind::Message(&KEY_VALUE)),
        single(2, "startTimeUnixNano", Kind::Number(Number::Fixed64)),
        single(3, "timeUnixNano", Kind::Number(Number::Fixed64)),
        single(4, "count", Kind::Number(Number::Fixed64)),
        single(5, "sum", Kind::Double),
        single(6, "scale", Kind::Number(Number::Sint32)),
        single(7, "zeroCount", Kind::Number(Number::Fixed64)),
        single(8, "positive", Kind::Message(&BUCKETS)),
        single(9, "negative", Kind::Message(&BUCKETS)),
        single(10, "flags", Kind::Number(Number::Uint32)),
        repeated(11, "exemplars", Kind::Message(&EXEMPLAR)),
        single(12, "min", Kind::Double),
        single(13, "max", Kind::Double),
        single(14, "zeroThreshold", Kind::Double),
    ],
    size_of::<metrics::ExponentialHistogramDataPoint>(),
);

pub(super) static BUCKETS: Table = Table(
    &[
        single(1, "offset", Kind::Number(Number::Sint32)),
        repeated(2, "bucketCounts", Kind::Number(Number::Uint64)),
    ],
    size_of::<metrics::exponential_histogram_data_point::Buckets>(),
);

pub(super) static SUMMARY_DATA_POINT: Table = Table(
    &[
        repeated(7, "attributes", Kind::Message(&KEY_VALUE)),
        single(2, "startTimeUnixNano", Kind::Number(Number::Fixed64)),
        single(3, "timeUnixNano", Kind::Number(Number::Fixed64)),
        single(4, "count", Kind::Number(Number::Fixed64)),
        single(5, "sum", Kind::Double),
        repeated(6, "quantileValues", Kind::Message(&VALUE_AT_QUANTILE)),
        single(8, "flags", Kind::Number(Number::Uint32)),
    ],
    size_of::<metrics::SummaryDataPoint>(),
);

pub(super) static VALUE_AT_QUANTILE: Table = Table(
    &[
        single(1, "quantile", Kind::Double),
        single(2, "value", Kind::Double),
    ],
    size_of::<metrics::summary_data_point::ValueAtQuantile>(),
);

pub(super) static EXEMPLAR: Table = Table(
    &[
        repeated(7, "filteredAttributes", Kind::Message(&KEY_VALUE)),
        single(2, "timeUnixNano", Kind::Number(Number::Fixed64)),
        oneof(3, "asDouble", Kind::Double),
        oneof(6, "asInt", Kind::Number(Number::Sfixed64)),
        single(4, "spanId", Kind::Id),
        single(5, "traceId", Kind::Id),
    ],
    size_of::<metrics::Exemplar>(),
);

pub(super) static RESOURCE_LOGS: Table = Table(
    &[
        single(1, "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
        single(3, "schemaUrl", Kind::String),
    ],
    size_of::<logs::ResourceLogs>(),
);

pub(super) static SCOPE_LOGS: Table = Table(
    &[
        single(1, "scope", Kind::Message(&INSTRUMENTATION_SCOPE)),
        repeated(2, "logRecords", Kind::Message(&LOG_RECORD)),
        single(3, "schemaUrl", Kind::String),
    ],
    size_of::<logs::ScopeLogs>(),
);

pub(super) static LOG_RECORD: Table = Table(
    &[
        single(1, "timeUnixNano", Kind::Number(Number::Fixed64)),
        single(11, "observedTimeUnixNano", Kind::Number(Number::Fixed64)),
        single(2, "severityNumber", Kind::Number(Number::Enum)),
        single(3, "severityText", Kind::String),
        single(5, "body", Kind::Message(&ANY_VALUE)),
        repeated(6, "attributes", Kind::Message(&KEY_VALUE)),
        single(7, "droppedAttributesCount", Kind::Number(Number::Uint32)),
        single(8, "flags", Kind::Number(Number::Fixed32)),
        single(9, "traceId", Kind::Id),
        single(10, "spanId", Kind::Id),
        single(12, "eventName", Kind::String),
    ],
    size_of::<logs::LogRecord>(),
);

pub(super) static EXPORT_TRACE_SERVICE_REQUEST: Table = Table(
    &[repeated(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))],
    size_of::<trace_service::ExportTraceServiceRequest>(),
);

pub(super) static EXPORT_TRACE_SERVICE_RESPONSE: Table = Table(
    &[single(
        1,
        "partialSuccess",
        Kind::Message(&EXPORT_TRACE_PARTIAL_SUCCESS),
    )],
    size_of::<trace_service::ExportTraceServiceResponse>(),
);

pub(super) static EXPORT_TRACE_PARTIAL_SUCCESS: Table = Table(
    &[
        single(1, "rejectedSpans", Kind::Number(Number::Int64)),
        single(2, "errorMessage", Kind::String),
    ],
    size_of::<trace_service::ExportTracePartialSuccess>(),
);

pub(super) static EXPORT_METRICS_SERVICE_REQUEST: Table = Table(
    &[repeated(
        1,
        "resourceMetrics",
        Kind::Message(&RESOURCE_METRICS),
    )],
    size_of::<metrics_service::ExportMetricsServiceRequest>(),
);

pub(super) static EXPORT_METRICS_SERVICE_RESPONSE: Table = Table(
    &[single(
        1,
        "partialSuccess",
        Kind::Message(&EXPORT_METRICS_PARTIAL_SUCCESS),
    )],
    size_of::<metrics_service::ExportMetricsServiceResponse>(),
);

pub(super) static EXPORT_METRICS_PARTIAL_SUCCESS: Table = Table(
    &[
        single(1, "rejectedDataPoints", Kind::Number(Number::Int64)),
        single(2, "errorMessage", Kind::String),
    ],
    size_of::<metrics_service::ExportMetricsPartialSuccess>(),
);

pub(super) static EXPORT_LOGS_SERVICE_REQUEST: Table = Table(
    &[repeated(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))],
    size_of::<logs_service::ExportLogsServiceRequest>(),
);

pub(super) static EXPORT_LOGS_SERVICE_RESPONSE: Table = Table(
    &[single(
        1,
        "partialSuccess",
        Kind::Message(&EXPORT_LOGS_PARTIAL_SUCCESS),
    )],
    size_of::<logs_service::ExportLogsServiceResponse>(),
);

pub(super) static EXPORT_LOGS_PARTIAL_SUCCESS: Table = Table(
    &[
        single(1, "rejectedLogRecords", Kind::Number(Number::Int64)),
        single(2, "errorMessage", Kind::String),
    ],
    size_of::<logs_service::ExportLogsPartialSuccess>(),
);
