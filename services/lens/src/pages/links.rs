//! Links to lists with a filter.

use crate::{
    params::Params,
    query::{Condition, Filter, Operator, Status, Term},
    store::{SpanId, TraceId},
};

/// The list at a path with a filter of these conditions. `None` if they are no filter, for instance if a name is too
/// long.
pub(super) fn list(path: &str, conditions: impl IntoIterator<Item = Condition>) -> Option<String> {
    let filter = conditions
        .into_iter()
        .try_fold(Filter::default(), |filter, condition| {
            filter.with(Term::is(condition))
        })?;
    Some(Params::default().with("q", filter).href(path))
}

pub(super) fn service(name: &str) -> Condition {
    Condition::Service(Operator::Equal, name.to_owned())
}

pub(super) fn name(name: &str) -> Condition {
    Condition::Name(Operator::Equal, name.to_owned())
}

pub(super) fn attribute(key: &str, value: &str) -> Condition {
    Condition::Attribute(key.to_owned(), Operator::Equal, value.to_owned())
}

pub(super) fn error() -> Condition {
    Condition::Status(Status::Error)
}

/// A span in its trace.
pub(super) fn span(trace: TraceId, span: Option<SpanId>) -> String {
    match span {
        Some(span) => format!("/traces/{trace}?span={span}"),
        None => format!("/traces/{trace}"),
    }
}
