//! A list whose search ended early, because it took too long.

use maud::{Markup, html};

use super::format;
use crate::store::List;

/// In place of rows, if none was found so far. `older` is the URL of the rest of the list.
pub(super) fn nothing_yet<T, C>(list: &List<T, C>, older: &str) -> Option<Markup> {
    let stopped = list.stopped.filter(|_| list.rows.is_empty())?;
    Some(html! {
        section.card.nothing {
            h2 { "No match since " (format::time(stopped)) }
            p {
                "What is older was not searched yet, because that takes longer. "
                a rel="next" href=(older) { "Search on" }
            }
        }
    })
}

/// Beside the link to the rest of the list.
pub(super) fn note<T, C>(list: &List<T, C>) -> Markup {
    html! {
        @if let Some(stopped) = list.stopped { span { "Searched back to " (format::time(stopped)) } }
    }
}
