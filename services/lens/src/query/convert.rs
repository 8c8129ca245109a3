//! From a filter to those of the store.

use super::{Condition, Filter, Level, Operator, Status, Term};
use crate::store::{LogFilter, TraceFilter};

/// A term that a list cannot filter by.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{term}`: {reason}")]
pub struct Unsupported {
    /// The term.
    pub term: Term,
    /// Why.
    pub reason: Reason,
}

/// Why a list cannot filter by a term.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The term is negated.
    #[error("this list cannot exclude records")]
    Negated,
    /// The list does not filter by the key.
    #[error("this list cannot filter by this key")]
    Key,
    /// The list does not compare the key by the operator.
    #[error("this list cannot compare this key with `{}`: use `{}`", .0.as_str(), .1.as_str())]
    Operator(Operator, Operator),
    /// The list does not filter by the value.
    #[error("this list can only filter by `status:error`")]
    Status,
    /// The list takes the key once.
    #[error("this list takes this key once, with one value")]
    Repeated,
    /// No record can match.
    #[error("nothing can match")]
    Impossible,
}

impl Filter {
    /// The filter of traces.
    ///
    /// # Errors
    ///
    /// All terms that the list of traces cannot filter by.
    pub fn to_trace_filter(&self) -> Result<TraceFilter, Vec<Unsupported>> {
        let mut filter = TraceFilter::default();
        self.convert(|condition| add_to_traces(&mut filter, condition))?;
        Ok(filter)
    }

    /// The filter of log records.
    ///
    /// # Errors
    ///
    /// All terms that the list of log records cannot filter by.
    pub fn to_log_filter(&self) -> Result<LogFilter, Vec<Unsupported>> {
        let mut filter = LogFilter::default();
        self.convert(|condition| add_to_logs(&mut filter, condition))?;
        Ok(filter)
    }

    fn convert(
        &self,
        mut add: impl FnMut(&Condition) -> Result<(), Reason>,
    ) -> Result<(), Vec<Unsupported>> {
        let mut unsupported = Vec::new();
        for term in &self.terms {
            let added = match term.negated {
                true => Err(Reason::Negated),
                false => add(&term.condition),
            };
            if let Err(reason) = added {
                let term = term.clone();
                unsupported.push(Unsupported { term, reason });
            }
        }
        match unsupported.is_empty() {
            true => Ok(()),
            false => Err(unsupported),
        }
    }
}

fn add_to_traces(filter: &mut TraceFilter, condition: &Condition) -> Result<(), Reason> {
    match condition {
        Condition::Service(operator, value) => {
            only(*operator, Operator::Equal)?;
            set(&mut filter.service, value)
        }
        Condition::Name(operator, value) => {
            only(*operator, Operator::Contains)?;
            set(&mut filter.name, value)
        }
        Condition::Status(Status::Error) => {
            filter.error = true;
            Ok(())
        }
        Condition::Status(Status::Unset | Status::Ok) => Err(Reason::Status),
        Condition::Duration(operator, nanos) => limit(
            &mut filter.min_duration,
            &mut filter.max_duration,
            *operator,
            *nanos,
        ),
        Condition::TraceDuration(operator, nanos) => limit(
            &mut filter.min_trace_duration,
            &mut filter.max_trace_duration,
            *operator,
            *nanos,
        ),
        Condition::Text(text) => set(&mut filter.text, text),
        Condition::Attribute(key, operator, value) => {
            only(*operator, Operator::Equal)?;
            filter.attributes.push((key.clone(), value.clone()));
            Ok(())
        }
        Condition::Kind(_) | Condition::Trace(_) | Condition::Level(..) => Err(Reason::Key),
    }
}

fn add_to_logs(filter: &mut LogFilter, condition: &Condition) -> Result<(), Reason> {
    match condition {
        Condition::Service(operator, value) => {
            only(*operator, Operator::Equal)?;
            set(&mut filter.service, value)
        }
        Condition::Trace(id) => set(&mut filter.trace, id),
        Condition::Level(operator, level) => {
            let min = match (operator, level) {
                (Operator::GreaterOrEqual, level) => first(*level),
                // There is no level above it.
                (Operator::Equal, Level::Fatal) => first(Level::Fatal),
                (Operator::Greater, Level::Fatal) => return Err(Reason::Impossible),
                (Operator::Greater, level) => first(*level) + 4,
                (operator, _) => {
                    return Err(Reason::Operator(*operator, Operator::GreaterOrEqual));
                }
            };
            filter.min_severity = filter.min_severity.max(Some(min));
            Ok(())
        }
        Condition::Text(text) => set(&mut filter.text, text),
        Condition::Attribute(key, operator, value) => {
            only(*operator, Operator::Equal)?;
            filter.attributes.push((key.clone(), value.clone()));
            Ok(())
        }
        Condition::Name(..)
        | Condition::Kind(_)
        | Condition::Status(_)
        | Condition::Duration(..)
        | Condition::TraceDuration(..) => Err(Reason::Key),
    }
}

fn only(operator: Operator, supported: Operator) -> Result<(), Reason> {
    match operator == supported {
        true => Ok(()),
        false => Err(Reason::Operator(operator, supported)),
    }
}

fn set<T: Clone + PartialEq>(field: &mut Option<T>, value: &T) -> Result<(), Reason> {
    match field {
        Some(other) if other != value => Err(Reason::Repeated),
        _ => {
            *field = Some(value.clone());
            Ok(())
        }
    }
}

fn limit(
    min: &mut Option<u64>,
    max: &mut Option<u64>,
    operator: Operator,
    nanos: u64,
) -> Result<(), Reason> {
    let (from, to) = match operator {
        Operator::Greater => (Some(nanos.checked_add(1).ok_or(Reason::Impossible)?), None),
        Operator::GreaterOrEqual => (Some(nanos), None),
        Operator::Less => (None, Some(nanos.checked_sub(1).ok_or(Reason::Impossible)?)),
        Operator::LessOrEqual => (None, Some(nanos)),
        Operator::Equal => (Some(nanos), Some(nanos)),
        Operator::Contains => return Err(Reason::Operator(operator, Operator::Equal)),
    };
    *min = (*min).max(from);
    *max = match (*max, to) {
        (Some(max), Some(to)) => Some(max.min(to)),
        (max, to) => max.or(to),
    };
    Ok(())
}

/// The first severity number of a level.
const fn first(level: Level) -> u8 {
    match level {
        Level::Trace => 1,
        Level::Debug => 5,
        Level::Info => 9,
        Level::Warn => 13,
        Level::Error => 17,
        Level::Fatal => 21,
    }
}
