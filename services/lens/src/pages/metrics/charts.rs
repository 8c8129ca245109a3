//! The charts of a metric.

use maud::{Markup, html};

use super::{
    super::chart::Unit,
    exemplars,
    lines::Lines,
    read::{Charts, View},
};
use crate::metrics::Temporality;

/// All charts of a metric.
pub(super) fn of(view: &View) -> Markup {
    let period = view.span.period;
    let unit = Unit::new(&view.variant.unit);
    let dots = |at_zero| exemplars::dots(&view.exemplars, &unit, at_zero);
    let key = exemplars::key(&view.exemplars);
    let chart = |lines: &Lines, title| {
        html! { @if !lines.is_empty() { (card(title, &lines.chart(title, period, Vec::new()))) } }
    };
    html! {
        div.charts {
            @match &view.charts {
                Charts::None => {}
                Charts::Counter { rates, values } if rates.is_empty() => {
                    (card("Values as received", &html! {
                        (no_rate(view))
                        (values.chart("Values as received", period, dots(true)))
                        (key)
                    }))
                }
                Charts::Counter { rates, values } => {
                    (card("Rate", &html! { (rates.chart("Rate", period, dots(true))) (key) }))
                    (chart(values, "Values as received"))
                }
                Charts::Gauge { values } => {
                    (card("Value", &html! { (values.chart("Value", period, dots(false))) (key) }))
                }
                Charts::Histogram(histograms) => {
                    @if histograms.is_empty() {
                        (card("Distribution", &html! {
                            p { "No values can be told for this time." }
                            (no_rate(view))
                        }))
                    } @else {
                        (card("Distribution", &html! { (histograms.heatmap(period, dots(false))) (key) }))
                        (card("Quantiles", &html! {
                            (histograms.quantile_chart(period))
                            (histograms.whole())
                        }))
                    }
                    (chart(&histograms.rates, "Values per second"))
                    (chart(&histograms.means, "Mean"))
                }
                Charts::Summary { quantiles, series, rates, means } => {
                    (card("Quantiles", &html! {
                        @if view.matching > 1 {
                            p.hint {
                                "Quantiles of several series cannot be merged. These are those of "
                                bdi { (series) } ", the series with the most values."
                            }
                        }
                        (quantiles.chart("Quantiles", period, Vec::new()))
                        p.hint { "The client calculates these quantiles, and does not say over which time." }
                    }))
                    (chart(rates, "Values per second"))
                    (chart(means, "Mean"))
                }
            }
        }
    }
}

fn card(title: &str, content: &Markup) -> Markup {
    html! {
        section.card.chart {
            h2 { (title) }
            (content)
        }
    }
}

/// Why there is no rate.
fn no_rate(view: &View) -> Markup {
    let text = if view.temporalities.contains(&Temporality::Unspecified) {
        "There is no rate, because the aggregation temporality is missing."
    } else if view.temporalities.contains(&Temporality::Cumulative) {
        "There is no rate yet. A cumulative series needs two points in this time."
    } else {
        "There is no rate, because no point describes a length of time: their start is their end."
    };
    html! { p.hint { (text) } }
}
