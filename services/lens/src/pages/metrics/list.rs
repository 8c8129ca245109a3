//! The list of metrics.

use maud::{Markup, html};

use super::{
    super::{
        chart::{Period, Plot, Scale, Tone, Unit},
        filter, format,
    },
    attributes, href, kind_name,
};
use crate::{
    Lens,
    metrics::{Kind, Name, Range, Value},
    params::Params,
    query::{Condition, Filter, Term},
};

const EXAMPLE: &str = "service:auth duration http.route:/login";

/// Metrics in a list at most.
const ROWS: usize = 500;

/// Metrics with a small chart at most.
const SPARKS: usize = 100;

/// The time of a small chart, in nanoseconds.
const RECENT: u64 = 15 * 60 * 1_000_000_000;

/// Intervals of a small chart.
const STEPS: u64 = 30;

pub(super) fn page(lens: &Lens, params: &Params) -> Markup {
    let (filter, series, problems) = filter::of_series(params, true);
    let is_filtered = filter.terms().iter().any(|term| !is_text(term));
    let mut names = match is_filtered {
        true => lens.metrics.names_of(|labels| series.matches(labels)),
        false => lens.metrics.names(),
    };
    let is_empty = names.is_empty() && !is_filtered;
    names.retain(|name| has_texts(name, &filter));
    html! {
        h1 { "Metrics" }
        (filter::form("/metrics", params, EXAMPLE, &problems))
        @if is_empty {
            (nothing())
        } @else if names.is_empty() {
            div.card {
                p { "No metric matches the filter." }
                p.aside { a href="/metrics" { "Show all metrics" } }
            }
        } @else {
            (table(lens, &names, &filter))
        }
    }
}

fn is_text(term: &Term) -> bool {
    matches!(term.condition, Condition::Text(_))
}

/// Whether the name or the description contains the texts of the filter.
fn has_texts(name: &Name, filter: &Filter) -> bool {
    let mut texts = filter
        .terms()
        .iter()
        .filter_map(|term| match &term.condition {
            Condition::Text(text) => Some((term.negated, text.to_lowercase())),
            _ => None,
        });
    texts.all(|(negated, text)| {
        let found = [&name.name, &name.description];
        let found = found.iter().any(|one| one.to_lowercase().contains(&text));
        found != negated
    })
}

fn nothing() -> Markup {
    html! {
        div.card {
            p { "No metrics have arrived yet." }
            p.aside {
                "Start your program with "
                code { "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317" }
                " and a metric exporter for OTLP. SDKs send metrics once a minute unless "
                code { "OTEL_METRIC_EXPORT_INTERVAL" } " (milliseconds) says otherwise."
            }
        }
    }
}

fn table(lens: &Lens, names: &[Name], filter: &Filter) -> Markup {
    // Series have no texts to search.
    let texts = filter.terms().iter().filter(|term| is_text(term));
    let series = texts.fold(filter.clone(), |filter, text| filter.without(text));
    html! {
        p.aside {
            (format::count(names.len() as u64))
            @if names.len() == 1 { " metric" } @else { " metrics" }
            @if names.len() > ROWS { ". These are the first " (format::count(ROWS as u64)) ": filter to see others" }
            ". The newest value is the rate of a counter, the values per second of a histogram or summary, and the \
             value of one series of another metric."
        }
        div.card.table.metrics tabindex="0" role="region" aria-label="Metrics" {
            table {
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Last 15 min" }
                        th.number scope="col" { "Newest" }
                        th scope="col" { "Type" }
                        th scope="col" { "Unit" }
                        th scope="col" { "Services" }
                        th.number scope="col" { "Series" }
                    }
                }
                tbody {
                    @for (index, name) in names.iter().take(ROWS).enumerate() {
                        tr {
                            th scope="row" {
                                (link(name, names, &series))
                                @if !name.description.is_empty() {
                                    p.description { (attributes::foreign(&name.description)) }
                                }
                            }
                            @match (index < SPARKS).then(|| recent(lens, name)).flatten() {
                                Some(recent) => { td { (recent.chart) } td.number { (recent.newest) } },
                                None => { td {} td {} },
                            }
                            td { (kind_name(name.kind)) }
                            td { (attributes::foreign(&name.unit)) }
                            td { (services(&name.services)) }
                            td.number { (format::count(name.series as u64)) }
                        }
                    }
                }
            }
        }
    }
}

/// The link to a metric. It says the type and the unit if the name is that of several metrics.
fn link(name: &Name, names: &[Name], filter: &Filter) -> Markup {
    let is_shared = names.iter().filter(|other| other.name == name.name).count() > 1;
    let variant = super::select::Variant {
        kind: name.kind,
        unit: name.unit.clone(),
    };
    let mut query = Params::default();
    if !filter.terms().is_empty() {
        query = query.with("q", filter);
    }
    if is_shared {
        query = query
            .with("type", variant.parameter())
            .with("unit", &variant.unit);
    }
    html! {
        @match href(&name.name, &query) {
            Some(href) => a href=(href) { (attributes::metric_name(&name.name)) },
            None => (attributes::foreign(&name.name)),
        }
    }
}

fn services(services: &[String]) -> Markup {
    html! {
        @for (index, service) in services.iter().take(3).enumerate() {
            @if index > 0 { ", " }
            @if service.is_empty() { "unknown" } @else { (attributes::foreign(service)) }
        }
        @if services.len() > 3 { " and " (services.len() - 3) " more" }
    }
}

/// A small chart, and its newest value with the unit.
struct Recent {
    chart: Markup,
    newest: String,
}

/// The rate or the value over the last 15 minutes of up to 20 series. `None` if there is none.
fn recent(lens: &Lens, name: &Name) -> Option<Recent> {
    let range = Range {
        from: name.last.saturating_sub(RECENT),
        to: name.last,
    };
    let unit = Unit::new(&name.unit);
    let (points, what, unit) = match name.kind {
        Kind::Gauge | Kind::Sum => {
            let points = lens.metrics.points(*name.some.first()?, range);
            let points = points.into_iter().map(|point| {
                let value = match point.value {
                    Value::Number(number) => Some(number.as_f64()),
                    _ => None,
                };
                (point.time, value)
            });
            (points.collect::<Vec<_>>(), "Value of one series", unit)
        }
        Kind::Counter => (rates(lens, name, range), "Rate", unit.per_second()),
        Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary => (
            rates(lens, name, range),
            "Values per second",
            Unit::new("{value}").per_second(),
        ),
    };
    let values = || points.iter().filter_map(|(_, value)| *value);
    let newest = unit.text(values().next_back()?);
    let is_value = matches!(name.kind, Kind::Gauge | Kind::Sum);
    let scale = match is_value {
        true => Scale::around(values(), &unit),
        false => Scale::from_zero(values(), &unit),
    };
    let first = points.iter().find(|(_, value)| value.is_some());
    let period = Period::new(first.map_or(range.from, |(time, _)| *time), range.to);
    let plot = Plot::new(period, scale, unit);
    let points = points.iter().copied();
    let plot = match is_value {
        true => plot.steps(Tone::Series(0), points),
        false => plot.area(Tone::Series(0), points),
    };
    Some(Recent {
        chart: plot.spark(what),
        newest,
    })
}

fn rates(lens: &Lens, name: &Name, range: Range) -> Vec<(u64, Option<f64>)> {
    let rates = lens.metrics.rate(&name.some, range, RECENT / STEPS);
    rates
        .into_iter()
        .map(|rate| (rate.time, rate.per_second))
        .collect()
}
