//! Rate, errors and durations of each service.

use maud::{Markup, html};

use super::{Rates, plural, share};
use crate::{
    overview::{Overview, Row, SECOND, What},
    pages::{
        chart::{Period, Plot, Scale, Tone, Unit},
        format, links, text,
    },
};

/// `older` says where older traces are if there are no spans.
pub(super) fn section(overview: &Overview, older: &Markup) -> Markup {
    let services = &overview.services;
    let rates = Rates::of(overview);
    html! {
        section {
            h2 #services { "Services" }
            @if services.rows.is_empty() {
                p.aside { "No spans in this time. The rates, errors and durations come from spans." (older) }
            } @else {
                div.card.table tabindex="0" role="region" aria-labelledby="services" {
                    table.services {
                        thead {
                            tr {
                                th scope="col" { "Service" }
                                th scope="col" { "Requests and errors" }
                                th.number scope="col" { "Rate" }
                                th.number scope="col" { "Errors" }
                                th.number scope="col" { "p50" }
                                th.number scope="col" { "p95" }
                            }
                        }
                        tbody { @for row in &services.rows { (line(row, overview, rates)) } }
                    }
                }
                p.hint {
                    "Rate and errors are of requests, which are spans of the kinds server and consumer. A call that a "
                    "service makes and that fails is no error of the caller's requests: see "
                    a href="#errors" { "the newest errors" } "."
                }
                p.hint {
                    "From " (plural(services.spans as u64, "span", "spans"))
                    @if services.is_cut { ", the newest of this time" }
                    ". Rates are over " (format::duration(services.time))
                    ", and p50 and p95 are at most 3 % off."
                    @if services.others > 0 {
                        " " (plural(services.others, "span is", "spans are")) " of further services."
                    }
                }
            }
        }
    }
}

fn line(row: &Row, overview: &Overview, rates: Rates) -> Markup {
    let name = text::name(&row.name, "no service.name");
    let failed = links::list("/traces", [links::service(&row.name), links::error()]);
    html! {
        tr {
            th scope="row" {
                @match links::list("/traces", [links::service(&row.name)]) {
                    Some(href) => a href=(href) { (name) },
                    None => (name),
                }
                @match row.what {
                    What::Requests => {},
                    What::Roots => { " " span.hint { "(traces it starts)" } },
                    What::Spans => { " " span.hint { "(all spans)" } },
                }
            }
            td { (spark(row, overview)) }
            td.number { (rates.text(row.count)) }
            td.number.bad-text[row.errors > 0] {
                @let errors = html! { (format::count(row.errors)) " (" (share(row.errors, row.count)) ")" };
                @match failed.filter(|_| row.errors > 0) {
                    Some(href) => a href=(href) { (errors) },
                    None => (errors),
                }
            }
            td.number { (format::duration(row.p50)) }
            td.number { (format::duration(row.p95)) }
        }
    }
}

fn spark(row: &Row, overview: &Overview) -> Markup {
    let range = &overview.window.range;
    let step = (range.end - range.start) / (row.intervals.len() as u64).max(1);
    let seconds = step as f64 / SECOND as f64;
    let points = |value: fn(&(u64, u64)) -> u64| {
        row.intervals
            .iter()
            .enumerate()
            .map(move |(place, counts)| {
                let middle = range.start + step * place as u64 + step / 2;
                (middle, Some(value(counts) as f64 / seconds))
            })
    };
    let most = row
        .intervals
        .iter()
        .map(|(count, _)| *count)
        .max()
        .unwrap_or_default();
    let most = most as f64 / seconds;
    let unit = Unit::new("1").per_second();
    let scale = Scale::from_zero([most], &unit);
    let mut plot = Plot::new(Period::new(range.start, range.end), scale, unit)
        .area(Tone::Series(0), points(|(count, _)| *count));
    if row.errors > 0 {
        plot = plot.line(Tone::Bad, points(|(_, errors)| *errors));
    }
    let label = format!(
        "Rate over time, at most {}/s. {} of {} failed.",
        format::three_digits(most),
        format::count(row.errors),
        format::count(row.count)
    );
    plot.spark(&label)
}
