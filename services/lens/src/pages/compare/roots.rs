//! The attributes of two roots that differ.

use std::collections::BTreeMap;

use maud::{Markup, html};
use opentelemetry_proto::tonic::common::v1::KeyValue;

use crate::{
    analysis::Waterfall,
    pages::{text, value},
    store::{Outline, TraceSpan},
};

/// Maximum number of rows.
const ROWS: usize = 100;

/// The attributes of the roots and of their resources that differ.
pub(super) fn differences(outlines: &[Outline; 2], traces: &[Waterfall<'_>; 2]) -> Markup {
    let roots = [0, 1].map(|side| root(&outlines[side], &traces[side]));
    let [a, b] = roots.each_ref().map(|root| attributes(root.as_ref()));
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    let mut rows: Vec<(&str, Option<&String>, Option<&String>)> = keys
        .map(|key| (key.as_str(), a.get(key), b.get(key)))
        .filter(|(_, a, b)| a != b)
        .collect();
    rows.sort_unstable();
    html! {
        section {
            h2 { "Attributes of the roots that differ" }
            @if rows.is_empty() { p.hint { "None." } }
        }
        @if !rows.is_empty() {
            div.card.table tabindex="0" role="region" aria-label="Attributes of the roots that differ" {
                table {
                    thead { tr { th scope="col" { "Key" } th scope="col" { "A" } th scope="col" { "B" } } }
                    tbody {
                        @for (key, a, b) in rows.iter().take(ROWS) {
                            tr {
                                th scope="row" { (text::short(key, 200)) }
                                @for value in [a, b] {
                                    td { @match value { Some(value) => (text::long(value)), None => em { "absent" } } }
                                }
                            }
                        }
                    }
                }
            }
            @if rows.len() > ROWS { p.hint { "And " (rows.len() - ROWS) " more." } }
        }
    }
}

fn root(outline: &Outline, trace: &Waterfall<'_>) -> Option<TraceSpan> {
    let roots = trace
        .roots()
        .iter()
        .filter(|&&node| trace.span(node).is_some());
    outline.read(roots.take(1).map(|node| node.index())).pop()
}

/// The attributes of a span and of its resource as text.
fn attributes(span: Option<&TraceSpan>) -> BTreeMap<String, String> {
    let Some(span) = span else {
        return BTreeMap::new();
    };
    let resource = span.source.resource.as_ref();
    let resource = resource.map_or(&[][..], |resource| &resource.attributes);
    let text = |prefix: &str, attribute: &KeyValue| {
        let key = text::split(&attribute.key, 200).0;
        (
            format!("{prefix}{key}"),
            value::plain(attribute.value.as_ref()),
        )
    };
    let own = span.span.attributes.iter().map(|own| text("", own));
    let resource = resource.iter().map(|own| text("resource: ", own));
    own.chain(resource).collect()
}
