//! The memory that a decoded request will take, from its protobuf bytes.
//!
//! An empty span takes two bytes on the wire and hundreds in memory. So a limit of the encoded size
//! alone would not bound the memory.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::json::{Kind, Table};

/// Deepest level that is counted. prost refuses deeper messages.
const DEPTH: usize = 100;

/// Bytes of a `String`, or of a `Vec` of bytes, without its content.
const TEXT: usize = size_of::<String>();

/// An upper estimate of the bytes of the decoded message. Malformed bytes count up to the first error,
/// since decoding ends there too.
pub(crate) fn decoded(table: &Table, wire: &[u8]) -> usize {
    message(table, wire, 0)
}

fn message(table: &Table, mut wire: &[u8], depth: usize) -> usize {
    // Twice the size, because so does a growing list.
    let mut total = 2 * table.1;
    while !wire.is_empty() && depth < DEPTH {
        let Ok((tag, wire_type)) = decode_key(&mut wire) else {
            break;
        };
        let field = table.0.iter().find(|field| field.tag == tag);
        let (Some(field), WireType::LengthDelimited) = (field, wire_type) else {
            if skip_field(wire_type, tag, &mut wire, DecodeContext::default()).is_err() {
                break;
            }
            // Elements of a list of numbers need not be packed.
            total += 2 * size_of::<u64>() * usize::from(field.is_some());
            continue;
        };
        let Some(content) = content(&mut wire) else {
            break;
        };
        total += match field.kind {
            Kind::Message(table) => message(table, content, depth + 1),
            kind if kind.is_packed() => 2 * size_of::<u64>() * numbers(kind, content),
            _ => 2 * TEXT + content.len(),
        };
    }
    total
}

/// The count of packed numbers.
fn numbers(kind: Kind, content: &[u8]) -> usize {
    match kind.wire_type() {
        WireType::SixtyFourBit => content.len().div_ceil(8),
        WireType::ThirtyTwoBit => content.len().div_ceil(4),
        // Each byte but the last of a number has the highest bit set.
        _ => content.iter().filter(|byte| byte.is_ascii()).count(),
    }
}

/// Splits off the content of a field with a length.
fn content<'a>(wire: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(wire).ok()?).ok()?;
    let (content, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value::Value},
        metrics::v1::HistogramDataPoint,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use prost::Message as _;

    use super::*;
    use crate::json::Message as _;

    fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        }
    }

    fn size(request: &ExportTraceServiceRequest) -> usize {
        decoded(ExportTraceServiceRequest::table(), &request.encode_to_vec())
    }

    #[test]
    fn messages_count_with_their_size_in_memory() {
        let none = size(&request(vec![]));
        let many = size(&request(vec![Span::default(); 1000]));
        assert_eq!(many - none, 1000 * 2 * size_of::<Span>());
    }

    #[test]
    fn an_ordinary_span_takes_a_few_times_its_encoded_size() {
        let attribute = |number: usize| KeyValue {
            key: format!("http.request.header.number-{number}"),
            value: Some(AnyValue {
                value: Some(Value::StringValue("a value of some length".to_owned())),
            }),
            ..KeyValue::default()
        };
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            name: "GET /users/{id}".to_owned(),
            attributes: (0..12).map(attribute).collect(),
            ..Span::default()
        };
        let request = request(vec![span; 1000]);
        let ratio = size(&request) / request.encoded_len();
        assert!(ratio <= 6, "{ratio}");
    }

    #[test]
    fn packed_numbers_count_with_their_size_in_memory() {
        let table = &crate::json::table::HISTOGRAM_DATA_POINT;
        let size = |point: HistogramDataPoint| decoded(table, &point.encode_to_vec());
        let none = size(HistogramDataPoint::default());
        let point = HistogramDataPoint {
            bucket_counts: vec![1; 1000],
            explicit_bounds: vec![1.0; 1000],
            ..HistogramDataPoint::default()
        };
        assert_eq!(size(point) - none, 2 * 1000 * 2 * size_of::<u64>());
    }

    #[test]
    fn malformed_bytes_end_the_count() {
        for bytes in [
            &b"\x0a"[..],
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\xff",
            b"\x0a\x02\x0a\x7f",
        ] {
            assert!(decoded(ExportTraceServiceRequest::table(), bytes) < 1000);
        }
    }
}
