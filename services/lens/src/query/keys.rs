//! The keys of a filter, and their operators.

use super::Operator;

pub(super) const KEYS: [&str; 10] = [
    "service",
    "name",
    "kind",
    "status",
    "duration",
    "trace.duration",
    "trace",
    "level",
    "severity",
    "text",
];

pub(super) const ALL: &[Operator] = &[
    Operator::Equal,
    Operator::Contains,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::LessOrEqual,
];
pub(super) const TEXT: &[Operator] = &[Operator::Equal, Operator::Contains];
const ORDER: &[Operator] = &[
    Operator::Equal,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::LessOrEqual,
];
/// Hardly a duration is equal to another.
const RANGE: &[Operator] = &[
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::LessOrEqual,
];
const EQUAL: &[Operator] = &[Operator::Equal];

pub(super) fn operators(key: &str) -> &'static [Operator] {
    match key {
        "service" | "name" | "text" => TEXT,
        "duration" | "trace.duration" => RANGE,
        "level" => ORDER,
        _ => EQUAL,
    }
}

pub(super) fn describe(operators: &[Operator]) -> &'static str {
    match operators {
        TEXT => "`:`, `=`, `!=` or `~`",
        ORDER => "`:`, `=`, `!=`, `>`, `>=`, `<` or `<=`",
        RANGE => "`>`, `>=`, `<` or `<=`",
        _ => "`:`, `=` or `!=`",
    }
}
