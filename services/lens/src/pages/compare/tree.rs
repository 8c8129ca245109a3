//! Two traces aligned by the paths of their spans.

use std::collections::HashMap;

use crate::{
    analysis::{Node, Waterfall},
    store::SpanView,
};

/// The spans of both traces with the same path: the services and names from the root down.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// Number of the path above.
    pub(super) above: Option<usize>,
    pub(super) service: &'a str,
    pub(super) name: &'a str,
    /// What each trace has there.
    pub(super) sides: [Side; 2],
}

/// The spans of one trace at a path.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Side {
    pub(super) count: u64,
    pub(super) errors: u64,
    /// Sum of the durations, in nanoseconds.
    pub(super) total: u64,
    /// Sum of the self times, in nanoseconds.
    pub(super) own: u64,
}

impl Step<'_> {
    /// How much more self time the first trace has than the second, in nanoseconds.
    pub(super) fn difference(&self) -> i128 {
        i128::from(self.sides[0].own) - i128::from(self.sides[1].own)
    }
}

/// The paths of two traces, each above those below it.
pub(super) fn align<'a>(traces: [&Waterfall<'a>; 2]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut known: HashMap<(Option<usize>, &str, &str), usize> = HashMap::new();
    for (side, trace) in traces.into_iter().enumerate() {
        let mut waiting: Vec<(Node, Option<usize>)> =
            trace.roots().iter().map(|&root| (root, None)).collect();
        while let Some((node, above)) = waiting.pop() {
            let mut place = above;
            // A missing parent has no name. Its children are at the top.
            if let Some(span) = trace.span(node) {
                let key = (above, span.service, span.name);
                let number = *known.entry(key).or_insert_with(|| {
                    steps.push(Step {
                        above,
                        service: span.service,
                        name: span.name,
                        sides: [Side::default(); 2],
                    });
                    steps.len() - 1
                });
                steps[number].sides[side].add(span, trace.self_time(node));
                place = Some(number);
            }
            let children = trace.children(node).iter();
            waiting.extend(children.map(|&child| (child, place)));
        }
    }
    steps
}

impl Side {
    fn add(&mut self, span: &SpanView<'_>, own: u64) {
        self.count += 1;
        self.errors += u64::from(span.error);
        self.total = self.total.saturating_add(span.duration);
        self.own = self.own.saturating_add(own);
    }
}
