//! A trace that is usual for its operation.

use crate::{
    Lens,
    query::{Condition, Filter, Operator, Term},
    store::{Page, TraceFilter, TraceId, TraceRow},
};

/// Number of traces that are looked at, the newest.
const TRACES: usize = 1000;

/// The trace with the median duration of the root among the stored traces with the same root, other than the trace itself.
///
/// Not of the whole trace: that depends on when a consumer reads a message.
pub(super) fn find(lens: &Lens, row: &TraceRow) -> Option<TraceId> {
    let page = Page {
        limit: TRACES,
        before: None,
    };
    let list = lens.store.traces(&filter(row), &page);
    let mut alike: Vec<(u64, TraceId)> = list
        .rows
        .iter()
        .filter(|other| other.id != row.id)
        .filter(|other| (&other.service, &other.name) == (&row.service, &row.name))
        .map(|other| (other.root_duration.unwrap_or(other.duration), other.id))
        .collect();
    alike.sort_unstable();
    alike.get(alike.len() / 2).map(|&(_, id)| id)
}

/// Narrows the search to the service of the root.
fn filter(row: &TraceRow) -> TraceFilter {
    let service = Condition::Service(Operator::Equal, row.service.clone());
    let filter = Filter::default().with(Term::is(service));
    filter
        .and_then(|filter| filter.to_trace_filter().ok())
        .unwrap_or_default()
}
