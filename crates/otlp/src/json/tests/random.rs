//! Random messages of all types.

use std::iter::repeat_with;

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::json::{
    Message, decode, encode,
    table::{Kind, Label, Number, Table},
};

#[test]
fn random_messages_survive_both_directions() {
    survive::<ExportTraceServiceRequest>();
    survive::<ExportTraceServiceResponse>();
    survive::<ExportMetricsServiceRequest>();
    survive::<ExportMetricsServiceResponse>();
    survive::<ExportLogsServiceRequest>();
    survive::<ExportLogsServiceResponse>();
}

fn survive<M: Message>() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let message = M::decode(message(M::table(), 12, &mut random).as_slice()).unwrap();
        let json = encode(&message);
        let text = String::from_utf8_lossy(&json);
        let read: M = decode(&json).unwrap_or_else(|error| panic!("seed {seed}: {error}: {text}"));
        // Not the messages themselves, because NaN is not equal to itself.
        assert_eq!(
            read.encode_to_vec(),
            message.encode_to_vec(),
            "seed {seed}: {text}"
        );
        serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    }
}

fn message(table: &Table, depth: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut wire = Vec::new();
    let members = table.0.iter().filter(|field| field.label == Label::Oneof);
    let member = random
        .choice(members.collect::<Vec<_>>())
        .map(|field| field.tag);
    for field in table.0 {
        let is_nested = matches!(field.kind, Kind::Message(_));
        let skipped = match field.label {
            Label::Oneof => Some(field.tag) != member || random.u8(..8) == 0,
            Label::Single | Label::Repeated => random.u8(..8) == 0,
        };
        if skipped || is_nested && depth == 0 {
            continue;
        }
        let count = if field.label == Label::Repeated {
            random.usize(..3)
        } else {
            1
        };
        let values = repeat_with(|| value(field.kind, depth, random)).take(count);
        if field.label == Label::Repeated && field.kind.is_packed() {
            let values: Vec<u8> = values.flatten().collect();
            encode_key(field.tag, WireType::LengthDelimited, &mut wire);
            encode_varint(values.len() as u64, &mut wire);
            wire.extend(values);
            continue;
        }
        for value in values {
            encode_key(field.tag, field.kind.wire_type(), &mut wire);
            if field.kind.wire_type() == WireType::LengthDelimited {
                encode_varint(value.len() as u64, &mut wire);
            }
            wire.extend(value);
        }
    }
    wire
}

fn value(kind: Kind, depth: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    match kind {
        Kind::String => repeat_with(|| random.char(..))
            .take(3)
            .collect::<String>()
            .into_bytes(),
        Kind::Bool => vec![random.bool().into()],
        Kind::Id | Kind::Bytes => {
            let length = random.usize(..17);
            repeat_with(|| random.u8(..)).take(length).collect()
        }
        Kind::Double => {
            let special = [
                0.0,
                -0.0,
                1.0,
                1e300,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
            ];
            let number = f64::from_bits(random.u64(..));
            let special = random
                .choice(special)
                .filter(|_| number.is_nan() || random.bool());
            special.unwrap_or(number).to_le_bytes().to_vec()
        }
        Kind::Number(number) => {
            let bits = random.u64(..) >> random.u8(..64);
            let mut wire = Vec::new();
            match number {
                Number::Fixed32 => wire.extend((bits as u32).to_le_bytes()),
                Number::Fixed64 | Number::Sfixed64 => wire.extend(bits.to_le_bytes()),
                _ => encode_varint(bits, &mut wire),
            }
            wire
        }
        Kind::Message(table) => message(table, depth - 1, random),
    }
}
