//! The waterfall of one trace: its tree, rows, times and critical path.
//!
//! A trace is laid out from its columns. Spans are never moved or dropped: the anomalies of a span are in its
//! [`Marks`]. All work is at most n log n in the number of spans, and none recurses.

mod critical;
mod groups;
mod rows;
#[cfg(test)]
mod tests;
mod times;
mod tree;

use std::ops::Range;

use self::groups::Groups;
pub use self::{
    critical::Section,
    groups::Group,
    rows::{Collapsed, Item, Row, Window},
    times::Marks,
    tree::Cut,
};
use crate::store::{Outline, SpanId, SpanView};

/// The waterfall of one trace.
#[derive(Debug)]
pub struct Waterfall<'a> {
    spans: Vec<SpanView<'a>>,
    missing: Vec<Missing>,
    tree: tree::Tree,
    groups: Groups,
}

/// A span of the trace, or a missing parent.
///
/// Spans have the numbers of [`Outline::spans`]. Missing parents have the numbers after them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node(u32);

/// A parent that is not stored.
#[derive(Debug)]
struct Missing {
    id: SpanId,
    /// From the first start to the last end of its children. `None` if no child has a start.
    time: Option<Range<u64>>,
}

impl<'a> Waterfall<'a> {
    /// The waterfall of a trace.
    pub fn new(outline: &'a Outline) -> Self {
        Self::of(outline.spans().collect())
    }

    /// The waterfall of these spans. Each has the number of its place.
    pub fn of(spans: Vec<SpanView<'a>>) -> Self {
        let (tree, missing) = tree::build(&spans);
        let groups = Groups::new(&spans, &tree);
        Self {
            spans,
            missing,
            tree,
            groups,
        }
    }

    /// The spans, by the numbers of [`Outline::spans`].
    pub fn spans(&self) -> &[SpanView<'a>] {
        &self.spans
    }

    /// The node of a span by its number in [`Self::spans`].
    pub fn node(&self, number: usize) -> Option<Node> {
        (number < self.spans.len()).then_some(Node(number as u32))
    }

    /// The nodes at the top, in order of start: spans without a parent, missing parents, and spans whose parent was
    /// [cut](Cut). Nodes without a start are last.
    pub fn roots(&self) -> &[Node] {
        self.tree.roots()
    }

    /// The children of a node, in order of start. Spans without a start are last.
    pub fn children(&self, node: Node) -> &[Node] {
        self.tree.children(node)
    }

    /// The node above a node.
    pub fn parent(&self, node: Node) -> Option<Node> {
        self.tree.parent(node)
    }

    /// The span of a node. `None` for a missing parent.
    pub fn span(&self, node: Node) -> Option<&SpanView<'a>> {
        self.spans.get(node.index())
    }

    /// The id of a span or missing parent.
    pub fn id(&self, node: Node) -> SpanId {
        match self.span(node) {
            Some(span) => span.span,
            None => self.missing[node.index() - self.spans.len()].id,
        }
    }

    /// Start and end of a node, in nanoseconds since 1970. A missing parent has the first start and the last end of its
    /// children. `None` if the start is not known.
    pub fn time(&self, node: Node) -> Option<Range<u64>> {
        match self.span(node) {
            Some(span) => time(span),
            None => self.missing[node.index() - self.spans.len()].time.clone(),
        }
    }

    /// The first start and the last end of all spans, in nanoseconds since 1970. `None` if no span has a start.
    pub fn range(&self) -> Option<Range<u64>> {
        self.spans.iter().filter_map(time).reduce(join)
    }
}

impl Node {
    /// Number of the span in [`Outline::spans`]. A missing parent has a number beyond them.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Start and end of a span, in nanoseconds since 1970. `None` if the start is not set: with such a span, the end would
/// make a duration of decades.
fn time(span: &SpanView<'_>) -> Option<Range<u64>> {
    (span.start != 0).then(|| span.start..span.start.saturating_add(span.duration))
}

fn join(a: Range<u64>, b: Range<u64>) -> Range<u64> {
    a.start.min(b.start)..a.end.max(b.end)
}
