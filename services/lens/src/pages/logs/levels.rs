//! The levels of log records.

use maud::{Markup, html};

use super::PATH;
use crate::{
    pages::{format, text},
    params::Params,
    query::{Condition, Filter, Level, Operator, Term},
};

/// The class and the word of a severity number.
fn word(severity: i32) -> (&'static str, &'static str) {
    let class = match severity {
        1..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "failed",
        21..=24 => "fatal",
        _ => "",
    };
    (class, format::level(severity).unwrap_or("–"))
}

/// The level of a log record in words. The text of the sender is its title.
pub(super) fn level(severity: i32, text: &str) -> Markup {
    let (class, word) = word(severity);
    let title = match (severity, text) {
        (0, "") => "no severity".to_owned(),
        (severity, "") => format!("severity {severity}"),
        (severity, text) => {
            let text = text::line(text::split(text, 50).0);
            format!("severity {severity}, “{text}”")
        }
    };
    html! { span class=(format!("level {class}").trim()) title=(title) { (word) } }
}

/// Links to the log records from a level on.
pub(super) fn links(params: &Params, filter: &Filter) -> Markup {
    let from = |level| Term::is(Condition::Level(Operator::GreaterOrEqual, level));
    let levels = [
        (Level::Debug, "Debug and above"),
        (Level::Info, "Info and above"),
        (Level::Warn, "Warnings"),
        (Level::Error, "Errors"),
    ];
    let params = params.without("before");
    let is_level = |term: &&Term| matches!(term.condition, Condition::Level(..));
    let all = filter.terms().iter().filter(is_level);
    let all = all.fold(filter.clone(), |filter, term| filter.without(term));
    html! {
        nav.levels aria-label="Levels" {
            a href=(params.with("q", &all).href(PATH)) aria-current=[(all == *filter).then_some("true")] { "All levels" }
            @for (level, text) in levels {
                @let term = from(level);
                @if let Some(filtered) = filter.with_only(term.clone()) {
                    a href=(params.with("q", &filtered).href(PATH))
                        aria-current=[filter.terms().contains(&term).then_some("true")] { (text) }
                }
            }
        }
    }
}
