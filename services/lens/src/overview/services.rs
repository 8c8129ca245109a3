//! Rate, errors and durations of each service.

use std::{collections::HashSet, ops::Range};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{SECOND, durations::Durations, names::Names};
use crate::store::{SpanId, SpanView, Spans, TraceId};

/// Maximum number of spans that are read.
pub(crate) const SPANS: usize = 1_000_000;

/// Maximum number of services.
const LIMIT: usize = 200;

/// Maximum number of failed spans whose messages are read.
pub(super) const FAILED: usize = 1_000;

/// Number of intervals of a sparkline.
pub(crate) const INTERVALS: usize = 30;

/// The services of a window.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// By name.
    pub(crate) rows: Vec<Row>,
    /// Number of spans of services that are not in `rows`.
    pub(crate) others: u64,
    /// Number of spans that were read.
    pub(crate) spans: usize,
    /// Whether older spans of the window were not read.
    pub(crate) is_cut: bool,
    /// Time over which rates are computed, in nanoseconds.
    pub(crate) time: u64,
    /// The failed spans that came last.
    pub(super) failed: HashSet<(TraceId, SpanId), RandomState>,
    /// Number of all failed spans.
    pub(super) failures: u64,
}

/// A service.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name. Empty if it has none.
    pub(crate) name: String,
    /// What is counted.
    pub(crate) what: What,
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    /// Count and errors in each interval of the window.
    pub(crate) intervals: Vec<(u64, u64)>,
}

/// The spans that stand for the work of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// Spans of kind server or consumer.
    Requests,
    /// Spans without a parent, of a service without requests.
    Roots,
    /// All spans, of a service without either.
    Spans,
}

/// What is counted of a service, of which one part is shown.
#[derive(Debug, Default)]
struct Sums {
    requests: Sum,
    roots: Sum,
    spans: Sum,
}

#[derive(Debug, Default)]
struct Sum {
    durations: Durations,
    count: u64,
    errors: u64,
    intervals: Vec<(u64, u64)>,
}

impl Services {
    pub(super) fn new(spans: &Spans, range: &Range<u64>) -> Self {
        let mut services = Self::default();
        let mut names = Names::new(LIMIT);
        let mut sums: Vec<Sums> = Vec::new();
        let mut oldest = range.end;
        for span in spans.newest_first() {
            if services.spans == SPANS {
                services.is_cut = true;
                break;
            }
            services.spans += 1;
            oldest = oldest.min(span.start);
            let Some(number) = names.number(span.service) else {
                services.others += 1;
                continue;
            };
            if number == sums.len() {
                sums.push(Sums::default());
            }
            sums[number].add(&span, range);
            if span.error {
                services.failures += 1;
                if services.failed.len() < FAILED {
                    services.failed.insert((span.trace, span.span));
                }
            }
        }
        // Right after the start, most of the window has no data.
        services.time = (range.end - oldest).max(SECOND);
        let rows = names.all().iter().zip(sums);
        services.rows = rows.map(|(name, sums)| sums.row(name)).collect();
        services
            .rows
            .sort_by(|one, other| one.name.cmp(&other.name));
        services
    }
}

impl Sums {
    fn add(&mut self, span: &SpanView<'_>, range: &Range<u64>) {
        self.spans.add(span, range);
        if matches!(span.kind, SpanKind::Server | SpanKind::Consumer) {
            self.requests.add(span, range);
        } else if span.parent.is_none() {
            self.roots.add(span, range);
        }
    }

    fn row(self, name: &str) -> Row {
        let (what, sum) = match self {
            Self { requests, .. } if requests.count > 0 => (What::Requests, requests),
            Self { roots, .. } if roots.count > 0 => (What::Roots, roots),
            Self { spans, .. } => (What::Spans, spans),
        };
        Row {
            name: name.to_owned(),
            what,
            count: sum.count,
            errors: sum.errors,
            p50: sum.durations.quantile(0.5),
            p95: sum.durations.quantile(0.95),
            intervals: sum.intervals,
        }
    }
}

impl Sum {
    fn add(&mut self, span: &SpanView<'_>, range: &Range<u64>) {
        if self.intervals.is_empty() {
            self.intervals = vec![(0, 0); INTERVALS];
        }
        let length = u128::from((range.end - range.start).max(1));
        let since = u128::from(span.start.saturating_sub(range.start));
        let place = since * INTERVALS as u128 / length;
        let (count, errors) = &mut self.intervals[(place as usize).min(INTERVALS - 1)];
        *count += 1;
        *errors += u64::from(span.error);
        self.count += 1;
        self.errors += u64::from(span.error);
        self.durations.add(span.duration);
    }
}
