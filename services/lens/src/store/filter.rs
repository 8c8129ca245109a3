//! What lists leave out.

use std::time::{Duration, Instant};

use memchr::memmem::Finder;

use crate::ids::TraceId;
use crate::query::{
    Condition, Level, Operator, Term,
    compare::{self, Attribute, Pattern},
};

/// A part of a list, newest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<C> {
    /// Maximum number of rows.
    pub limit: usize,
    /// The [`List::next`] of the page before.
    pub before: Option<C>,
}

/// The rows of a page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List<T, C> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// Where the next page begins. `None` if there are no more rows.
    pub next: Option<C>,
    /// If the search ended early: rows after this time, in nanoseconds since 1970, are in the list. Those up to it are
    /// on the next page.
    pub stopped: Option<u64>,
}

/// When a search ends early.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// A search that ends when it is complete.
    pub(super) const NONE: Self = Self(None);

    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// The terms of a filter, by what they read.
#[derive(Default)]
pub(super) struct Terms {
    pub(super) services: Tests<Pattern>,
    pub(super) names: Tests<Pattern>,
    pub(super) traces: Tests<TraceId>,
    kinds: Codes,
    statuses: Codes,
    severities: Codes,
    durations: Tests<(Operator, u64)>,
    trace_durations: Tests<(Operator, u64)>,
    /// At most 32, because a filter has no more terms.
    pub(super) attributes: Tests<Attribute>,
    pub(super) texts: Tests<Finder<'static>>,
    /// Whether there are terms on records.
    any: bool,
}

/// Tests that all have to pass, and whether each is negated.
pub(super) type Tests<T> = Vec<(bool, T)>;

/// A set of numbers below 32.
#[derive(Clone, Copy)]
struct Codes(u32);

impl Terms {
    pub(super) fn new(terms: &[Term]) -> Self {
        let mut all = Self::default();
        for Term { negated, condition } in terms {
            all.add(*negated, condition);
        }
        all
    }

    fn add(&mut self, negated: bool, condition: &Condition) {
        self.any |= !matches!(condition, Condition::TraceDuration(..));
        match condition {
            Condition::Service(operator, text) => {
                self.services.push((negated, Pattern::new(*operator, text)));
            }
            Condition::Name(operator, text) => {
                self.names.push((negated, Pattern::new(*operator, text)));
            }
            Condition::Kind(kind) => {
                let kind = kind.code();
                self.kinds.keep(negated, |code| code == kind);
            }
            Condition::Status(status) => {
                let status = status.code();
                self.statuses.keep(negated, |code| code == status);
            }
            Condition::Duration(operator, nanos) => {
                self.durations.push((negated, (*operator, *nanos)));
            }
            Condition::TraceDuration(operator, nanos) => {
                self.trace_durations.push((negated, (*operator, *nanos)));
            }
            Condition::Trace(trace) => self.traces.push((negated, *trace)),
            Condition::Level(operator, limit) => self.severities.keep(negated, |severity| {
                let level = Level::of_severity(severity);
                level.is_some_and(|level| operator.holds(level.cmp(limit)))
            }),
            Condition::Text(text) => self.texts.push((negated, compare::finder(text))),
            Condition::Attribute(key, operator, text) => {
                let attribute = Attribute::new(key, *operator, text);
                self.attributes.push((negated, attribute));
            }
        }
    }

    /// Whether there are no terms on records.
    pub(super) fn match_all(&self) -> bool {
        !self.any
    }

    /// A trace that all matches are of.
    pub(super) fn trace(&self) -> Option<TraceId> {
        let wanted = self.traces.iter().find(|(negated, _)| !negated);
        wanted.map(|(_, trace)| *trace)
    }

    pub(super) fn match_kind(&self, kind: u8) -> bool {
        self.kinds.has(kind)
    }

    pub(super) fn match_status(&self, status: u8) -> bool {
        self.statuses.has(status)
    }

    pub(super) fn match_severity(&self, severity: u8) -> bool {
        self.severities.has(severity)
    }

    pub(super) fn match_duration(&self, nanos: u64) -> bool {
        all(&self.durations, |(operator, limit)| {
            operator.holds(nanos.cmp(limit))
        })
    }

    pub(super) fn match_trace_duration(&self, nanos: u64) -> bool {
        all(&self.trace_durations, |(operator, limit)| {
            operator.holds(nanos.cmp(limit))
        })
    }
}

impl Codes {
    /// Keeps the codes that a term holds for. Larger codes are as 0.
    fn keep(&mut self, negated: bool, holds: impl Fn(u8) -> bool) {
        for code in (0..32).filter(|code| holds(*code) == negated) {
            self.0 &= !(1 << code);
        }
    }

    fn has(self, code: u8) -> bool {
        self.0 >> code & 1 != 0
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

pub(super) fn all<T>(tests: &Tests<T>, mut is_met: impl FnMut(&T) -> bool) -> bool {
    tests.iter().all(|(negated, test)| is_met(test) != *negated)
}
