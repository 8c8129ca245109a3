//! The page of one metric.

use maud::{Markup, html};
use pages::current;

use super::{
    super::{chart::Unit, filter, format},
    attributes, charts, exemplars, kind_name, path,
    read::{self, Charts, LINES, View},
    select::{ALL, LENGTHS, Variant},
    series,
};
use crate::{
    Lens, clock,
    metrics::{Kind, Temporality},
    params::Params,
    query::Filter,
};

const EXAMPLE: &str = "service:auth http.route:/login";

/// The page of a metric, or that which says that there is none.
pub(super) fn of(lens: &Lens, name: &str, params: &Params) -> Result<Markup, Markup> {
    let (filter, series, problems) = filter::of_series(params, false);
    match read::read(lens, name, params, &series) {
        Some(view) => Ok(page(name, params, &filter, &problems, &view)),
        None => Err(missing(name)),
    }
}

fn missing(name: &str) -> Markup {
    html! {
        h1 { "This metric is not stored" }
        p.lead {
            "There is no series of " code { (attributes::foreign(name)) }
            ". Series leave when memory is full and they have had no new point for long."
        }
        p.actions { a.button href="/metrics" { "All metrics" } }
    }
}

fn page(name: &str, params: &Params, filter: &Filter, problems: &[String], view: &View) -> Markup {
    // A name that no path can have is a parameter, which all links keep.
    let path = &path(name).unwrap_or_else(|| "/metrics".to_owned());
    html! {
        p.crumb { a href="/metrics" { "Metrics" } }
        h1.name { (attributes::metric_name(name)) }
        @if !view.description.is_empty() {
            p.lead { (attributes::foreign(&view.description)) }
        }
        (facts(view))
        (variants(view, path, params))
        (filter::form(path, params, EXAMPLE, problems))
        (time(view, path, params))
        (grouping(view, path, params))
        (ahead(view, path, params))
        (warnings(view))
        (charts::of(view))
        (exemplars::table(&view.exemplars, &Unit::new(&view.variant.unit)))
        @if view.matching > 0 { (series::table(view, path, params, filter)) }
    }
}

fn facts(view: &View) -> Markup {
    let unit = &view.variant.unit;
    html! {
        p.summary {
            span.state.plain { (kind_name(view.variant.kind)) }
            " " (temporality(view))
            @if !unit.is_empty() { " Unit " code { (attributes::foreign(unit)) } "." }
            " " (format::count(view.total as u64)) " series"
            @if view.matching != view.total { ", of which " (format::count(view.matching as u64)) " match" }
            "."
            @if view.services.iter().any(|service| !service.is_empty()) {
                " Sent by "
                @for (index, service) in view.services.iter().take(LINES).enumerate() {
                    @if index > 0 { ", " }
                    (attributes::foreign(service))
                }
                @if view.services.len() > LINES { " and others" }
                "."
            }
        }
    }
}

fn temporality(view: &View) -> &'static str {
    if view.variant.kind == Kind::Gauge {
        return "Each point is a value at its time.";
    }
    let mut temporalities = view.temporalities.iter();
    match (temporalities.next(), temporalities.next()) {
        (Some(Temporality::Delta), None) => {
            "Delta: each point has what came since the previous point."
        }
        (Some(Temporality::Cumulative), None) => {
            "Cumulative: each point has all that came since the start of the process."
        }
        (Some(Temporality::Unspecified), None) | (None, _) => "",
        (Some(_), Some(_)) => "Series of different temporality.",
    }
}

/// The types and units, if several metrics share the name.
fn variants(view: &View, path: &str, params: &Params) -> Markup {
    let link = |variant: &Variant| {
        let params = params.without("series").without("by");
        let params = params.with("type", variant.parameter());
        params.with("unit", &variant.unit).href(path)
    };
    html! {
        @if view.variants.len() > 1 {
            nav.choice aria-label="Type and unit" {
                span { "This name has several types or units:" }
                @for (variant, series) in &view.variants {
                    a href=(link(variant)) aria-current=[current(*variant == view.variant)] {
                        (kind_name(variant.kind))
                        @if !variant.unit.is_empty() { " in " (attributes::foreign(&variant.unit)) }
                        " (" (format::count(*series as u64)) ")"
                    }
                }
            }
        }
    }
}

fn time(view: &View, path: &str, params: &Params) -> Markup {
    let span = &view.span;
    let base = params.without("end");
    let (earlier, later) = span.neighbours();
    let is_all = span.choice == ALL;
    html! {
        nav.choice aria-label="Time" {
            span { "Time:" }
            @for (choice, text, _) in LENGTHS {
                a href=(base.with("range", choice).href(path))
                    aria-current=[current(span.choice == choice)] { (text) }
            }
            a href=(base.with("range", ALL).href(path)) aria-current=[current(is_all)] { "All" }
            @if !is_all {
                @let base = params.with("range", span.choice);
                @if let Some(end) = earlier {
                    a rel="prev" href=(base.with("end", end).href(path)) { "← Earlier" }
                }
                @if let Some(end) = later {
                    a rel="next" href=(base.with("end", end).href(path)) { "Later →" }
                }
            }
            span.period { (span.period.caption()) }
        }
    }
}

/// Points of the future, which no one looks for.
fn ahead(view: &View, path: &str, params: &Params) -> Markup {
    let newest = view.span.extent.to();
    html! {
        @if view.span.is_ahead {
            p.hint { "All points have a time in the future: the clock of their sender is wrong." }
        } @else if newest > clock::future() && !view.span.period.contains(newest) {
            p.hint {
                "Some points have a time in the future, up to " (format::moment(newest))
                ": the clock of their sender is wrong. "
                a href=(params.with("end", newest).href(path)) { "Show the latest of them" }
            }
        }
    }
}

/// How series become lines.
fn grouping(view: &View, path: &str, params: &Params) -> Markup {
    let is_histogram = matches!(view.charts, Charts::Histogram(_));
    let base = params.without("by").without("together");
    let by = params.get("by");
    let together = by.is_none() && (is_histogram || params.get("together").is_some());
    html! {
        @if let Some(series) = params.get("series") {
            p.choice {
                span { "One series alone: " code { (attributes::foreign(series)) } "." }
                a href=(params.without("series").href(path)) { "Show all series" }
            }
        } @else if view.matching > 1 {
            nav.choice aria-label="Lines" {
                span { @if is_histogram { "Rates and means:" } @else { "Lines:" } }
                @if !is_histogram {
                    a href=(base.href(path)) aria-current=[current(by.is_none() && !together)] {
                        "Each series"
                    }
                }
                a href=(base.with("together", 1).href(path)) aria-current=[current(together)] {
                    "All together"
                }
                @for key in view.keys.iter().take(LINES) {
                    a href=(base.with("by", key).href(path)) aria-current=[current(by == Some(key))] {
                        "By " (attributes::foreign(key))
                    }
                }
            }
        }
    }
}

/// What a reader has to know to read the charts.
fn warnings(view: &View) -> Markup {
    let has_temporality = !matches!(view.variant.kind, Kind::Gauge);
    let unspecified = has_temporality && view.temporalities.contains(&Temporality::Unspecified);
    let charted = format::count(view.charted as u64);
    let matching = format::count(view.matching as u64);
    let groups = format::count(view.groups as u64);
    html! {
        div.notes {
            @if view.matching == 0 {
                p { "No series matches the filter." }
            }
            @if unspecified {
                p {
                    "The client does not say whether points are deltas or totals: the aggregation temporality is \
                     missing. So there is no rate, and each point is shown as it came."
                }
            }
            @if view.charted < view.matching {
                p {
                    "Charts show the " (charted) " of " (matching) " series with the largest last values. \
                     A filter selects others."
                }
            }
            @if view.groups > LINES {
                p {
                    "Lines are the " (LINES) " of " (groups)
                    " with the largest last values. A filter selects others."
                }
            }
            @if view.evicted > 0 {
                p {
                    "Older points were evicted: " (format::count(view.evicted))
                    " points of these series left, because memory was full."
                }
            }
        }
    }
}
