//! The filter of a list.

use maud::{Markup, html};

use crate::{params::Params, query::Filter};

/// The filter of the URL, and what is wrong with it.
pub(super) fn read(params: &Params) -> Result<Filter, Vec<String>> {
    let text = params.get("q").unwrap_or_default();
    text.parse()
        .map_err(|errors: crate::query::Errors| errors.0.iter().map(ToString::to_string).collect())
}

/// The form for the filter of a list at `path`. `problems` are sentences about what cannot be used of it.
pub(super) fn form(path: &str, params: &Params, example: &str, problems: &[String]) -> Markup {
    let text = params.get("q").unwrap_or_default();
    html! {
        search {
            form.filter method="get" action=(path) {
                // The range of time stays.
                @for name in ["from", "to"] {
                    @if let Some(value) = params.get(name) { input type="hidden" name=(name) value=(value); }
                }
                label for="q" { "Filter" }
                div.wrong[!problems.is_empty()] {
                    input #q type="search" name="q" value=(text) placeholder=(example) autocomplete="off"
                        spellcheck="false" aria-describedby="filter-hint"
                        aria-invalid=[(!problems.is_empty()).then_some("true")];
                }
                button.button type="submit" { "Show" }
                div #filter-hint .hint {
                    @for problem in problems { p.error { (problem) } }
                    @if problems.is_empty() { "Such as " code { (example) } }
                }
            }
        }
    }
}
