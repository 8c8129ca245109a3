//! The start of a row of a waterfall: its level, and the link to what is below.

use maud::{Markup, html};

use crate::{analysis::Row, pages::format};

/// Maximum number of levels that a row is indented by.
const LEVELS: usize = 24;

/// Width of a level, in pixels.
const LEVEL: usize = 14;

/// The levels above a row as lines, and the depth if there are too many. `least` is the least depth of the page.
pub(super) fn indent(row: &Row, least: usize) -> Markup {
    let levels = row.depth - least.min(row.depth);
    let drawn = levels.min(LEVELS);
    html! {
        span.hidden { "Level " (row.depth + 1) ". " }
        @if drawn > 0 {
            svg.levels width=(drawn * LEVEL) height="28" aria-hidden="true" {
                @for level in 0..drawn {
                    @let x = level * LEVEL + LEVEL / 2;
                    line x1=(x) x2=(x) y1="0" y2="28" {}
                }
            }
        }
        @if levels > LEVELS || least > 0 && levels == 0 {
            span.depth aria-hidden="true" { (format::count(row.depth as u64 + 1)) }
        }
    }
}

/// A link that hides or shows the rows below.
pub(super) fn toggle(is_open: bool, href: &str) -> Markup {
    html! {
        a.toggle href=(href) aria-expanded=(is_open.to_string()) {
            span aria-hidden="true" { @if is_open { "▾" } @else { "▸" } }
            span.hidden { @if is_open { "Hide the rows below" } @else { "Show the rows below" } }
        }
    }
}
