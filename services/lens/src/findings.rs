//! Problems of the newest traces.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, SystemTime},
};

use foldhash::fast::RandomState;

use crate::{
    clock,
    query::TraceFilter,
    store::{Outline, Page, SpanId, SpanView, Store, TraceId},
};

/// Maximum number of traces that are read.
const TRACES: usize = 200;

/// Number of spans after which no further trace is read.
const SPANS: usize = 50_000;

/// Maximum number of spans that are decoded.
const DECODED: usize = 1_000;

/// Time after the end of a trace in which its spans may still be under way.
pub(crate) const UNDER_WAY: Duration = Duration::from_secs(10);

/// Least difference of two clocks that is reported, in nanoseconds. Smaller ones are usual on one machine too.
const SKEW: u64 = 1_000_000;

/// The problems of the newest traces.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Number of traces that were read.
    pub(crate) traces: usize,
    /// Number of spans that were read.
    pub(crate) spans: usize,
    /// By kind and service.
    pub(crate) list: Vec<Finding>,
}

/// A problem of spans of one service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    pub(crate) trouble: Trouble,
    /// Service of the spans. Empty if it has no name.
    pub(crate) service: String,
    /// Service of their parents, for [`Trouble::Skew`].
    pub(crate) parent: String,
    /// Number of spans.
    pub(crate) count: u64,
    /// Largest difference, in nanoseconds.
    pub(crate) most: u64,
    /// The trace and span with the largest difference, or the first one.
    pub(crate) example: (TraceId, SpanId),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Trouble {
    /// The parent is not stored.
    Orphan,
    /// A span starts before its parent in another service.
    Skew,
    /// The start or the end is in the future.
    Ahead,
    /// The end is before the start.
    EndsEarly,
    /// The end is not set.
    NoEnd,
    /// The start is not set.
    NoStart,
    /// A span is its own parent.
    OwnParent,
}

type Groups = BTreeMap<(Trouble, String, String), Finding>;

impl Findings {
    pub(crate) fn new(store: &Store) -> Self {
        let now = SystemTime::now() - UNDER_WAY;
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let settled = now.map_or(0, |now| now.as_nanos());
        let page = Page {
            limit: TRACES,
            before: None,
        };
        let mut findings = Self::default();
        let mut groups = Groups::new();
        let mut decoded = 0;
        for row in store.traces(&TraceFilter::default(), &page).rows {
            if findings.spans >= SPANS {
                break;
            }
            // A trace of the future is old: its clock is wrong.
            let end = row.start.saturating_add(row.duration);
            let is_ahead =
                u128::from(row.start) > settled + 2 * UNDER_WAY.as_nanos() || end > clock::future();
            if u128::from(end) > settled && !is_ahead {
                continue;
            }
            let Some(outline) = store.outline(row.id) else {
                continue;
            };
            findings.traces += 1;
            findings.spans += outline.len();
            examine(&outline, &mut groups);
            decoded += ends(&outline, DECODED - decoded, &mut groups);
        }
        findings.list = groups.into_values().collect();
        findings
    }
}

/// Finds what the columns show.
fn examine(outline: &Outline, groups: &mut Groups) {
    let spans: HashMap<SpanId, SpanView<'_>, RandomState> =
        outline.spans().map(|span| (span.span, span)).collect();
    let mut missing: HashSet<SpanId> = HashSet::new();
    let (now, future) = (clock::now(), clock::future());
    for span in outline.spans() {
        let end = span.start.saturating_add(span.duration);
        if end > future {
            let ahead = if span.start > future { span.start } else { end };
            note(groups, Trouble::Ahead, &span, "", ahead.saturating_sub(now));
        }
        if span.start == 0 {
            note(groups, Trouble::NoStart, &span, "", 0);
        }
        let Some(parent) = span.parent else {
            continue;
        };
        if parent == span.span {
            note(groups, Trouble::OwnParent, &span, "", 0);
            continue;
        }
        match spans.get(&parent) {
            // One missing parent is one problem, however many children it has.
            None if !outline.evicted_spans() && missing.insert(parent) => {
                note(groups, Trouble::Orphan, &span, "", 0);
            }
            Some(parent) if parent.service != span.service && span.start != 0 => {
                let early = parent.start.saturating_sub(span.start);
                if early >= SKEW {
                    note(groups, Trouble::Skew, &span, parent.service, early);
                }
            }
            _ => {}
        }
    }
}

/// Finds spans whose end is wrong. In the columns they have a duration of 0. Returns how many were decoded.
fn ends(outline: &Outline, limit: usize, groups: &mut Groups) -> usize {
    let views: Vec<_> = outline.spans().collect();
    let suspects: Vec<usize> = (0..views.len())
        .filter(|&number| views[number].duration == 0 && views[number].start != 0)
        .take(limit)
        .collect();
    for stored in outline.read(suspects.iter().copied()) {
        let span = &stored.span;
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        let id = SpanId::from_bytes(&span.span_id);
        let Some(view) = views.iter().find(|view| Some(view.span) == id) else {
            continue;
        };
        if end == 0 {
            note(groups, Trouble::NoEnd, view, "", 0);
        } else if end < start {
            note(groups, Trouble::EndsEarly, view, "", start - end);
        }
    }
    suspects.len()
}

fn note(groups: &mut Groups, trouble: Trouble, span: &SpanView<'_>, parent: &str, amount: u64) {
    let key = (trouble, span.service.to_owned(), parent.to_owned());
    let finding = groups.entry(key).or_insert_with(|| Finding {
        trouble,
        service: span.service.to_owned(),
        parent: parent.to_owned(),
        count: 0,
        most: amount,
        example: (span.trace, span.span),
    });
    finding.count += 1;
    if amount > finding.most {
        finding.most = amount;
        finding.example = (span.trace, span.span);
    }
}
