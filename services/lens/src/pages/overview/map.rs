//! The map of services: a drawing, and the same as a table.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{Rates, plural, share};
use crate::{
    overview::{Arrow, Calls, Drawing, Kind, Map, NODE, Node, Overview},
    pages::{
        chart::{Head, table},
        format, links, text,
    },
};

/// Number of characters of a name in a title.
const LONGEST: usize = 80;

/// Number of characters of a name that fit into a node.
const CHARACTERS: usize = 17;

pub(super) fn section(overview: &Overview) -> Markup {
    let map = &overview.map;
    let rates = Rates::of(overview);
    html! {
        section aria-labelledby="map" {
            h2 #map { "Service map" }
            @if map.calls.is_empty() {
                p.aside {
                    "No calls between services, and none to databases, topics or other servers, in this time. "
                    "They come from spans of kind client, producer and consumer, and from spans with a parent in "
                    "another service."
                }
            } @else {
                @if let Some(drawing) = &overview.drawing {
                    div.card.map tabindex="0" role="region" aria-label="Drawing of the service map" {
                        (picture(map, drawing, rates))
                    }
                }
                (alone(map))
                (as_table(map, rates))
            }
            p.hint { (coverage(map)) }
        }
    }
}

fn picture(map: &Map, drawing: &Drawing, rates: Rates) -> Markup {
    let (width, height) = (number(drawing.width), number(drawing.height));
    let label = format!(
        "{} and {} between them. The table below has the same.",
        plural(map.nodes.len() as u64, "node", "nodes"),
        plural(map.calls.len() as u64, "connection", "connections")
    );
    html! {
        svg.graph role="group" aria-label=(label) width=(width) height=(height)
            viewBox=(format!("0 0 {width} {height}")) {
            defs {
                @for (id, class) in [("arrow", "tip"), ("arrow-bad", "tip bad-tip")] {
                    marker id=(id) viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
                        markerUnits="userSpaceOnUse" orient="auto" {
                        path class=(class) d="M0 0L8 4L0 8Z" {}
                    }
                }
            }
            @for (calls, arrow) in map.calls.iter().zip(&drawing.arrows) { (edge(map, calls, arrow, rates)) }
            @for (node, place) in map.nodes.iter().zip(&drawing.nodes) {
                @if let Some(place) = place { (self::node(node, *place)) }
            }
        }
    }
}

fn node(node: &Node, (x, y): (f64, f64)) -> Markup {
    let (left, top) = (x - NODE.0 / 2.0, y - NODE.1 / 2.0);
    let name = label(node);
    let (start, rest) = text::split(&name, CHARACTERS);
    let start = text::line(start);
    let (long, _) = text::split(&name, LONGEST);
    let kind = kind(node);
    // Below the lid of a database.
    let y = if node.kind == Kind::Database {
        y + 5.0
    } else {
        y
    };
    let shape = html! {
        title { (text::line(long)) ", " (text::line(&kind)) }
        (outline(node.kind, left, top))
        text.name x=(number(x)) y=(number(y - 2.0)) { (start) @if rest > 0 { "…" } }
        text.what x=(number(x)) y=(number(y + 14.0)) { (text::line(text::split(&kind, 22).0)) }
    };
    html! {
        // The table has the same links.
        @match node_href(node) {
            Some(href) => a.node.(class(node.kind)) href=(href) tabindex="-1" { (shape) },
            None => g.node.(class(node.kind)) { (shape) },
        }
    }
}

/// The outline of a node. The kinds differ by more than their colour.
fn outline(kind: Kind, left: f64, top: f64) -> Markup {
    let (width, height) = NODE;
    let (right, bottom) = (left + width, top + height);
    html! {
        @match kind {
            Kind::Service | Kind::Peer => rect.shape x=(number(left)) y=(number(top)) width=(number(width))
                height=(number(height)) rx="8" {},
            Kind::Database => path.shape d=(format!(
                "M{left:.1} {0:.1}a{1:.1} 6 0 0 1 {width:.1} 0V{2:.1}a{1:.1} 6 0 0 1 -{width:.1} 0Z\
                 M{left:.1} {0:.1}a{1:.1} 6 0 0 0 {width:.1} 0",
                top + 5.0, width / 2.0, bottom - 5.0
            )) {},
            Kind::Topic => path.shape d=(format!(
                "M{0:.1} {top:.1}H{right:.1}L{1:.1} {bottom:.1}H{left:.1}Z", left + 10.0, right - 10.0
            )) {},
        }
    }
}

fn edge(map: &Map, calls: &Calls, arrow: &Arrow, rates: Rates) -> Markup {
    let failed = calls.errors > 0;
    let title = format!(
        "{} to {}: {}, {} failed ({}), p50 {}, p95 {}",
        plain(map, calls.from),
        plain(map, calls.to),
        plural(calls.count, "call", "calls"),
        format::count(calls.errors),
        share(calls.errors, calls.count),
        format::duration(calls.p50),
        format::duration(calls.p95)
    );
    let marker = if failed {
        "url(#arrow-bad)"
    } else {
        "url(#arrow)"
    };
    let (x, y) = arrow.text;
    let line = html! {
        title { (title) }
        path.reach d=(course(&arrow.points)) {}
        path.course.failed[failed] d=(course(&arrow.points)) marker-end=(marker) {}
        text.calls x=(number(x)) y=(number(y - 5.0)) { (rates.text(calls.count)) }
        @if failed { text.calls.wrong x=(number(x)) y=(number(y + 13.0)) { (share(calls.errors, calls.count)) " err" } }
    };
    html! {
        @match calls_href(map, calls) {
            Some(href) => a.edge href=(href) tabindex="-1" { (line) },
            None => g.edge { (line) },
        }
    }
}

/// A curve through the middles between points, so that bends are round.
fn course(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let _ = match points.get(place + 1) {
            _ if place == 0 => write!(path, "M{x:.1} {y:.1}"),
            Some((next_x, next_y)) if place + 2 < points.len() => {
                let (middle_x, middle_y) = (f64::midpoint(*x, *next_x), f64::midpoint(*y, *next_y));
                write!(path, "Q{x:.1} {y:.1} {middle_x:.1} {middle_y:.1}")
            }
            Some((last_x, last_y)) => write!(path, "Q{x:.1} {y:.1} {last_x:.1} {last_y:.1}"),
            // With two points there was no curve to it.
            None if points.len() == 2 => write!(path, "L{x:.1} {y:.1}"),
            None => Ok(()),
        };
    }
    path
}

/// The services without calls, which the drawing leaves out.
fn alone(map: &Map) -> Markup {
    let alone: Vec<_> = map.alone().collect();
    html! {
        @if !alone.is_empty() {
            p.aside {
                "Without calls: "
                @for (place, node) in alone.iter().enumerate() {
                    @if place > 0 { ", " }
                    (linked(node_href(node), &text::name(&label(node), "no service.name")))
                }
                "."
            }
        }
    }
}

fn as_table(map: &Map, rates: Rates) -> Markup {
    let head = [
        Head::Text("Calls"),
        Head::Text("From"),
        Head::Text("To"),
        Head::Number("Rate"),
        Head::Number("Count"),
        Head::Number("Errors"),
        Head::Number("p50"),
        Head::Number("p95"),
    ];
    let end = |number: usize| {
        let node = &map.nodes[number];
        html! {
            (linked(node_href(node), &text::name(&label(node), "no service.name")))
            @if node.kind != Kind::Service { " " span.hint { (text::short(&kind(node), 40)) } }
        }
    };
    let rows = map.calls.iter().enumerate().map(|(place, calls)| {
        vec![
            linked(calls_href(map, calls), &html! { "Traces " (place + 1) }),
            end(calls.from),
            end(calls.to),
            html! { (rates.text(calls.count)) },
            html! { (format::count(calls.count)) },
            html! { (format::count(calls.errors)) " (" (share(calls.errors, calls.count)) ")" },
            html! { (format::duration(calls.p50)) },
            html! { (format::duration(calls.p95)) },
        ]
    });
    table("Service map as a table", &head, rows)
}

/// What the map is made of.
fn coverage(map: &Map) -> String {
    let coverage = &map.coverage;
    let mut text = format!(
        "From {} of {}",
        plural(coverage.spans as u64, "span", "spans"),
        plural(coverage.traces as u64, "trace", "traces")
    );
    text += if coverage.is_cut {
        ", the newest of this time."
    } else {
        "."
    };
    if coverage.read < coverage.clients {
        let _ = write!(
            text,
            " Databases, topics and other servers are from {} of {} client and message spans.",
            format::count(coverage.read as u64),
            format::count(coverage.clients as u64)
        );
    }
    let (nodes, calls) = map.left_out;
    if nodes + calls > 0 {
        let _ = write!(
            text,
            " The busiest are shown: {} and {} are left out.",
            plural(nodes as u64, "node", "nodes"),
            plural(calls as u64, "connection", "connections")
        );
    }
    text
}

fn linked(href: Option<String>, content: &Markup) -> Markup {
    html! {
        @match href {
            Some(href) => a href=(href) { (content) },
            None => (content),
        }
    }
}

fn label(node: &Node) -> String {
    match (node.kind, node.name.as_str()) {
        (Kind::Service, "") => "no service.name".to_owned(),
        (Kind::Database, "") => node.system.clone(),
        (_, name) => name.to_owned(),
    }
}

fn plain(map: &Map, number: usize) -> String {
    let name = label(&map.nodes[number]);
    text::line(text::split(&name, LONGEST).0).into_owned()
}

fn kind(node: &Node) -> String {
    match node.kind {
        Kind::Service => "service".to_owned(),
        Kind::Peer => "no spans".to_owned(),
        Kind::Topic => "topic".to_owned(),
        Kind::Database => format!("database, {}", node.system),
    }
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Peer => "peer",
        Kind::Topic => "topic",
        Kind::Database => "database",
    }
}

fn node_href(node: &Node) -> Option<String> {
    let condition = match &node.attribute {
        Some((key, value)) => links::attribute(key, value),
        None => links::service(&node.name),
    };
    links::list("/traces", [condition])
}

/// The traces with such calls: those of the callee, or those of the caller about something that sends no spans.
fn calls_href(map: &Map, calls: &Calls) -> Option<String> {
    let (from, to) = (&map.nodes[calls.from], &map.nodes[calls.to]);
    let (service, other) = match (&from.attribute, &to.attribute) {
        (_, Some(attribute)) => (from, Some(attribute)),
        (Some(attribute), None) => (to, Some(attribute)),
        (None, None) => (to, None),
    };
    let other = other.map(|(key, value)| links::attribute(key, value));
    let conditions = [links::service(&service.name)].into_iter().chain(other);
    links::list("/traces", conditions)
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}
