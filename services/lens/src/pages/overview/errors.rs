//! The newest errors.

use maud::{Markup, html};

use crate::{
    overview::Error,
    pages::{format, links, text},
};

pub(super) fn section(errors: &[Error]) -> Markup {
    html! {
        section {
            h2 #errors { "Newest errors" }
            @if errors.is_empty() {
                p.aside { "No span and no log record has an error in this time." }
            } @else {
                div.card.table tabindex="0" role="region" aria-labelledby="errors" {
                    table.errors {
                        thead {
                            tr {
                                th scope="col" { "Error" }
                                th scope="col" { "Service" }
                                th.number scope="col" { "Count" }
                                th.number scope="col" { "Last, UTC" }
                            }
                        }
                        tbody { @for error in errors { (line(error)) } }
                    }
                }
            }
        }
    }
}

fn line(error: &Error) -> Markup {
    let name = text::name(&error.text, "no text");
    let href = match error.place {
        Some(place) => Some(links::span(place.trace, place.span)),
        None => links::list("/logs", [links::service(&error.service)]),
    };
    let all = links::list(
        "/traces",
        [
            links::service(&error.service),
            links::name(&error.text),
            links::error(),
        ],
    );
    html! {
        tr {
            th scope="row" {
                span.kind { @if error.is_log { "log" } @else { "span" } } " "
                @match href {
                    Some(href) => a href=(href) { (name) },
                    None => (name),
                }
                @if !error.message.is_empty() { p.hint { (text::short(&error.message, 200)) } }
            }
            td { (text::name(&error.service, "no service.name")) }
            td.number {
                @match all.filter(|_| !error.is_log) {
                    Some(href) => a href=(href) { (format::count(error.count)) },
                    None => (format::count(error.count)),
                }
            }
            td.number { (format::time(error.time)) }
        }
    }
}
