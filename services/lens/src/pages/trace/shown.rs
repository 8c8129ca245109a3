//! The spans that a page shows, if it hides some.

use super::{state::State, view::View};
use crate::{
    analysis::{Node, Waterfall},
    store::SpanId,
};

/// The spans that a page shows.
///
/// A span whose parent is hidden is below the nearest ancestor that is not. What a page says of a span, such as its
/// self time, is that of the whole trace.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    /// `None` if nothing is hidden.
    some: Option<Part<'a>>,
}

#[derive(Debug)]
struct Part<'a> {
    waterfall: Waterfall<'a>,
    /// The number in the whole trace of each span of the waterfall.
    numbers: Vec<usize>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(view: &View<'a>, state: &State) -> Self {
        if state.only.is_none() && state.hidden.is_none() {
            return Self { some: None };
        }
        let mut spans = Vec::new();
        let mut numbers = Vec::new();
        // Each node with the id of the nearest ancestor that is shown.
        let mut waiting: Vec<(Node, Option<SpanId>)> =
            view.full.roots().iter().map(|&root| (root, None)).collect();
        while let Some((node, above)) = waiting.pop() {
            let mut below = above;
            match view.full.span(node) {
                // A missing parent, which has children that are shown, or else no row.
                None => below = Some(view.full.id(node)),
                Some(span) => {
                    let is_wanted = state.only.as_ref().is_none_or(|only| only == span.service);
                    if is_wanted && state.hidden.is_none_or(|hidden| hidden != span.kind) {
                        let mut span = *span;
                        below = Some(span.span);
                        span.parent = above;
                        spans.push(span);
                        numbers.push(node.index());
                    }
                }
            }
            let children = view.full.children(node).iter();
            waiting.extend(children.map(|&child| (child, below)));
        }
        Self {
            some: Some(Part {
                waterfall: Waterfall::of(spans),
                numbers,
            }),
        }
    }

    pub(super) fn waterfall<'b>(&'b self, view: &'b View<'a>) -> &'b Waterfall<'a> {
        match &self.some {
            Some(some) => &some.waterfall,
            None => &view.full,
        }
    }

    /// The node of a span in the whole trace. `None` for a missing parent.
    pub(super) fn whole(&self, view: &View<'_>, node: Node) -> Option<Node> {
        match &self.some {
            None => view.full.span(node).map(|_| node),
            Some(some) => view.full.node(*some.numbers.get(node.index())?),
        }
    }

    /// The node of a span of the trace, if it is shown.
    pub(super) fn node(&self, view: &View<'_>, id: SpanId) -> Option<Node> {
        let number = view.number(id)?;
        match &self.some {
            None => view.full.node(number),
            Some(some) => {
                let place = some.numbers.iter().position(|&whole| whole == number)?;
                some.waterfall.node(place)
            }
        }
    }
}
