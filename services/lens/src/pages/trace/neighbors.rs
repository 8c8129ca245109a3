//! The traces before and after a trace: the other ends of links, as a broker makes them.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::view::View;
use crate::{
    pages::{format, overview::plural, text},
    store::{SpanId, TraceId},
};

/// Maximum number of traces in a list.
const MOST: usize = 8;

/// A trace at the other end of links.
struct Neighbor {
    trace: TraceId,
    /// The linked span, if it is the only one.
    span: Option<SpanId>,
    links: usize,
}

/// Links to the traces that caused this one, and to those that continue it.
pub(super) fn list(view: &View<'_>) -> Markup {
    let linked = view
        .outline
        .map_or_else(Vec::new, |outline| outline.links());
    let causes = group(view, linked.iter().map(|link| (link.trace, link.span)));
    let linked_from = view.lens.store.linked_from(view.id);
    let effects = group(
        view,
        linked_from.iter().map(|link| (link.trace, Some(link.span))),
    );
    html! {
        @for (title, traces) in [("Caused by", causes), ("Continues in", effects)] {
            @if !traces.is_empty() {
                dt { (title) }
                dd {
                    ul.neighbors {
                        @for neighbor in traces.iter().take(MOST) { li { (one(view, neighbor)) } }
                        @if traces.len() > MOST {
                            li { "and " (plural((traces.len() - MOST) as u64, "more trace", "more traces")) ", at the spans" }
                        }
                    }
                }
            }
        }
    }
}

/// The other traces, in the order of the links.
fn group(view: &View<'_>, links: impl Iterator<Item = (TraceId, Option<SpanId>)>) -> Vec<Neighbor> {
    let mut places = BTreeMap::new();
    let mut neighbors: Vec<Neighbor> = Vec::new();
    for (trace, span) in links.filter(|(trace, _)| *trace != view.id) {
        let place = *places.entry(trace).or_insert(neighbors.len());
        match neighbors.get_mut(place) {
            None => neighbors.push(Neighbor {
                trace,
                span,
                links: 1,
            }),
            Some(known) => {
                known.links += 1;
                if known.span != span {
                    known.span = None;
                }
            }
        }
    }
    neighbors
}

fn one(view: &View<'_>, neighbor: &Neighbor) -> Markup {
    html! {
        @match view.lens.store.trace_row(neighbor.trace) {
            Some(row) => {
                a href=(super::path(neighbor.trace, neighbor.span)) {
                    (text::name(&row.service, "no service.name")) " " (text::name(&row.name, "no name"))
                }
                ", " (format::duration(row.duration))
                @if row.errors > 0 { " " span.state.bad { "Error" } }
            }
            None => { "trace " code { (neighbor.trace) } ", which is not stored" }
        }
        @if neighbor.links > 1 { " (" (format::count(neighbor.links as u64)) " links)" }
    }
}
