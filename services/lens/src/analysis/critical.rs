//! The chain of spans that determines the end of a trace.

use std::{cmp::Reverse, ops::Range};

use super::{Node, Waterfall};

/// A part of a critical path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// The span on the path.
    pub node: Node,
    /// Start and end, in nanoseconds since 1970.
    pub time: Range<u64>,
}

/// A span on the path. Its children are visited from the last end backwards.
struct Step {
    node: Node,
    /// The part of the span that is not yet in sections.
    rest: Range<u64>,
    /// The children, the last to end at the end.
    children: Vec<(Node, Range<u64>)>,
}

impl Waterfall<'_> {
    /// The critical path of a node: the spans that determine when it ends, in order of time, without gaps.
    ///
    /// From its end backwards, the path goes to the child that ends last, from the start of that child to the child
    /// that ends last before it, and so on; likewise in each child. Time between children is that of the parent. A
    /// child is clipped to its parent. A child that [outlives](super::Marks::outlives) its parent is not on the path,
    /// because the parent does not wait for it.
    ///
    /// A missing parent is on the path between its children. The path is empty if the node has no start or no duration.
    pub fn critical_path(&self, node: Node) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        steps.extend(self.time(node).map(|time| self.step(node, time)));
        while let Some(step) = steps.last_mut() {
            let Some((child, time)) = step.children.pop() else {
                push(&mut sections, step.node, step.rest.clone());
                steps.pop();
                continue;
            };
            let time = time.start.max(step.rest.start)..time.end;
            // A child that another child on the path overlaps determines nothing.
            if time.end > step.rest.end || time.is_empty() {
                continue;
            }
            push(&mut sections, step.node, time.end..step.rest.end);
            step.rest.end = time.start;
            let next = self.step(child, time);
            steps.push(next);
        }
        sections.reverse();
        sections
    }

    /// Begins with a node, clipped to a range.
    fn step(&self, node: Node, rest: Range<u64>) -> Step {
        let mut children: Vec<_> = self
            .children(node)
            .iter()
            .filter(|&&child| self.marks(child).outlives == 0)
            .filter_map(|&child| {
                let time = self.time(child)?;
                Some((child, time.start..time.end.min(rest.end)))
            })
            .collect();
        // Of children that end together, the path goes to the first to start.
        children.sort_by_key(|(_, time)| (time.end, Reverse(time.start)));
        Step {
            node,
            rest,
            children,
        }
    }
}

fn push(sections: &mut Vec<Section>, node: Node, time: Range<u64>) {
    if !time.is_empty() {
        sections.push(Section { node, time });
    }
}
