//! Compares lists with a plain reading of the filter, for any records and filters.

use opentelemetry_proto::tonic::trace::v1::span::Event;

use super::*;
use crate::query::{Condition, Kind, Level, Operator, Status as OfStatus};

const WORDS: [&str; 8] = ["auth", "Auth", "user", "GET /", "5", "-1", "true", ""];
const KEYS: [&str; 4] = ["a.b", "a.c", "service.name", "host.name"];

/// A record as a plain reading sees it.
struct Plain {
    service: String,
    name: String,
    /// Of a span.
    kind: Option<Kind>,
    status: Option<OfStatus>,
    duration: u64,
    trace_duration: u64,
    trace: Option<TraceId>,
    /// Of a log record.
    level: Option<Level>,
    texts: Vec<String>,
    attributes: Vec<KeyValue>,
}

#[test]
fn any_filter_of_traces_finds_what_a_plain_reading_finds() {
    let mut random = fastrand::Rng::with_seed(3);
    let (mut some, mut all) = (0, 0);
    for _ in 0..6 {
        let store = small_segments();
        let mut spans: Vec<(Resource, Span)> = Vec::new();
        for id in 1..=150 {
            let resource = any_resource(&mut random);
            let span = any_span(&mut random, id);
            let mut request = traces("", vec![span.clone()]);
            request.resource_spans[0].resource = Some(resource.clone());
            store.insert_traces(&request);
            spans.push((resource, span));
        }
        assert!(store.stats().spans.segments > 3);
        let plain: Vec<Plain> = spans
            .iter()
            .map(|(resource, span)| {
                let of_trace = spans.iter().filter(|(_, it)| it.trace_id == span.trace_id);
                let of_trace: Vec<&Span> = of_trace.map(|(_, span)| span).collect();
                let start = of_trace.iter().map(|span| span.start_time_unix_nano).min();
                let end = of_trace.iter().map(|span| span.end_time_unix_nano).max();
                plain_span(resource, span, end.unwrap() - start.unwrap())
            })
            .collect();
        for _ in 0..150 {
            let filter = any_filter(&mut random, |condition| {
                !matches!(condition, Condition::Level(..))
            });
            let mut expected: Vec<TraceId> = plain
                .iter()
                .filter(|span| filter.terms().iter().all(|term| is_met(term, span)))
                .filter_map(|span| span.trace)
                .collect();
            expected.sort();
            expected.dedup();
            let compiled = filter.to_trace_filter().unwrap();
            let mut found = Vec::new();
            let mut next = page(7);
            loop {
                let list = store.traces(&compiled, &next);
                found.extend(list.rows.iter().map(|row| row.id));
                match list.next {
                    None => break,
                    before => next.before = before,
                }
            }
            found.sort();
            assert_eq!(found, expected, "{filter}");
            some += usize::from(!found.is_empty() && found.len() < 40);
            all += 1;
        }
    }
    assert!(some > all / 4, "{some} of {all} filters find some traces");
}

#[test]
fn any_filter_of_logs_finds_what_a_plain_reading_finds() {
    let mut random = fastrand::Rng::with_seed(4);
    let (mut some, mut all) = (0, 0);
    for _ in 0..6 {
        let store = small_segments();
        let mut plain = Vec::new();
        for number in 0..150 {
            let resource = any_resource(&mut random);
            let record = any_log(&mut random, number);
            plain.push(plain_log(&resource, &record));
            let mut request = logs("", vec![record]);
            request.resource_logs[0].resource = Some(resource);
            store.insert_logs(&request);
        }
        assert!(store.stats().logs.segments > 2);
        for _ in 0..150 {
            let filter = any_filter(&mut random, |condition| {
                !matches!(
                    condition,
                    Condition::Kind(_)
                        | Condition::Status(_)
                        | Condition::Duration(..)
                        | Condition::TraceDuration(..)
                )
            });
            let expected: Vec<u64> = (0..150)
                .rev()
                .filter(|number| {
                    let record = &plain[*number as usize];
                    filter.terms().iter().all(|term| is_met(term, record))
                })
                .collect();
            let compiled = filter.to_log_filter().unwrap();
            let mut found = Vec::new();
            let mut next = page(7);
            loop {
                let list = store.logs(&compiled, &next);
                found.extend(list.rows.iter().map(|log| (log.time - NOW) / MS));
                match list.next {
                    None => break,
                    before => next.before = before,
                }
            }
            assert_eq!(found, expected, "{filter}");
            some += usize::from(!found.is_empty() && found.len() < 150);
            all += 1;
        }
    }
    assert!(some > all / 4, "{some} of {all} filters find some records");
}

fn word(random: &mut fastrand::Rng) -> String {
    random.choice(WORDS).unwrap().to_owned()
}

fn any_value(random: &mut fastrand::Rng) -> AnyValue {
    match random.u8(0..9) {
        0 => value(Value::IntValue(random.i64(-1..7))),
        1 => value(Value::DoubleValue(random.i64(-4..20) as f64 / 2.0)),
        2 => value(Value::BoolValue(random.bool())),
        3 => value(Value::ArrayValue(ArrayValue {
            values: (0..random.usize(0..3)).map(|_| any_value(random)).collect(),
        })),
        4 => AnyValue { value: None },
        _ => text(&word(random)),
    }
}

fn any_attributes(random: &mut fastrand::Rng) -> Vec<KeyValue> {
    (0..random.usize(0..3))
        .map(|_| attribute(random.choice(KEYS).unwrap(), any_value(random)))
        .collect()
}

fn any_resource(random: &mut fastrand::Rng) -> Resource {
    let mut attributes = any_attributes(random);
    if random.bool() {
        attributes.insert(0, attribute("service.name", text(&word(random))));
    }
    Resource {
        attributes,
        ..Resource::default()
    }
}

fn any_span(random: &mut fastrand::Rng, id: u64) -> Span {
    let mut span = span(random.u64(1..41), id, random.u64(0..2), id);
    span.end_time_unix_nano = span.start_time_unix_nano + random.u64(0..6) * MS;
    span.name = word(random);
    span.kind = random.i32(-1..7);
    span.attributes = any_attributes(random);
    // Padding makes several segments.
    span.trace_state = "z".repeat(random.usize(0..300));
    if random.bool() {
        span.status = Some(Status {
            message: word(random),
            code: random.i32(-1..4),
        });
    }
    if random.bool() {
        span.events = vec![Event {
            name: word(random),
            attributes: any_attributes(random),
            ..Event::default()
        }];
    }
    span
}

fn any_log(random: &mut fastrand::Rng, number: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW + number * MS,
        severity_number: random.i32(-1..27),
        severity_text: format!("{}{}", word(random), " ".repeat(random.usize(0..200))),
        body: Some(any_value(random)),
        attributes: any_attributes(random),
        event_name: word(random),
        trace_id: match random.u64(0..5) {
            0 => Vec::new(),
            trace => trace_id(trace).to_bytes().into(),
        },
        ..LogRecord::default()
    }
}

fn any_filter(random: &mut fastrand::Rng, fits: impl Fn(&Condition) -> bool) -> Filter {
    let mut filter = Filter::default();
    for _ in 0..random.usize(1..4) {
        let condition = any_condition(random);
        let term = Term {
            negated: random.bool(),
            condition,
        };
        // Some terms are not valid, such as a search for no text.
        if fits(&term.condition)
            && let Some(with) = filter.with(term)
        {
            filter = with;
        }
    }
    filter
}

fn any_condition(random: &mut fastrand::Rng) -> Condition {
    let operator = [
        Operator::Equal,
        Operator::Contains,
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::Less,
        Operator::LessOrEqual,
    ][random.usize(0..6)];
    let of_text = [Operator::Equal, Operator::Contains][random.usize(0..2)];
    let pieces = ["au", "AUTH", "user", "t /", "5", ".5", "-", "tru", "e"];
    let piece = random.choice(pieces).unwrap().to_owned();
    let text = if random.bool() { word(random) } else { piece };
    let kinds = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer];
    let levels = [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Fatal,
    ];
    match random.u8(0..11) {
        0 => Condition::Service(of_text, text),
        1 => Condition::Name(of_text, text),
        2 => Condition::Kind(kinds[random.usize(0..4)]),
        3 => {
            let all = [OfStatus::Unset, OfStatus::Ok, OfStatus::Error];
            Condition::Status(all[random.usize(0..3)])
        }
        4 => Condition::Duration(operator, random.u64(0..7) * MS),
        5 => Condition::TraceDuration(operator, random.u64(0..150) * MS),
        6 => Condition::Trace(trace_id(random.u64(1..7))),
        7 => Condition::Level(operator, levels[random.usize(0..6)]),
        8 => Condition::Text(text),
        _ => Condition::Attribute(random.choice(KEYS).unwrap().to_owned(), operator, text),
    }
}

fn plain_span(resource: &Resource, span: &Span, trace_duration: u64) -> Plain {
    let status = span.status.clone().unwrap_or_default();
    let mut texts = vec![span.name.clone(), status.message];
    texts_in(&mut texts, &span.attributes);
    for event in &span.events {
        texts.push(event.name.clone());
        texts_in(&mut texts, &event.attributes);
    }
    Plain {
        service: service(resource),
        name: span.name.clone(),
        kind: match span.kind {
            1 => Some(Kind::Internal),
            2 => Some(Kind::Server),
            3 => Some(Kind::Client),
            4 => Some(Kind::Producer),
            _ => None,
        },
        status: Some(match status.code {
            1 => OfStatus::Ok,
            2 => OfStatus::Error,
            _ => OfStatus::Unset,
        }),
        duration: span.end_time_unix_nano - span.start_time_unix_nano,
        trace_duration,
        trace: TraceId::from_bytes(&span.trace_id),
        level: None,
        texts,
        attributes: [span.attributes.clone(), resource.attributes.clone()].concat(),
    }
}

fn plain_log(resource: &Resource, log: &LogRecord) -> Plain {
    let mut texts = vec![log.event_name.clone(), log.severity_text.clone()];
    texts_of(&mut texts, log.body.as_ref());
    texts_in(&mut texts, &log.attributes);
    let levels = [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Fatal,
    ];
    let number = usize::try_from(log.severity_number - 1).ok();
    Plain {
        service: service(resource),
        name: log.event_name.clone(),
        kind: None,
        status: None,
        duration: 0,
        trace_duration: 0,
        trace: TraceId::from_bytes(&log.trace_id),
        level: number.and_then(|number| levels.get(number / 4).copied()),
        texts,
        attributes: [log.attributes.clone(), resource.attributes.clone()].concat(),
    }
}

fn service(resource: &Resource) -> String {
    let mut attributes = resource.attributes.iter();
    let name = attributes.find(|attribute| attribute.key == "service.name");
    match name.and_then(|name| name.value.clone()?.value) {
        Some(Value::StringValue(name)) => name,
        _ => String::new(),
    }
}

fn texts_in(texts: &mut Vec<String>, attributes: &[KeyValue]) {
    for attribute in attributes {
        texts_of(texts, attribute.value.as_ref());
    }
}

fn texts_of(texts: &mut Vec<String>, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => texts.push(text.clone()),
        Some(Value::ArrayValue(array)) => {
            for value in &array.values {
                texts_of(texts, Some(value));
            }
        }
        _ => {}
    }
}

fn is_met(term: &Term, record: &Plain) -> bool {
    let met = match &term.condition {
        Condition::Service(operator, text) => text_is(&record.service, *operator, text),
        Condition::Name(operator, text) => text_is(&record.name, *operator, text),
        Condition::Kind(kind) => record.kind == Some(*kind),
        Condition::Status(status) => record.status == Some(*status),
        Condition::Duration(operator, nanos) => is_in_order(&record.duration, *operator, nanos),
        Condition::TraceDuration(operator, nanos) => {
            is_in_order(&record.trace_duration, *operator, nanos)
        }
        Condition::Trace(trace) => record.trace == Some(*trace),
        Condition::Level(operator, limit) => record
            .level
            .is_some_and(|level| is_in_order(&level, *operator, limit)),
        Condition::Text(text) => record
            .texts
            .iter()
            .any(|it| text_is(it, Operator::Contains, text)),
        Condition::Attribute(key, operator, text) => record
            .attributes
            .iter()
            .filter(|attribute| attribute.key == *key)
            .filter_map(|attribute| attribute.value.as_ref())
            .any(|value| value_is(value, *operator, text)),
    };
    met != term.negated
}

fn text_is(text: &str, operator: Operator, wanted: &str) -> bool {
    match operator {
        Operator::Contains => text.to_lowercase().contains(&wanted.to_lowercase()),
        _ => text == wanted,
    }
}

fn value_is(value: &AnyValue, operator: Operator, wanted: &str) -> bool {
    let shown = match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::ArrayValue(array)) => {
            return array
                .values
                .iter()
                .any(|value| value_is(value, operator, wanted));
        }
        _ => return false,
    };
    match operator {
        Operator::Equal
            if matches!(
                value.value,
                Some(Value::DoubleValue(_) | Value::IntValue(_))
            ) =>
        {
            shown.parse::<f64>() == wanted.parse()
        }
        Operator::Equal | Operator::Contains => text_is(&shown, operator, wanted),
        _ => match (shown.parse::<f64>(), wanted.parse::<f64>()) {
            (Ok(number), Ok(wanted)) => is_in_order(&number, operator, &wanted),
            _ => false,
        },
    }
}

fn is_in_order<T: PartialOrd>(one: &T, operator: Operator, other: &T) -> bool {
    match operator {
        Operator::Equal => one == other,
        Operator::Greater => one > other,
        Operator::GreaterOrEqual => one >= other,
        Operator::Less => one < other,
        Operator::LessOrEqual => one <= other,
        Operator::Contains => false,
    }
}
