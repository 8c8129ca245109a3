//! Where the nodes and calls of a map are drawn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dagre::{
    EdgeLabel, LayoutOptions, NodeLabel, RankDir,
    graph::{Graph, GraphOptions},
    layout,
    layout::types::LabelPos,
};

use super::map::{Calls, Kind, Map, Node};

/// Size of a node.
pub(crate) const NODE: (f64, f64) = (156.0, 44.0);

/// Size of the text beside the calls: the rate above the line, and the share of errors below it.
const TEXT: (f64, f64) = (64.0, 32.0);

const MARGIN: f64 = 12.0;

/// A map with places. It depends on the names of the nodes and on which calls there are, not on their numbers, so a
/// reload does not move anything.
#[derive(Debug)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// The middle of each node. `None` for nodes without calls.
    pub(crate) nodes: Vec<Option<(f64, f64)>>,
    /// In the order of the calls.
    pub(crate) arrows: Vec<Arrow>,
    key: Key,
}

/// The course of calls.
#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) points: Vec<(f64, f64)>,
    /// The middle of the text.
    pub(crate) text: (f64, f64),
}

type Key = (Vec<Node>, Vec<(usize, usize)>);

fn key(map: &Map) -> Key {
    let calls = map.calls.iter().map(|call| (call.from, call.to));
    (map.nodes.clone(), calls.collect())
}

impl Drawing {
    /// `None` if there are no calls, or no layout is found.
    pub(super) fn new(map: &Map) -> Option<Self> {
        if map.calls.is_empty() {
            return None;
        }
        // The crate is young, and a picture is not worth a failed page: the table has the same.
        let (nodes, arrows) = catch_unwind(AssertUnwindSafe(|| place(map))).ok()??;
        let points = arrows.iter().flat_map(|arrow| &arrow.points).copied();
        let corners = nodes
            .iter()
            .flatten()
            .map(|(x, y)| (x + NODE.0 / 2.0, y + NODE.1 / 2.0));
        let texts = arrows
            .iter()
            .map(|arrow| (arrow.text.0 + TEXT.0 / 2.0, arrow.text.1));
        let (width, height) = points
            .chain(corners)
            .chain(texts)
            .fold((0.0, 0.0), |(width, height), (x, y)| {
                (f64::max(width, x), f64::max(height, y))
            });
        let is_finite = width.is_finite() && height.is_finite();
        is_finite.then_some(Self {
            width: width + MARGIN,
            height: height + MARGIN,
            nodes,
            arrows,
            key: key(map),
        })
    }

    /// Whether this is the drawing of a map.
    pub(super) fn is_of(&self, map: &Map) -> bool {
        self.key == key(map)
    }
}

/// Distinguishes a call that is drawn backwards from one between the same nodes that is not.
const BACK: Option<&str> = Some("back");

/// Whether a topic leads back to a service whose calls led to it. Such a call is drawn from right to left, so that the
/// service at which requests enter stays on the left.
fn is_back(map: &Map, call: &Calls) -> bool {
    if map.nodes[call.from].kind != Kind::Topic {
        return false;
    }
    let mut reached = vec![false; map.nodes.len()];
    let mut waiting = vec![call.to];
    while let Some(node) = waiting.pop() {
        if node == call.from {
            return true;
        }
        if !std::mem::replace(&mut reached[node], true) {
            let calls = map.calls.iter().filter(|next| next.from == node);
            waiting.extend(calls.map(|next| next.to));
        }
    }
    false
}

type Places = (Vec<Option<(f64, f64)>>, Vec<Arrow>);

fn place(map: &Map) -> Option<Places> {
    // Without `multigraph`, the crate panics at two nodes that call each other.
    let mut graph: Graph<NodeLabel, EdgeLabel> = Graph::with_options(GraphOptions {
        directed: true,
        multigraph: true,
        compound: false,
    });
    let id = |number: usize| format!("{number:03}");
    for number in 0..map.nodes.len() {
        let has_calls = map
            .calls
            .iter()
            .any(|call| call.from == number || call.to == number);
        if has_calls {
            let node = NodeLabel {
                width: NODE.0,
                height: NODE.1,
                ..NodeLabel::default()
            };
            graph.set_node(id(number), Some(node));
        }
    }
    for call in &map.calls {
        let edge = EdgeLabel {
            width: TEXT.0,
            height: TEXT.1,
            labelpos: LabelPos::Center,
            ..EdgeLabel::default()
        };
        match is_back(map, call) {
            true => graph.set_edge(id(call.to), id(call.from), Some(edge), BACK),
            false => graph.set_edge(id(call.from), id(call.to), Some(edge), None),
        };
    }
    let options = LayoutOptions {
        rankdir: RankDir::LR,
        nodesep: 18.0,
        edgesep: 12.0,
        ranksep: 36.0,
        marginx: MARGIN,
        marginy: MARGIN,
        ..LayoutOptions::default()
    };
    layout(&mut graph, Some(options));
    let nodes = (0..map.nodes.len()).map(|number| {
        let node = graph.node(&id(number))?;
        node.x.zip(node.y)
    });
    let arrows = map.calls.iter().map(|call| {
        let is_back = is_back(map, call);
        let edge = match is_back {
            true => graph.edge(&id(call.to), &id(call.from), BACK),
            false => graph.edge(&id(call.from), &id(call.to), None),
        }?;
        let mut points: Vec<_> = edge.points.iter().map(|point| (point.x, point.y)).collect();
        if is_back {
            points.reverse();
        }
        let middle = points.get(points.len() / 2).copied()?;
        Some(Arrow {
            text: edge.x.zip(edge.y).unwrap_or(middle),
            points,
        })
    });
    Some((nodes.collect(), arrows.collect::<Option<_>>()?))
}
