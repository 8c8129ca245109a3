mod fields;
mod random;
mod rules;

use std::fmt::Debug;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use serde_json::Value;

use crate::json::{Message, decode, encode};

#[test]
fn examples_of_the_specification_are_read_in_full() {
    complete::<ExportTraceServiceRequest>(include_bytes!("../../tests/data/trace.json"));
    complete::<ExportMetricsServiceRequest>(include_bytes!("../../tests/data/metrics.json"));
    complete::<ExportLogsServiceRequest>(include_bytes!("../../tests/data/logs.json"));
    complete::<ExportLogsServiceRequest>(include_bytes!("../../tests/data/events.json"));
}

/// Checks that each value of the text is in the message.
fn complete<M: Message + PartialEq + Debug>(text: &[u8]) {
    let message: M = decode(text).unwrap();
    let written = encode(&message);
    assert_eq!(decode::<M>(&written).unwrap(), message);
    let before = serde_json::from_slice(text).unwrap();
    let after = serde_json::from_slice(&written).unwrap();
    assert_eq!(normal(after), normal(before));
}

/// Removes the freedom that the encoding leaves: the case of ids, fractions, defaults.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(name, value)| {
                let is_default = value == 0 || value == "0";
                !(is_default && matches!(&**name, "scale" | "zeroThreshold"))
            });
            fields.map(|(name, value)| (name, normal(value))).collect()
        }
        Value::Array(values) => values.into_iter().map(normal).collect(),
        Value::Number(number) => number.as_f64().into(),
        Value::String(text) => text.to_lowercase().into(),
        other => other,
    }
}
