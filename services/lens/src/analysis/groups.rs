//! Repeated siblings, such as one query for each of many rows.

use std::collections::HashMap;

use super::{Node, tree::Tree};
use crate::store::SpanView;

/// Minimum number of spans of a group.
const REPEATS: usize = 4;

/// Siblings in a row that have the same service, name and kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Group {
    /// The first of the spans.
    pub first: Node,
    /// Number of spans, at least 4.
    pub count: usize,
    /// Number of spans whose status is an error.
    pub errors: usize,
    /// Sum of the durations, in nanoseconds. Spans without a start are not in it.
    pub total: u64,
    /// The longest duration, in nanoseconds. Spans without a start are not in it.
    pub longest: u64,
    /// The last of the spans.
    pub last: Node,
}

/// The groups by their first spans.
#[derive(Debug)]
pub(super) struct Groups(HashMap<Node, Group>);

impl Groups {
    pub(super) fn new(spans: &[SpanView<'_>], tree: &Tree) -> Self {
        let like = |a: &Node, b: &Node| match (spans.get(a.index()), spans.get(b.index())) {
            (Some(a), Some(b)) => (a.service, a.name, a.kind) == (b.service, b.name, b.kind),
            _ => false,
        };
        Self(
            // Roots have no parent in common.
            tree.order
                .iter()
                .flat_map(|&node| tree.children(node).chunk_by(like))
                .filter(|nodes| nodes.len() >= REPEATS)
                .map(|nodes| (nodes[0], Group::new(nodes, spans)))
                .collect(),
        )
    }

    pub(super) fn starting_at(&self, node: Node) -> Option<&Group> {
        self.0.get(&node)
    }
}

impl Group {
    fn new(nodes: &[Node], spans: &[SpanView<'_>]) -> Self {
        let mut group = Self {
            first: nodes[0],
            count: nodes.len(),
            errors: 0,
            total: 0,
            longest: 0,
            last: nodes[nodes.len() - 1],
        };
        for span in nodes.iter().filter_map(|node| spans.get(node.index())) {
            group.errors += usize::from(span.error);
            let duration = super::time(span).map_or(0, |time| time.end - time.start);
            group.total = group.total.saturating_add(duration);
            group.longest = group.longest.max(duration);
        }
        group
    }
}
