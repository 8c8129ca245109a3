//! The way from a span or a log record to metrics.

use std::{cmp::Reverse, collections::HashSet};

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

    /// Entries of a list of facts: the metrics of the service, and the series with exemplars of the trace. Those of the
    /// span come first.
    pub(super) fn facts(
        &self,
        service: &str,
        trace: Option<TraceId>,
        span: Option<SpanId>,
    ) -> Markup {
        let is_own = |one: &Measurement| span.is_some() && one.span == span;
        let found = self.0.iter().filter(|one| Some(one.trace) == trace);
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|one| Reverse(is_own(one)));
        html! {
            @if let Some(href) = links::list("/metrics", [links::service(service)]) {
                dt { "metrics" } dd { a href=(href) { "Metrics of this service" } }
            }
            @if !found.is_empty() {
                dt { "exemplar of" }
                dd {
                    @for one in found.iter().take(MOST) {
                        div {
                            @match series_href(one) {
                                Some(href) => a href=(href) { (shown(&one.name)) },
                                None => (shown(&one.name)),
                            }
                            ", " (Unit::new(&one.unit).text(one.value.as_f64()))
                            @if span.is_some() && !is_own(one) { ", measured in another span of this trace" }
                        }
                    }
                    @if found.len() > MOST {
                        div { "and " (format::count((found.len() - MOST) as u64)) " more" }
                    }
                }
            }
        }
    }
}
