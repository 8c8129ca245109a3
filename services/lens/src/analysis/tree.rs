//! Which span is below which.

use std::collections::HashMap;

use super::{Missing, Node, join, time};
use crate::store::{SpanId, SpanView};

/// Stands for no parent.
const NONE: u32 = u32::MAX;

/// Why a span with a stored parent is at the top.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// The parent has the id of the span.
    SelfParent,
    /// The span is its own ancestor. The cycle is cut above the span that starts first.
    Cycle,
}

#[derive(Debug)]
pub(super) struct Tree {
    /// The node above each node, or [`NONE`].
    parents: Vec<u32>,
    /// The children of each node, and the roots after them, each in order of start.
    children: Vec<Node>,
    /// Start of each node's children in `children`, and then of the roots.
    starts: Vec<u32>,
    /// All nodes in the order of display.
    pub(super) order: Vec<Node>,
    /// The place of each node in `order`.
    pub(super) places: Vec<u32>,
    /// Number of nodes above each node.
    pub(super) depths: Vec<u32>,
    /// Number of nodes below each node.
    pub(super) below: Vec<u32>,
    /// The spans above which a parent was cut.
    cuts: HashMap<Node, Cut>,
    /// Whether another span has the id, for each span.
    pub(super) duplicates: Vec<bool>,
}

impl Tree {
    pub(super) fn roots(&self) -> &[Node] {
        self.bucket(self.parents.len())
    }

    pub(super) fn children(&self, node: Node) -> &[Node] {
        self.bucket(node.index())
    }

    pub(super) fn parent(&self, node: Node) -> Option<Node> {
        let parent = self.parents[node.index()];
        (parent != NONE).then_some(Node(parent))
    }

    pub(super) fn cut(&self, node: Node) -> Option<Cut> {
        self.cuts.get(&node).copied()
    }

    /// The first place in `order` after a node and its descendants.
    pub(super) fn end(&self, node: Node) -> usize {
        (self.places[node.index()] + 1 + self.below[node.index()]) as usize
    }

    fn bucket(&self, number: usize) -> &[Node] {
        &self.children[self.starts[number] as usize..self.starts[number + 1] as usize]
    }
}

pub(super) fn build(spans: &[SpanView<'_>]) -> (Tree, Vec<Missing>) {
    // If several spans have one id, its children are below the span that came first.
    let mut ids: HashMap<SpanId, u32> = HashMap::with_capacity(spans.len());
    let mut duplicates = vec![false; spans.len()];
    for (number, span) in spans.iter().enumerate() {
        let first = *ids.entry(span.span).or_insert(number as u32);
        if first as usize != number {
            duplicates[first as usize] = true;
            duplicates[number] = true;
        }
    }

    let mut missing: Vec<Missing> = Vec::new();
    let mut cuts = HashMap::new();
    let mut parents = Vec::with_capacity(spans.len());
    for (number, span) in spans.iter().enumerate() {
        parents.push(match span.parent {
            None => NONE,
            Some(parent) if parent == span.span => {
                cuts.insert(Node(number as u32), Cut::SelfParent);
                NONE
            }
            Some(parent) => {
                let above = *ids.entry(parent).or_insert_with(|| {
                    missing.push(Missing {
                        id: parent,
                        time: None,
                    });
                    (spans.len() + missing.len() - 1) as u32
                });
                let placeholder = (above as usize).checked_sub(spans.len());
                if let Some(missing) = placeholder.map(|number| &mut missing[number]) {
                    missing.time = missing
                        .time
                        .take()
                        .into_iter()
                        .chain(time(span))
                        .reduce(join);
                }
                above
            }
        });
    }
    cut_cycles(spans, &mut parents, &mut cuts);
    parents.resize(spans.len() + missing.len(), NONE);

    let start = |node: &Node| {
        let time = match spans.get(node.index()) {
            Some(span) => time(span),
            None => missing[node.index() - spans.len()].time.clone(),
        };
        time.map_or(u64::MAX, |time| time.start)
    };
    let (children, starts) = buckets(&parents, start);
    let count = parents.len();
    let mut tree = Tree {
        parents,
        children,
        starts,
        order: Vec::with_capacity(count),
        places: vec![0; count],
        depths: vec![0; count],
        below: vec![0; count],
        cuts,
        duplicates,
    };
    arrange(&mut tree);
    (tree, missing)
}

/// Removes one parent of each cycle.
fn cut_cycles(spans: &[SpanView<'_>], parents: &mut [u32], cuts: &mut HashMap<Node, Cut>) {
    let start = |number: usize| time(&spans[number]).map_or(u64::MAX, |time| time.start);
    // The walk that came to each span, or 0.
    let mut walks = vec![0; spans.len()];
    for from in 0..spans.len() {
        let walk = from + 1;
        let mut at = from;
        while let Some(seen) = walks.get_mut(at)
            && *seen == 0
        {
            *seen = walk;
            at = parents[at] as usize;
        }
        if walks.get(at) != Some(&walk) {
            continue;
        }
        // The walk came back to itself, so `at` is in a cycle.
        let mut first = at;
        let mut next = parents[at] as usize;
        while next != at {
            first = std::cmp::min_by_key(first, next, |&number| (start(number), number));
            next = parents[next] as usize;
        }
        parents[first] = NONE;
        cuts.insert(Node(first as u32), Cut::Cycle);
    }
}

/// The nodes by their parents, the roots last, each in order of start. Also the start of each part.
fn buckets(parents: &[u32], start: impl Fn(&Node) -> u64) -> (Vec<Node>, Vec<u32>) {
    let bucket = |node: Node| (parents[node.index()] as usize).min(parents.len());
    let mut sorted: Vec<Node> = (0..parents.len() as u32).map(Node).collect();
    sorted.sort_by_cached_key(&start);
    let mut starts = vec![0; parents.len() + 2];
    for &node in &sorted {
        starts[bucket(node) + 1] += 1;
    }
    for number in 1..starts.len() {
        starts[number] += starts[number - 1];
    }
    let mut free = starts.clone();
    let mut children = vec![Node(0); parents.len()];
    for &node in &sorted {
        let place = &mut free[bucket(node)];
        children[*place as usize] = node;
        *place += 1;
    }
    (children, starts)
}

/// Puts the nodes in the order of display.
fn arrange(tree: &mut Tree) {
    let mut waiting: Vec<Node> = tree.roots().iter().rev().copied().collect();
    while let Some(node) = waiting.pop() {
        tree.places[node.index()] = tree.order.len() as u32;
        tree.order.push(node);
        if let Some(parent) = tree.parent(node) {
            tree.depths[node.index()] = tree.depths[parent.index()] + 1;
        }
        waiting.extend(tree.children(node).iter().rev());
    }
    for place in (0..tree.order.len()).rev() {
        let node = tree.order[place];
        if let Some(parent) = tree.parent(node) {
            tree.below[parent.index()] += 1 + tree.below[node.index()];
        }
    }
}
