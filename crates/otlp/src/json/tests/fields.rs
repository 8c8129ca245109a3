//! Comparison of the table with the generated types.

use std::{any::type_name, fmt::Debug};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1 as logs_service, metrics::v1 as metrics_service, trace::v1 as trace_service,
    },
    common::v1::{self as common, any_value},
    logs::v1 as logs,
    metrics::v1::{self as metrics, exemplar, metric, number_data_point},
    resource::v1::Resource,
    trace::v1 as trace,
};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::json::table::{self, Field, Kind, Label, Number, Table};

/// A message type: its fields, and its generated type.
struct Type {
    table: &'static Table,
    name: &'static str,
    /// Decodes a message and shows its fields.
    show: fn(&[u8]) -> String,
}

impl Type {
    /// Shows a decoded message from the value of a field on.
    fn value(&self, field: &Field, wire: &[u8]) -> String {
        let place = if field.label == Label::Oneof {
            format!("{}(", capitalized(field.name))
        } else {
            // `type` is a keyword of Rust.
            format!(" {}: ", snake(field.name)).replace("type: ", "r#type: ")
        };
        let shown = (self.show)(wire);
        let Some((_, value)) = shown.split_once(&place) else {
            panic!("{} has no {place}: {shown}", self.name);
        };
        value.strip_prefix("Some(").unwrap_or(value).to_owned()
    }
}

fn type_of<M: prost::Message + Default + Debug>(table: &'static Table) -> Type {
    Type {
        table,
        name: type_name::<M>().rsplit("::").next().unwrap(),
        show: |wire| format!("{:?}", M::decode(wire).unwrap()),
    }
}

fn types() -> Vec<Type> {
    vec![
        type_of::<common::AnyValue>(&table::ANY_VALUE),
        type_of::<common::ArrayValue>(&table::ARRAY_VALUE),
        type_of::<common::KeyValueList>(&table::KEY_VALUE_LIST),
        type_of::<common::KeyValue>(&table::KEY_VALUE),
        type_of::<common::InstrumentationScope>(&table::INSTRUMENTATION_SCOPE),
        type_of::<common::EntityRef>(&table::ENTITY_REF),
        type_of::<Resource>(&table::RESOURCE),
        type_of::<trace::ResourceSpans>(&table::RESOURCE_SPANS),
        type_of::<trace::ScopeSpans>(&table::SCOPE_SPANS),
        type_of::<trace::Span>(&table::SPAN),
        type_of::<trace::span::Event>(&table::EVENT),
        type_of::<trace::span::Link>(&table::LINK),
        type_of::<trace::Status>(&table::STATUS),
        type_of::<metrics::ResourceMetrics>(&table::RESOURCE_METRICS),
        type_of::<metrics::ScopeMetrics>(&table::SCOPE_METRICS),
        type_of::<metrics::Metric>(&table::METRIC),
        type_of::<metrics::Gauge>(&table::GAUGE),
        type_of::<metrics::Sum>(&table::SUM),
        type_of::<metrics::Histogram>(&table::HISTOGRAM),
        type_of::<metrics::ExponentialHistogram>(&table::EXPONENTIAL_HISTOGRAM),
        type_of::<metrics::Summary>(&table::SUMMARY),
        type_of::<metrics::NumberDataPoint>(&table::NUMBER_DATA_POINT),
        type_of::<metrics::HistogramDataPoint>(&table::HISTOGRAM_DATA_POINT),
        type_of::<metrics::ExponentialHistogramDataPoint>(&table::EXPONENTIAL_HISTOGRAM_DATA_POINT),
        type_of::<metrics::exponential_histogram_data_point::Buckets>(&table::BUCKETS),
        type_of::<metrics::SummaryDataPoint>(&table::SUMMARY_DATA_POINT),
        type_of::<metrics::summary_data_point::ValueAtQuantile>(&table::VALUE_AT_QUANTILE),
        type_of::<metrics::Exemplar>(&table::EXEMPLAR),
        type_of::<logs::ResourceLogs>(&table::RESOURCE_LOGS),
        type_of::<logs::ScopeLogs>(&table::SCOPE_LOGS),
        type_of::<logs::LogRecord>(&table::LOG_RECORD),
        type_of::<trace_service::ExportTraceServiceRequest>(&table::EXPORT_TRACE_SERVICE_REQUEST),
        type_of::<trace_service::ExportTraceServiceResponse>(&table::EXPORT_TRACE_SERVICE_RESPONSE),
        type_of::<trace_service::ExportTracePartialSuccess>(&table::EXPORT_TRACE_PARTIAL_SUCCESS),
        type_of::<metrics_service::ExportMetricsServiceRequest>(
            &table::EXPORT_METRICS_SERVICE_REQUEST,
        ),
        type_of::<metrics_service::ExportMetricsServiceResponse>(
            &table::EXPORT_METRICS_SERVICE_RESPONSE,
        ),
        type_of::<metrics_service::ExportMetricsPartialSuccess>(
            &table::EXPORT_METRICS_PARTIAL_SUCCESS,
        ),
        type_of::<logs_service::ExportLogsServiceRequest>(&table::EXPORT_LOGS_SERVICE_REQUEST),
        type_of::<logs_service::ExportLogsServiceResponse>(&table::EXPORT_LOGS_SERVICE_RESPONSE),
        type_of::<logs_service::ExportLogsPartialSuccess>(&table::EXPORT_LOGS_PARTIAL_SUCCESS),
    ]
}

/// The generated type of a table.
fn name(types: &[Type], table: &'static Table) -> &'static str {
    let found = types.iter().find(|other| std::ptr::eq(other.table, table));
    found.expect("each table is in the list of types").name
}

#[test]
fn each_field_has_the_tag_name_and_type_of_the_generated_one() {
    let types = types();
    for message in &types {
        for field in message.table.0 {
            let (wire, value) = sample(field, &types);
            let shown = message.value(field, &wire);
            let is_shown = match field.kind {
                Kind::Number(Number::Enum) => shown.starts_with(char::is_uppercase),
                _ => shown.starts_with(&value),
            };
            assert!(
                is_shown,
                "{}.{}: not {value}: {shown}",
                message.name, field.name
            );
        }
    }
}

#[test]
fn numbers_with_names_are_enums() {
    for message in types() {
        for field in message.table.0 {
            if matches!(field.kind, Kind::Number(Number::Int32)) {
                let mut wire = Vec::new();
                encode_key(field.tag, WireType::Varint, &mut wire);
                encode_varint(1, &mut wire);
                let shown = message.value(field, &wire);
                assert!(
                    shown.starts_with('1'),
                    "{}.{}: {shown}",
                    message.name,
                    field.name
                );
            }
        }
    }
}

#[test]
fn the_table_has_all_generated_fields() {
    for Type { table, name, show } in types() {
        let oneof = usize::from(table.0.iter().any(|field| field.label == Label::Oneof));
        let others = table.0.iter().filter(|field| field.label != Label::Oneof);
        let shown = show(&[]);
        assert_eq!(
            oneof + others.count(),
            shown.matches(": ").count(),
            "{name}: {shown}"
        );
        assert!(table.0.len() <= u32::BITS as usize, "{name}");
    }
}

#[test]
fn exactly_the_ids_are_in_hex() {
    for Type { table, name, .. } in types() {
        for field in table.0 {
            let is_id = matches!(field.name, "traceId" | "spanId" | "parentSpanId");
            assert_eq!(
                matches!(field.kind, Kind::Id),
                is_id,
                "{name}.{}",
                field.name
            );
        }
    }
}

/// The table must have the members of these oneofs. A new member fails to compile.
#[test]
fn the_table_has_all_members_of_oneofs() {
    let members = |table: &Table| {
        let members = table.0.iter().filter(|field| field.label == Label::Oneof);
        members.count()
    };
    let _ = |value| match value {
        any_value::Value::StringValue(_)
        | any_value::Value::BoolValue(_)
        | any_value::Value::IntValue(_)
        | any_value::Value::DoubleValue(_)
        | any_value::Value::ArrayValue(_)
        | any_value::Value::KvlistValue(_)
        | any_value::Value::BytesValue(_)
        | any_value::Value::StringValueStrindex(_) => (),
    };
    assert_eq!(members(&table::ANY_VALUE), 8);
    let _ = |data| match data {
        metric::Data::Gauge(_)
        | metric::Data::Sum(_)
        | metric::Data::Histogram(_)
        | metric::Data::ExponentialHistogram(_)
        | metric::Data::Summary(_) => (),
    };
    assert_eq!(members(&table::METRIC), 5);
    let _ = |value| match value {
        number_data_point::Value::AsDouble(_) | number_data_point::Value::AsInt(_) => (),
    };
    assert_eq!(members(&table::NUMBER_DATA_POINT), 2);
    let _ = |value| match value {
        exemplar::Value::AsDouble(_) | exemplar::Value::AsInt(_) => (),
    };
    assert_eq!(members(&table::EXEMPLAR), 2);
}

/// A message with a value of the field, and how the generated type shows the value.
fn sample(field: &Field, types: &[Type]) -> (Vec<u8>, String) {
    let mut value = Vec::new();
    let shown = match field.kind {
        Kind::String => {
            value.extend([1, b'a']);
            r#""a""#.to_owned()
        }
        Kind::Id | Kind::Bytes => {
            value.extend([2, 7, 8]);
            "[7, 8]".to_owned()
        }
        Kind::Bool => {
            value.push(1);
            "true".to_owned()
        }
        Kind::Double => {
            value.extend(0.5_f64.to_le_bytes());
            "0.5".to_owned()
        }
        Kind::Message(table) => {
            value.push(0);
            name(types, table).to_owned()
        }
        Kind::Number(number) => sample_number(number, &mut value),
    };
    let mut wire = Vec::new();
    let packed = field.label == Label::Repeated && field.kind.is_packed();
    let wire_type = if packed {
        value.insert(0, value.len() as u8);
        WireType::LengthDelimited
    } else {
        field.kind.wire_type()
    };
    encode_key(field.tag, wire_type, &mut wire);
    wire.extend(value);
    let shown = if field.label == Label::Repeated {
        format!("[{shown}")
    } else {
        shown
    };
    (wire, shown)
}

/// A number that types of different range or sign show differently.
fn sample_number(number: Number, out: &mut Vec<u8>) -> String {
    let bits = 0x8000_0000_ffff_fffe_u64;
    match number.wire_type() {
        WireType::ThirtyTwoBit => out.extend((bits as u32).to_le_bytes()),
        WireType::SixtyFourBit => out.extend(bits.to_le_bytes()),
        _ if number == Number::Enum => encode_varint(1, out),
        _ if number == Number::Sint32 => encode_varint(3, out),
        _ => encode_varint(bits, out),
    }
    match number {
        Number::Enum => "the name of a value".to_owned(),
        Number::Int32 | Number::Sint32 => "-2".to_owned(),
        Number::Uint32 | Number::Fixed32 => (bits as u32).to_string(),
        Number::Int64 | Number::Sfixed64 => bits.cast_signed().to_string(),
        Number::Uint64 | Number::Fixed64 => bits.to_string(),
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn capitalized(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}
