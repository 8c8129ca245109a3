//! The newest errors.

use maud::{Markup, html};

use crate::{
    overview::{Error, Errors},
    pages::{format, links, text},
};

pub(super) fn section(errors: &Errors) -> Markup {
    html! {
        section {
            h2 #errors { "Newest errors" }
            @if errors.rows.is_empty() {
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
                        tbody { @for error in &errors.rows { (line(error)) } }
                    }
                }
                p.hint {
                    "Errors of a service that differ in numbers and ids alone are one row, with the newest message."
                    @if errors.is_cut { " There are more errors than these: the newest are counted." }
                }
            }
        }
    }
}

fn line(error: &Error) -> Markup {
    let text = text::name(&error.text, "no text");
    let href = match error.place {
        Some(place) => Some(links::span(place.trace, place.span)),
        None => links::list("/logs", [links::service(&error.service)]),
    };
    let name_of_all = error.is_same.then(|| links::name(&error.text));
    let conditions = [links::service(&error.service), links::error()];
    let all = links::list("/traces", conditions.into_iter().chain(name_of_all));
    html! {
        tr {
            th scope="row" {
                span.kind { @if error.is_log { "log" } @else { "span" } } " "
                @match href {
                    Some(href) => a href=(href) { (text) },
                    None => (text),
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
