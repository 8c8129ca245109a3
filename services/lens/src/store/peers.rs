//! What an overview needs beyond the columns: some attributes, whole spans, and links.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

use super::{Spans, Store, columns::SpanView, fields};
use crate::ids::{SpanId, TraceId};

/// The field of the attributes in a span.
const ATTRIBUTES: u32 = 9;

/// Maximum length of an attribute's value, in characters. The rest is left out.
const LENGTH: usize = 200;

impl Store {
    /// Start of the newest span, or time of the newest log record, that is before this time, in nanoseconds since 1970.
    pub fn newest(&self, before: u64) -> Option<u64> {
        let (spans, logs) = self.read(|writer| (writer.spans.snapshot(), writer.logs.snapshot()));
        let spans = spans.0.iter().map(|segment| segment.newest_before(before));
        let logs = logs.0.iter().map(|segment| segment.newest_before(before));
        spans.chain(logs).flatten().max()
    }
}

impl Spans {
    /// Reads attributes of spans, from the segment that came last to the first.
    ///
    /// `wanted` chooses spans by their columns. `found` gets the values of the keys as text, in their order.
    pub fn attributes<const N: usize>(
        &self,
        keys: [&str; N],
        wanted: impl FnMut(&SpanView<'_>) -> bool,
        mut found: impl FnMut(&SpanView<'_>, [Option<String>; N]),
    ) {
        self.read(wanted, |span, bytes| found(span, values(bytes, keys)));
    }

    /// Decodes spans, from the segment that came last to the first. `wanted` chooses them by their columns.
    ///
    /// A span with values that are nested more deeply than OTLP allows is empty.
    pub fn decode(
        &self,
        wanted: impl FnMut(&SpanView<'_>) -> bool,
        mut found: impl FnMut(&SpanView<'_>, Span),
    ) {
        self.read(wanted, |span, bytes| {
            found(span, Span::decode(bytes).unwrap_or_default());
        });
    }

    fn read(
        &self,
        mut wanted: impl FnMut(&SpanView<'_>) -> bool,
        mut found: impl FnMut(&SpanView<'_>, &[u8]),
    ) {
        for segment in self.segments().iter().rev() {
            let view = |number: usize| {
                let row = segment.rows.get(number)?;
                let view = SpanView::new(segment, row)?;
                self.range().contains(&view.start).then_some(view)
            };
            segment.read_each(
                |number| view(number).is_some_and(|span| wanted(&span)),
                |number, bytes| {
                    if let Some(span) = view(number) {
                        found(&span, bytes);
                    }
                },
            );
        }
    }

    /// The links of the spans: the span, and the trace and span to which it links.
    pub fn links(&self) -> impl Iterator<Item = (SpanView<'_>, TraceId, SpanId)> {
        self.segments().iter().flat_map(|segment| {
            let links = segment.links.iter();
            links.filter_map(|link| {
                let view = SpanView::new(segment, segment.rows.get(link.row as usize)?)?;
                let linked = SpanId::from_number(link.span)?;
                let is_wanted = self.range().contains(&view.start);
                is_wanted.then_some((view, link.trace, linked))
            })
        })
    }
}

/// The values of attributes of an encoded span, as text. Arrays and objects have none.
fn values<const N: usize>(span: &[u8], keys: [&str; N]) -> [Option<String>; N] {
    let mut values = [const { None }; N];
    for (key, value) in fields::pairs(span, ATTRIBUTES) {
        let Some(place) = keys.iter().position(|wanted| wanted.as_bytes() == key) else {
            continue;
        };
        let value = AnyValue::decode(value).ok().and_then(|value| value.value);
        values[place] = match value {
            Some(Value::StringValue(text)) if !text.is_empty() => {
                Some(text.chars().take(LENGTH).collect())
            }
            Some(Value::IntValue(number)) => Some(number.to_string()),
            _ => None,
        };
    }
    values
}
