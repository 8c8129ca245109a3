//! The rows of a waterfall, of which a page shows a window.

use std::collections::HashSet;

use super::{Group, Node, Waterfall};
use crate::store::SpanId;

/// What a reader has closed and opened. By default all spans are open and all groups are closed.
#[derive(Clone, Debug, Default)]
pub struct Collapsed {
    /// Ids of the spans and missing parents whose descendants are hidden.
    pub nodes: HashSet<SpanId>,
    /// Ids of the first spans of the groups whose spans are shown.
    pub opened: HashSet<SpanId>,
}

/// Some of the rows of a waterfall.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Window {
    /// The rows, in the order of display.
    pub rows: Vec<Row>,
    /// Number of rows of the whole waterfall.
    pub total: usize,
}

/// A row of a waterfall.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Row {
    /// What is on the row.
    pub item: Item,
    /// Number of rows above it to the top of the tree. An open group counts as a row.
    pub depth: usize,
    /// Number of spans that the row hides.
    pub hidden: usize,
    /// Whether rows can be below it.
    pub parent: bool,
}

/// What is on a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Item {
    /// A span.
    Span(Node),
    /// A parent that is not stored.
    Missing(Node),
    /// Repeated siblings. If the group is open, their rows follow.
    Group(Group),
}

struct Walk<'a> {
    waterfall: &'a Waterfall<'a>,
    collapsed: &'a Collapsed,
    /// Place of the next node in the order of display.
    place: usize,
    /// The places at which the open groups around `place` end.
    open: Vec<usize>,
    /// Whether the next node is the first of a group whose row is done.
    opened: bool,
}

impl Waterfall<'_> {
    /// The rows from number `from`, at most `count`. Only they are built; the other rows are counted.
    pub fn rows(&self, from: usize, count: usize, collapsed: &Collapsed) -> Window {
        let mut window = Window {
            rows: Vec::new(),
            total: 0,
        };
        for row in self.walk(collapsed) {
            if window.total >= from && window.rows.len() < count {
                window.rows.push(row);
            }
            window.total += 1;
        }
        window
    }

    /// The number of the row that shows a node, so that a page opens at it. For a hidden node, this is the row that
    /// hides it. `None` if the trace has no such node.
    pub fn row_of(&self, node: Node, collapsed: &Collapsed) -> Option<usize> {
        let target = *self.tree.places.get(node.index())? as usize;
        let mut walk = self.walk(collapsed);
        let mut number = 0;
        while walk.next().is_some() {
            if walk.place > target {
                return Some(number);
            }
            number += 1;
        }
        None
    }

    fn walk<'a>(&'a self, collapsed: &'a Collapsed) -> Walk<'a> {
        Walk {
            waterfall: self,
            collapsed,
            place: 0,
            open: Vec::new(),
            opened: false,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let tree = &self.waterfall.tree;
        let node = *tree.order.get(self.place)?;
        while self.open.last().is_some_and(|&end| end <= self.place) {
            self.open.pop();
        }
        let depth = tree.depths[node.index()] as usize + self.open.len();
        let id = self.waterfall.id(node);
        let group = self.waterfall.groups.starting_at(node);
        if let Some(group) = group.filter(|_| !self.opened) {
            let end = tree.end(group.last);
            self.opened = self.collapsed.opened.contains(&id);
            let hidden = if self.opened {
                self.open.push(end);
                0
            } else {
                end - self.place
            };
            self.place += hidden;
            return Some(Row {
                item: Item::Group(*group),
                depth,
                hidden,
                parent: true,
            });
        }
        self.opened = false;
        let below = tree.below[node.index()] as usize;
        let hidden = if self.collapsed.nodes.contains(&id) {
            below
        } else {
            0
        };
        self.place += 1 + hidden;
        Some(Row {
            item: match self.waterfall.span(node) {
                Some(_) => Item::Span(node),
                None => Item::Missing(node),
            },
            depth,
            hidden,
            parent: below > 0,
        })
    }
}
