//! From a filter to those of each signal.

use std::fmt;

use super::{
    Condition, Filter, Term,
    compare::{Attribute, Pattern},
};
use crate::metrics::Labels;

/// Selects traces. A trace matches if one of its spans matches all terms.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TraceFilter(pub(crate) Vec<Term>);

/// Selects log records.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogFilter(pub(crate) Vec<Term>);

/// Selects series of metrics.
#[derive(Clone, Debug, Default)]
pub struct SeriesFilter {
    /// The tests, and whether each is negated.
    tests: Vec<(bool, Test)>,
}

/// What a term asks of a series.
#[derive(Clone, Debug)]
enum Test {
    Service(Pattern),
    Name(Pattern),
    Attribute(Attribute),
}

/// What a filter is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// Traces.
    Traces,
    /// Log records.
    Logs,
    /// Series of metrics.
    Series,
}

/// A term that a signal does not have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{written}`: {signal} have no {}; their terms are {}", .term.condition.key(), .signal.terms())]
pub struct Unsupported {
    /// The term.
    pub term: Term,
    /// The term as it was written.
    pub written: String,
    /// The signal.
    pub signal: Signal,
}

impl Filter {
    /// The filter of traces.
    ///
    /// # Errors
    ///
    /// All terms that traces do not have.
    pub fn to_trace_filter(&self) -> Result<TraceFilter, Vec<Unsupported>> {
        Ok(TraceFilter(self.terms_of(Signal::Traces)?.to_vec()))
    }

    /// The filter of log records.
    ///
    /// # Errors
    ///
    /// All terms that log records do not have.
    pub fn to_log_filter(&self) -> Result<LogFilter, Vec<Unsupported>> {
        Ok(LogFilter(self.terms_of(Signal::Logs)?.to_vec()))
    }

    /// The filter of series.
    ///
    /// # Errors
    ///
    /// All terms that series do not have.
    pub fn to_series_filter(&self) -> Result<SeriesFilter, Vec<Unsupported>> {
        let terms = self.terms_of(Signal::Series)?.iter();
        let tests = terms.filter_map(|term| Some((term.negated, Test::new(&term.condition)?)));
        Ok(SeriesFilter {
            tests: tests.collect(),
        })
    }

    fn terms_of(&self, signal: Signal) -> Result<&[Term], Vec<Unsupported>> {
        let unsupported: Vec<Unsupported> = self
            .terms
            .iter()
            .zip(&self.written)
            .filter(|(term, _)| !signal.has(&term.condition))
            .map(|(term, written)| Unsupported {
                term: term.clone(),
                written: written.clone(),
                signal,
            })
            .collect();
        match unsupported.is_empty() {
            true => Ok(&self.terms),
            false => Err(unsupported),
        }
    }
}

impl Signal {
    fn has(self, condition: &Condition) -> bool {
        match condition {
            Condition::Service(..) | Condition::Name(..) | Condition::Attribute(..) => true,
            Condition::Kind(_)
            | Condition::Status(_)
            | Condition::Duration(..)
            | Condition::TraceDuration(..) => self == Self::Traces,
            Condition::Level(..) => self == Self::Logs,
            Condition::Trace(_) | Condition::Text(_) => self != Self::Series,
        }
    }

    const fn terms(self) -> &'static str {
        match self {
            Self::Traces => {
                "`service`, `name`, `kind`, `status`, `duration`, `trace.duration`, `trace`, text and attributes"
            }
            Self::Logs => "`service`, `name`, `level`, `trace`, text and attributes",
            Self::Series => "`service`, `name` and attributes",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Series => "series",
        })
    }
}

impl SeriesFilter {
    /// Whether a series matches all terms.
    pub fn matches(&self, labels: &Labels) -> bool {
        let mut lower = Vec::new();
        self.tests
            .iter()
            .all(|(negated, test)| test.is_met(labels, &mut lower) != *negated)
    }
}

impl Test {
    /// `None` for what series do not have.
    fn new(condition: &Condition) -> Option<Self> {
        Some(match condition {
            Condition::Service(operator, text) => Self::Service(Pattern::new(*operator, text)),
            Condition::Name(operator, text) => Self::Name(Pattern::new(*operator, text)),
            Condition::Attribute(key, operator, text) => {
                Self::Attribute(Attribute::new(key, *operator, text))
            }
            _ => return None,
        })
    }

    /// `lower` is a buffer.
    fn is_met(&self, labels: &Labels, lower: &mut Vec<u8>) -> bool {
        match self {
            Self::Service(pattern) => pattern.matches(&labels.service, lower),
            Self::Name(pattern) => pattern.matches(&labels.name, lower),
            Self::Attribute(attribute) => {
                attribute.is_in(&labels.attributes, lower)
                    || attribute.is_in(&labels.resource.attributes, lower)
            }
        }
    }
}
