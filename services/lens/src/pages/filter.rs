//! The filter of a list.

use maud::{Markup, html};

use crate::{
    params::Params,
    query::{Condition, Filter, SeriesFilter},
};

/// The filter of the URL, and what is wrong with it.
pub(super) fn read(params: &Params) -> Result<Filter, Vec<String>> {
    let text = params.get("q").unwrap_or_default();
    text.parse()
        .map_err(|errors: crate::query::Errors| errors.0.iter().map(ToString::to_string).collect())
}

/// The filter of series of the URL, and sentences about what cannot be used of it. Series have no texts to search:
/// `has_texts` leaves those terms to the caller.
pub(super) fn of_series(params: &Params, has_texts: bool) -> (Filter, SeriesFilter, Vec<String>) {
    let filter = match read(params) {
        Ok(filter) => filter,
        Err(problems) => return (Filter::default(), SeriesFilter::default(), problems),
    };
    let texts = filter
        .terms()
        .iter()
        .filter(|term| has_texts && matches!(term.condition, Condition::Text(_)));
    let series = texts.fold(filter.clone(), |series, text| series.without(text));
    match series.to_series_filter() {
        Ok(series) => (filter, series, Vec::new()),
        Err(unsupported) => {
            let problems = unsupported.iter().map(ToString::to_string).collect();
            (Filter::default(), SeriesFilter::default(), problems)
        }
    }
}

/// The form for the filter of a list at `path`. `problems` are sentences about what cannot be used of it.
pub(super) fn form(path: &str, params: &Params, example: &str, problems: &[String]) -> Markup {
    let text = params.get("q").unwrap_or_default();
    html! {
        search {
            form.filter method="get" action=(path) {
                // A place in the list is one of the old filter.
                @for (name, value) in params.pairs().filter(|(name, _)| !matches!(*name, "q" | "before")) {
                    input type="hidden" name=(name) value=(value);
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
