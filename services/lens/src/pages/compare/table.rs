//! What differs between two traces, by the paths of their spans.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::tree::{Side, Step};
use crate::pages::{format, overview::plural, text};

/// Maximum number of rows.
const ROWS: usize = 200;

/// Maximum number of steps that are named above a row.
const ABOVE: usize = 3;

/// The paths, the biggest differences first.
pub(super) fn table(steps: &[Step<'_>]) -> Markup {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&number| Reverse(weight(&steps[number])));
    let most = order.first().map_or(1, |&number| {
        steps[number].difference().unsigned_abs().max(1)
    });
    let only = |side: usize| {
        steps
            .iter()
            .filter(|step| step.sides[side].count == 0)
            .count()
    };
    html! {
        section {
            h2 { "What differs" }
            p.hint {
                "Spans with the same services and names from the root down are one row. "
                em { "More in A" } " is the self time in A minus that in B: red where A took longer. Self time is what no "
                "child covers, so that a slow span is not counted again in its parents. "
                @if only(0) + only(1) > 0 {
                    (plural(only(1) as u64, "row is", "rows are")) " only in A, and " (format::count(only(0) as u64))
                    " only in B."
                }
            }
        }
        div.card.table tabindex="0" role="region" aria-label="What differs" {
            table.compare {
                caption.hidden { "Paths of spans, the biggest differences of self time first" }
                thead {
                    tr {
                        th scope="col" { "Span" }
                        th.number scope="col" { "Spans A" } th.number scope="col" { "Spans B" }
                        th.number scope="col" { "Total A" } th.number scope="col" { "Total B" }
                        th.number scope="col" { "Self A" } th.number scope="col" { "Self B" }
                        th.number scope="col" { "More in A" }
                        td {}
                    }
                }
                tbody { @for &number in order.iter().take(ROWS) { (row(steps, &steps[number], most)) } }
            }
        }
        @if order.len() > ROWS {
            p.hint { "And " (plural((order.len() - ROWS) as u64, "row", "rows")) " with smaller differences." }
        }
    }
}

/// What comes first: the difference of self time, of presence, of the number of errors and spans, and of total time.
fn weight(step: &Step<'_>) -> (u128, bool, u64, u64, u64) {
    let [a, b] = step.sides;
    (
        step.difference().unsigned_abs(),
        a.count == 0 || b.count == 0,
        a.errors.abs_diff(b.errors),
        a.count.abs_diff(b.count),
        a.total.abs_diff(b.total),
    )
}

fn row(steps: &[Step<'_>], step: &Step<'_>, most: u128) -> Markup {
    let [a, b] = step.sides;
    let difference = step.difference();
    html! {
        tr {
            th scope="row" {
                span.hint { (above(steps, step)) }
                span.service { (text::name(step.service, "no service.name")) } " "
                (text::name(step.name, "no name"))
                @if b.count == 0 { " " span.mark-word { "only in A" } }
                @if a.count == 0 { " " span.mark-word { "only in B" } }
                @if a.errors != b.errors {
                    " " span.state.bad { "errors: A " (format::count(a.errors)) ", B " (format::count(b.errors)) }
                }
            }
            (cells(a, b, |side| format::count(side.count)))
            (cells(a, b, |side| format::duration(side.total)))
            (cells(a, b, |side| format::duration(side.own)))
            td.number { (signed(difference)) }
            td.share { (bar(difference, most)) }
        }
    }
}

fn cells(a: Side, b: Side, text: impl Fn(Side) -> String) -> Markup {
    html! {
        @for side in [a, b] {
            td.number { @if side.count == 0 { "–" } @else { (text(side)) } }
        }
    }
}

/// The steps above a row, the nearest ones by name.
fn above(steps: &[Step<'_>], step: &Step<'_>) -> Markup {
    let chain = std::iter::successors(step.above, |&number| steps[number].above);
    let mut names: Vec<&Step<'_>> = chain.take(ABOVE + 1).map(|number| &steps[number]).collect();
    let is_cut = names.len() > ABOVE;
    names.truncate(ABOVE);
    html! {
        @if is_cut { "… › " }
        @for step in names.iter().rev() { (text::name(step.name, "no name")) " › " }
    }
}

fn signed(difference: i128) -> String {
    let nanos = u64::try_from(difference.unsigned_abs()).unwrap_or(u64::MAX);
    match difference {
        0 => "0".to_owned(),
        1.. => format!("+{}", format::duration(nanos)),
        _ => format!("−{}", format::duration(nanos)),
    }
}

/// A bar to the right for more time in A, and to the left for less.
fn bar(difference: i128, most: u128) -> Markup {
    let width = difference.unsigned_abs() as f64 / most as f64 * 50.0;
    let (class, start) = match difference {
        1.. => ("span-bar slower", 50.0),
        _ => ("span-bar faster", 50.0 - width),
    };
    html! {
        svg width="100%" height="10" aria-hidden="true" {
            line.middle x1="50%" x2="50%" y1="0" y2="10" {}
            @if difference != 0 {
                rect class=(class) x=(format!("{start:.2}%")) y="1" height="8" width=(format!("{:.2}%", width.max(0.3))) {}
            }
        }
    }
}
