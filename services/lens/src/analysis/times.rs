//! Self time, and how the time of a span fits into that of its parent.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{Cut, Node, Waterfall};

/// The anomalies of a span.
///
/// A span that ends before it starts has a duration of 0 in the columns. Only the decoded span shows this anomaly.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// Whether another span of the trace has the same id. The children of both are below the span that came first.
    pub duplicate: bool,
    /// Why the span is not below its parent.
    pub cut: Option<Cut>,
    /// Whether the start is not set. Such a span has no time in the waterfall.
    pub no_start: bool,
    /// Time by which the span starts before its parent, in nanoseconds. The clocks of two machines differ by at
    /// least this time.
    pub starts_early: u64,
    /// Time by which the span ends after its parent that waits for it in another service, in nanoseconds. The clocks
    /// of the two services differ, or the parent gave up.
    pub ends_late: u64,
    /// Time by which the span ends after its parent that does not wait for it, in nanoseconds: both are of the same
    /// service, or a message is between them.
    pub outlives: u64,
}

impl Waterfall<'_> {
    /// The anomalies of a span. A missing parent has none.
    pub fn marks(&self, node: Node) -> Marks {
        let Some(span) = self.span(node) else {
            return Marks::default();
        };
        let mut marks = Marks {
            duplicate: self.tree.duplicates[node.index()],
            cut: self.tree.cut(node),
            no_start: span.start == 0,
            ..Marks::default()
        };
        let parent = self.parent(node);
        if let Some(parent) = parent.and_then(|parent| self.span(parent))
            && let (Some(own), Some(outer)) = (super::time(span), super::time(parent))
        {
            marks.starts_early = outer.start.saturating_sub(own.start);
            let late = own.end.saturating_sub(outer.end);
            let asynchronous = span.service == parent.service
                || span.kind == SpanKind::Consumer
                || parent.kind == SpanKind::Producer;
            if asynchronous {
                marks.outlives = late;
            } else {
                marks.ends_late = late;
            }
        }
        marks
    }

    /// Time of a span that none of its children covers, in nanoseconds. 0 for a missing parent, and for a span without
    /// a start.
    pub fn self_time(&self, node: Node) -> u64 {
        let Some(time) = self.span(node).and_then(super::time) else {
            return 0;
        };
        let mut own = 0;
        // Time before it is counted.
        let mut until = time.start;
        // The children are in order of start.
        for child in self
            .children(node)
            .iter()
            .filter_map(|&child| self.time(child))
        {
            let start = child.start.min(time.end);
            own += start.saturating_sub(until);
            until = until.max(child.end.min(time.end));
        }
        own + (time.end - until)
    }
}
