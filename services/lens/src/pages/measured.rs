//! The way from a span or a log record to metrics.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use maud::{Markup, html};

use super::{
    chart::Unit,
    format, links,
    metrics::{series_href, shown},
};
use crate::{
    Lens,
    metrics::Measurement,
    store::{SpanId, TraceId},
};

/// Series in a list at most.
const MOST: usize = 5;

/// What was measured in the traces of a page.
#[derive(Debug, Default)]
pub(super) struct Measured(Vec<Measurement>);

impl Measured {
    /// Reads it once for a page: a search for each row would read all series again.
    pub(super) fn of(lens: &Lens, traces: impl IntoIterator<Item = TraceId>) -> Self {
        let traces: HashSet<TraceId, RandomState> = traces.into_iter().collect();
        match traces.is_empty() {
            true => Self::default(),
            false => Self(lens.metrics.measured(|trace| traces.contains(&trace))),
        }
    }

    /// Entries of a list of facts: the metrics of the service, and the series with exemplars of the span. Without a
    /// span, these are the exemplars of the trace.
    pub(super) fn facts(
        &self,
        service: &str,
        trace: Option<TraceId>,
        span: Option<SpanId>,
    ) -> Markup {
        let found = self.0.iter().filter(|one| Some(one.trace) == trace);
        let (found, elsewhere): (Vec<_>, Vec<_>) =
            found.partition(|one| span.is_none() || one.span.is_none() || one.span == span);
        html! {
            @if let Some(href) = links::list("/metrics", [links::service(service)]) {
                dt { "metrics" } dd { a href=(href) { "Metrics of this service" } }
            }
            @if !found.is_empty() || !elsewhere.is_empty() {
                dt { "exemplar of" }
                dd {
                    @for one in found.iter().take(MOST) {
                        div {
                            @match series_href(one) {
                                Some(href) => a href=(href) { (shown(&one.name)) },
                                None => (shown(&one.name)),
                            }
                            ", " (Unit::new(&one.unit).text(one.value.as_f64()))
                        }
                    }
                    @if found.len() > MOST {
                        div { "and " (format::count((found.len() - MOST) as u64)) " more" }
                    }
                    @match elsewhere.len() {
                        0 => {}
                        1 => div { "1 measurement in another span of this trace" },
                        count => div { (format::count(count as u64)) " measurements in other spans of this trace" },
                    }
                }
            }
        }
    }
}
