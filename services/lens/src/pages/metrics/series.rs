//! The table of the series of a metric.

use maud::{Markup, html};

use super::{
    super::{chart::Unit, format},
    attributes,
    read::{View, id_text},
};
use crate::{
    metrics::{Labels, Number, Value},
    params::Params,
    query::{Condition, Filter, Operator, Term},
};

pub(super) fn table(view: &View, path: &str, params: &Params, filter: &Filter) -> Markup {
    let unit = Unit::new(&view.variant.unit);
    html! {
        section.card.series {
            h2 #series { "Series" }
            @if view.matching > view.rows.len() {
                p.hint {
                    "These are the " (format::count(view.rows.len() as u64)) " of "
                    (format::count(view.matching as u64)) " series with the largest last values. \
                     A filter shows others."
                }
            }
            div.table tabindex="0" role="region" aria-labelledby="series" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Service" }
                            th scope="col" { "Attributes" }
                            th scope="col" { "Last value" }
                            th scope="col" { "At" }
                            th.number scope="col" { "Points" }
                        }
                    }
                    tbody {
                        @for one in &view.rows { (row(one, &unit, path, params, filter)) }
                    }
                }
            }
        }
    }
}

fn row(one: &Labels, unit: &Unit, path: &str, params: &Params, filter: &Filter) -> Markup {
    let service = Condition::Service(Operator::Equal, one.service.clone());
    let only = params.with("series", id_text(one.id)).href(path);
    html! {
        tr {
            th scope="row" {
                @if one.service.is_empty() {
                    "unknown"
                } @else {
                    (link(service, &one.service, path, params, filter))
                }
            }
            td.attributes {
                @for attribute in &one.attributes {
                    @let text = attributes::text(attribute.value.as_ref());
                    @let condition = attributes::is_plain(attribute.value.as_ref())
                        .then(|| Condition::Attribute(attribute.key.clone(), Operator::Equal, text.clone()));
                    span.attribute {
                        (attributes::foreign(&attribute.key)) "="
                        @match condition {
                            Some(condition) => (link(condition, &text, path, params, filter)),
                            None => (attributes::foreign(&text)),
                        }
                    } " "
                }
                @if one.attributes.is_empty() { span.hint { "none" } }
            }
            td { (last(one, unit)) }
            td {
                @match &one.last {
                    Some(last) => (format::time(last.time)),
                    None => "–",
                }
            }
            td.number {
                a href=(only) title="Show this series alone" { (format::count(one.points as u64)) }
                @if one.evicted > 0 { br; span.hint { (format::count(one.evicted)) " evicted" } }
            }
        }
    }
}

/// A value that leads to the series that have it.
fn link(condition: Condition, text: &str, path: &str, params: &Params, filter: &Filter) -> Markup {
    let filter = filter.with(Term::is(condition));
    html! {
        @match filter {
            Some(filter) => {
                a href=(params.with("q", &filter).href(path)) { (attributes::foreign(text)) }
            }
            // Too long for a filter.
            None => (attributes::foreign(text)),
        }
    }
}

/// The last value as it came: of a histogram or summary, its count and sum.
fn last(one: &Labels, unit: &Unit) -> Markup {
    let counted = |count: u64, sum: Option<f64>| {
        html! {
            (Unit::new("{value}").text(count as f64))
            @if let Some(sum) = sum { ", sum " (unit.text(sum)) }
        }
    };
    match one.last.as_ref().map(|last| &last.value) {
        None => html! { "–" },
        Some(Value::Gap) => html! { span.hint { "no recorded value" } },
        Some(Value::Number(number)) => {
            let text = unit.text(number.as_f64());
            // The digits that the text leaves out.
            let exact = match number {
                Number::Int(value) => value.to_string(),
                Number::Double(value) => value.to_string(),
            };
            html! { data value=(exact) title=(exact) { (text) } }
        }
        Some(Value::Explicit(histogram)) => counted(histogram.count, histogram.sum),
        Some(Value::Exponential(histogram)) => counted(histogram.count, histogram.sum),
        Some(Value::Summary(summary)) => counted(summary.count, Some(summary.sum)),
    }
}
