//! The map of services: which service calls which service, database, topic or other peer.

mod peers;
mod read;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::durations::Durations;
use crate::store::Spans;

/// Maximum number of nodes. The busiest stay.
pub(crate) const NODES: usize = 60;

/// Maximum number of calls. The busiest stay.
pub(crate) const CALLS: usize = 100;

/// The map of a window.
#[derive(Debug, Default)]
pub(crate) struct Map {
    /// By kind and name.
    pub(crate) nodes: Vec<Node>,
    /// By their nodes.
    pub(crate) calls: Vec<Calls>,
    /// Number of nodes and of calls that are left out, because the others are busier.
    pub(crate) left_out: (usize, usize),
    pub(crate) coverage: Coverage,
}

/// What was read for a map.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Coverage {
    /// Number of spans.
    pub(crate) spans: usize,
    /// Number of traces.
    pub(crate) traces: usize,
    /// Whether older spans of the window were not read.
    pub(crate) is_cut: bool,
    /// Number of spans of clients, producers and consumers.
    pub(crate) clients: usize,
    /// Number of them whose attributes were read.
    pub(crate) read: usize,
}

/// A service, or something that a service uses.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// For a service, its name, which may be empty.
    pub(crate) name: String,
    /// For a database, its system.
    pub(crate) system: String,
    /// The attribute that spans about it have, unless it is a service.
    pub(crate) attribute: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Service,
    /// A server that sends no spans.
    Peer,
    Topic,
    Database,
}

/// The calls from a node to another.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    /// Number in [`Map::nodes`].
    pub(crate) from: usize,
    /// Number in [`Map::nodes`].
    pub(crate) to: usize,
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
}

/// Calls that are being counted.
#[derive(Debug, Default)]
struct Sum {
    durations: Durations,
    count: u64,
    errors: u64,
}

impl Sum {
    fn add(&mut self, error: bool, duration: u64) {
        self.count += 1;
        self.errors += u64::from(error);
        self.durations.add(duration);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.durations.merge(&other.durations);
    }
}

/// Nodes and calls that were found.
#[derive(Debug, Default)]
struct Found {
    numbers: BTreeMap<Node, usize>,
    calls: HashMap<(usize, usize), Sum>,
}

impl Found {
    fn node(&mut self, node: Node) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(node).or_insert(next)
    }

    fn service(&mut self, name: &str) -> usize {
        self.node(Node {
            kind: Kind::Service,
            name: name.to_owned(),
            system: String::new(),
            attribute: None,
        })
    }
}

impl Map {
    pub(super) fn new(spans: &Spans) -> Self {
        let (found, coverage) = read::read(spans);
        Self::of(found, coverage)
    }

    /// Sorts what was found, and leaves out what is above the limits.
    fn of(found: Found, coverage: Coverage) -> Self {
        let mut calls: Vec<_> = found.calls.into_iter().collect();
        let mut traffic = vec![0; found.numbers.len()];
        for ((from, to), sum) in &calls {
            traffic[*from] += sum.count;
            traffic[*to] += sum.count;
        }
        let mut nodes: Vec<(Node, usize)> = found.numbers.into_iter().collect();
        let total = (nodes.len(), calls.len());
        if nodes.len() > NODES {
            nodes.sort_by(|(one, first), (other, second)| {
                let by_traffic = traffic[*second].cmp(&traffic[*first]);
                by_traffic.then_with(|| one.cmp(other))
            });
            nodes.truncate(NODES);
            nodes.sort();
        }
        let places: HashMap<usize, usize> = nodes
            .iter()
            .enumerate()
            .map(|(place, (_, number))| (*number, place))
            .collect();
        let place = |number: &usize| places.get(number).copied();
        let mut kept = Vec::with_capacity(calls.len());
        calls.retain(|((from, to), _)| places.contains_key(from) && places.contains_key(to));
        for ((from, to), sum) in calls {
            if let (Some(from), Some(to)) = (place(&from), place(&to)) {
                kept.push((from, to, sum));
            }
        }
        kept.sort_by_key(|(from, to, sum)| (std::cmp::Reverse(sum.count), *from, *to));
        kept.truncate(CALLS);
        kept.sort_by_key(|(from, to, _)| (*from, *to));
        let calls = kept.into_iter().map(|(from, to, sum)| Calls {
            from,
            to,
            count: sum.count,
            errors: sum.errors,
            p50: sum.durations.quantile(0.5),
            p95: sum.durations.quantile(0.95),
        });
        let calls: Vec<_> = calls.collect();
        Self {
            left_out: (total.0 - nodes.len(), total.1 - calls.len()),
            nodes: nodes.into_iter().map(|(node, _)| node).collect(),
            calls,
            coverage,
        }
    }

    /// The nodes without calls.
    pub(crate) fn alone(&self) -> impl Iterator<Item = &Node> {
        let linked: HashSet<usize> = self
            .calls
            .iter()
            .flat_map(|call| [call.from, call.to])
            .collect();
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(move |(number, _)| !linked.contains(number))
            .map(|(_, node)| node)
    }
}
