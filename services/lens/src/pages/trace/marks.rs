//! The anomalies of a span in words.

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::{
    analysis::{Cut, Marks},
    pages::format,
};

/// An anomaly of a span.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Word {
    /// For a row.
    pub(in super::super) short: String,
    /// Why that is so.
    pub(in super::super) long: &'static str,
    /// Whether it is common in healthy traces. A row does not show it.
    pub(in super::super) is_common: bool,
}

/// The anomalies of a span. `span` has those that the columns do not tell.
pub(in super::super) fn of(marks: Marks, span: Option<&Span>) -> Vec<Word> {
    let mut words = Vec::new();
    let mut add = |short: String, long| {
        words.push(Word {
            short,
            long,
            is_common: false,
        });
    };
    match marks.cut {
        Some(Cut::SelfParent) => add(
            "is its own parent".to_owned(),
            "The parent id is the id of the span itself. The span is at the top instead.",
        ),
        Some(Cut::Cycle) => add(
            "parent cycle cut".to_owned(),
            "The span is its own ancestor. The cycle is cut above the span that starts first.",
        ),
        None => {}
    }
    if marks.duplicate {
        add(
            "id is not unique".to_owned(),
            "Another span of the trace has the same id. The children of both are below the first.",
        );
    }
    if marks.no_start {
        add(
            "no start time".to_owned(),
            "The start time is 0, so that the span has no place on the time axis.",
        );
    }
    if let Some(span) = span.filter(|span| span.start_time_unix_nano != 0) {
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        if end == 0 {
            add(
                "no end time".to_owned(),
                "The end time is 0, so that the duration is not known.",
            );
        } else if end < start {
            add(
                format!("ends {} before it starts", format::duration(start - end)),
                "The duration counts as 0. The clock was set back while the span was open.",
            );
        }
    }
    if marks.starts_early > 0 {
        add(
            format!(
                "starts {} before its parent",
                format::duration(marks.starts_early)
            ),
            "The clocks of the two machines differ by at least this time.",
        );
    }
    if marks.ends_late > 0 {
        add(
            format!(
                "ends {} after its parent",
                format::duration(marks.ends_late)
            ),
            "The parent in another service gave up earlier, or the clocks of the two machines differ.",
        );
    }
    if marks.outlives > 0 {
        words.push(Word {
            short: format!("ends {} after its parent", format::duration(marks.outlives)),
            long: "The parent does not wait for it: both are of one service, or a message is between them.",
            is_common: true,
        });
    }
    words
}
