//! Exemplars: measured values with their traces.

use std::collections::HashMap;

use maud::{Markup, html};

use super::{
    super::{
        chart::{Dot, Mark, Shape, Tone, Unit, legend},
        format,
    },
    attributes,
    select::Span,
};
use crate::{
    Lens,
    metrics::{Exemplar, Labels, SeriesId},
    store::{SpanId, TraceId},
};

/// Dots in a chart at most.
const DOTS: usize = 300;

/// Rows of the table at most.
pub(super) const ROWS: usize = 50;

/// An exemplar, and what is stored of its trace.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    exemplar: Exemplar,
    trace: Trace,
    /// The name of its series. Empty if there is no other series.
    series: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trace {
    Stored(TraceId),
    Gone(TraceId),
    /// The exemplar has none.
    None,
}

/// The newest exemplars, oldest first.
pub(super) fn read(lens: &Lens, series: &[Labels], span: &Span) -> Vec<Shown> {
    let ids: Vec<SeriesId> = series.iter().map(|one| one.id).collect();
    let mut exemplars = lens.metrics.exemplars(&ids, span.closed());
    let names: HashMap<SeriesId, String> = match series.len() > 1 && !exemplars.is_empty() {
        true => ids.into_iter().zip(attributes::names(series)).collect(),
        false => HashMap::new(),
    };
    exemplars.drain(..exemplars.len().saturating_sub(DOTS));
    let exemplars = exemplars.into_iter().map(|exemplar| {
        let id = exemplar.trace_id.and_then(|id| TraceId::from_bytes(&id));
        let trace = match id {
            Some(id) if lens.store.has_trace(id) => Trace::Stored(id),
            Some(id) => Trace::Gone(id),
            None => Trace::None,
        };
        Shown {
            series: names.get(&exemplar.series).cloned().unwrap_or_default(),
            exemplar,
            trace,
        }
    });
    exemplars.collect()
}

impl Shown {
    /// The page of the trace, at the span, if it is stored.
    fn href(&self) -> Option<String> {
        let Trace::Stored(trace) = self.trace else {
            return None;
        };
        let span = self.exemplar.span_id.and_then(|id| SpanId::from_bytes(&id));
        Some(match span {
            Some(span) => format!("/traces/{trace}?span={span}"),
            None => format!("/traces/{trace}"),
        })
    }

    fn state(&self) -> String {
        match self.trace {
            Trace::Stored(id) => format!("trace {id}"),
            Trace::Gone(id) => format!("trace {id}, which is no longer stored"),
            Trace::None => "no trace".to_owned(),
        }
    }

    fn dot(&self, unit: &Unit, at_zero: bool) -> Dot {
        let value = self.exemplar.value.as_f64();
        let (shape, tone) = match self.trace {
            Trace::Stored(_) => (Shape::Round, Tone::Series(3)),
            Trace::Gone(_) | Trace::None => (Shape::Ring, Tone::Series(3)),
        };
        Dot {
            time: self.exemplar.time,
            value: if at_zero { 0.0 } else { value },
            shape,
            tone,
            title: format!("{}, {}", unit.text(value), self.state()),
            href: self.href(),
        }
    }
}

/// The dots of a chart. `at_zero` sets them at its lower edge, where the values of its axis are others.
pub(super) fn dots(exemplars: &[Shown], unit: &Unit, at_zero: bool) -> Vec<Dot> {
    let dots = exemplars.iter().map(|one| one.dot(unit, at_zero));
    dots.filter(|dot| dot.value.is_finite()).collect()
}

/// What the dots mean.
pub(super) fn key(exemplars: &[Shown]) -> Markup {
    let dot = |shape, text| (Tone::Series(3), Mark::Dot(shape), html! { (text) });
    let is_stored = |one: &Shown| matches!(one.trace, Trace::Stored(_));
    let open = exemplars.iter().any(is_stored);
    let other = exemplars.iter().any(|one| !is_stored(one));
    let entries = [
        open.then(|| dot(Shape::Round, "Exemplar: opens its trace")),
        other.then(|| dot(Shape::Ring, "Exemplar without a stored trace")),
    ];
    html! {
        @if open || other { (legend(entries.into_iter().flatten())) }
    }
}

/// The newest exemplars as a table.
pub(super) fn table(exemplars: &[Shown], unit: &Unit) -> Markup {
    let shown = || exemplars.iter().rev().take(ROWS);
    let has_series = shown().any(|one| !one.series.is_empty());
    let has_attributes = shown().any(|one| !one.exemplar.filtered_attributes.is_empty());
    html! {
        @if !exemplars.is_empty() {
            section.card.exemplars {
                h2 #exemplars { "Exemplars" }
                p.hint {
                    "Single measurements, with the trace in which they were made."
                    @if exemplars.len() > ROWS { " These are the newest " (ROWS) " of this time." }
                }
                div.table tabindex="0" role="region" aria-labelledby="exemplars" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Time" }
                                th scope="col" { "Value" }
                                th scope="col" { "Trace" }
                                @if has_series { th scope="col" { "Series" } }
                                @if has_attributes { th scope="col" { "Attributes of the measurement" } }
                            }
                        }
                        tbody {
                            @for one in shown() {
                                tr {
                                    td { (format::time(one.exemplar.time)) }
                                    th scope="row" { (unit.text(one.exemplar.value.as_f64())) }
                                    td { (one.link()) }
                                    @if has_series { td { (attributes::foreign(&one.series)) } }
                                    @if has_attributes {
                                        td { (attributes::line(&one.exemplar.filtered_attributes)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Shown {
    fn link(&self) -> Markup {
        html! {
            @match (self.trace, self.href()) {
                (Trace::Stored(id), Some(href)) => a href=(href) { code { (id) } },
                (Trace::Gone(id) | Trace::Stored(id), _) => { code { (id) } " is no longer stored" },
                (Trace::None, _) => "No trace",
            }
        }
    }
}
