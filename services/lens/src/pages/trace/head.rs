//! The head of the page of a trace.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{neighbors, rows, state::State, view::View};
use crate::{
    pages::{format, text, value},
    query::Condition,
    store::SpanView,
};

/// Maximum number of services in the legend.
const SERVICES: usize = 40;

/// Severity number from which a log record is an error.
const ERROR: u8 = 17;

/// What the spans of a service add up to.
#[derive(Default)]
struct Service {
    spans: u64,
    errors: u64,
}

pub(super) fn head(view: &View<'_>, state: &State) -> Markup {
    html! {
        header.trace-head {
            (title(view))
            (facts(view))
            (notices(view, state))
            (under_way(view))
            @if view.has_spans() { (legend(view, state)) }
            div.legend-row {
                (actions(view))
                @if view.has_spans() { (keys()) }
            }
        }
    }
}

fn title(view: &View<'_>) -> Markup {
    html! {
        h1 {
            @match view.top() {
                Some((service, name)) => {
                    span.service { (text::name(service, "no service.name")) } " " (text::name(name, "no name"))
                }
                None => "Log records of a trace",
            }
        }
    }
}

fn facts(view: &View<'_>) -> Markup {
    let spans = view.full.spans();
    let range = view.full.range();
    let failed = spans.iter().filter(|span| span.error).count();
    let failed_logs = view
        .severities()
        .filter(|&severity| severity >= ERROR)
        .count();
    html! {
        dl.facts-line {
            @if let Some(start) = view.scale.start() {
                div { dt { "Start" } dd { (format::time(start)) " UTC" } }
            }
            @if let Some(range) = &range {
                @let duration = format::duration(range.end - range.start);
                @let root = view.root_duration().map(format::duration).filter(|root| *root != duration);
                div {
                    dt { "Duration" }
                    dd { strong { (duration) } @if let Some(root) = root { " (root " (root) ")" } }
                }
            }
            @if view.has_spans() {
                div { dt { "Spans" } dd { (format::count(spans.len() as u64)) } }
                div {
                    dt { "Errors" }
                    dd { @if failed > 0 { span.state.bad { (format::count(failed as u64)) } } @else { "0" } }
                }
            }
            div {
                dt { "Log records" }
                dd {
                    @match (view.log_count(), value::search("/logs", Condition::Trace(view.id))) {
                        (0, _) => "0",
                        (count, Some(href)) => a href=(href) { (format::count(count as u64)) },
                        (count, None) => (format::count(count as u64)),
                    }
                    @if failed_logs > 0 { " (" (errors(failed_logs as u64)) ")" }
                }
            }
            div { dt { "Trace id" } dd { code { (view.id) } } }
        }
        dl.neighbors-list { (neighbors::list(view)) }
    }
}

/// What is missing or strange, in sentences.
fn notices(view: &View<'_>, state: &State) -> Markup {
    let evicted = view.outline.is_some_and(|outline| outline.evicted_spans());
    let is_young = view.is_young();
    let missing = match is_young {
        true => 0,
        false => view.missing_parents(),
    };
    let roots = view.full.roots().len();
    html! {
        @if evicted {
            p.notice { "Older spans of this trace were evicted, because the store is full." }
        }
        @if view.evicted_logs() {
            p.notice { "Older log records of this trace were evicted, because the store is full." }
        }
        @if is_young {
            // What is missing may still arrive.
        } @else if !view.has_spans() {
            p.notice {
                "No span of this trace is stored: it was not sampled, has not arrived, or was evicted."
            }
        } @else if !view.has_root() {
            p.notice { "No span without a parent is stored, so that the start of the trace is missing." }
        }
        @if missing > 0 {
            p.notice {
                @if missing == 1 { "The parent of some spans is not stored. It has a row of its own, with its children below." }
                @else {
                    (format::count(missing as u64)) " parents are not stored. Each has a row of its own, with its children below."
                }
            }
        }
        @if roots > 1 && missing == 0 && !is_young {
            p.notice { "The trace has " (format::count(roots as u64)) " spans at the top." }
        }
        @if let Some(text) = &state.no_span_id {
            p.notice { "A span id has 16 hexadecimal digits, not all zero. This is " (text::short(text, 100)) "." }
        }
        @if let Some(selected) = state.span {
            @if view.span(selected).is_none() {
                p.notice { "Span " code { (selected) } " is not stored: it was evicted, not sampled, or has not arrived." }
            } @else if state.only.is_some() || state.hidden.is_some() {
                p.notice { "Some spans are hidden. " a href=(rows::clear(state)) { "Show all spans" } }
            }
        }
    }
}

/// For a trace whose spans may still be under way.
fn under_way(view: &View<'_>) -> Markup {
    if !view.is_young() {
        return html! {};
    }
    let is_partial = !view.has_root() || view.missing_parents() > 0;
    html! {
        p.notice[is_partial].hint[!is_partial] {
            @if is_partial { "This is a part of the trace. " }
            "Spans arrive some seconds after they end. "
            // Without a fragment, so that the browser loads the page.
            a href="" { "Load again" }
        }
    }
}

/// The services with their colors, and what can be hidden.
fn legend(view: &View<'_>, state: &State) -> Markup {
    let mut services: BTreeMap<&str, Service> = BTreeMap::new();
    let mut kinds = [0_u64; 6];
    for span in view.full.spans() {
        let service = services.entry(span.service).or_default();
        service.spans += 1;
        service.errors += u64::from(span.error);
        count(&mut kinds, span);
    }
    html! {
        div.legend-row {
            ul aria-label="Services" {
                @for (name, service) in services.iter().take(SERVICES) {
                    @let is_only = state.only.as_deref() == Some(*name);
                    @let href = state.change(|state| {
                        state.only = (!is_only && !name.is_empty()).then(|| (*name).to_owned());
                        state.drop_page();
                    });
                    li {
                        a.chip href=(href) aria-current=[is_only.then_some("true")]
                            title=(if is_only { "Show all services" } else { "Show only this service" }) {
                            span.swatch.(view.palette.class(name)) aria-hidden="true" {}
                            (text::name(name, "no service.name")) " "
                            span.hint { (format::count(service.spans)) }
                            @if service.errors > 0 {
                                " " span.failed { (errors(service.errors)) }
                            }
                        }
                    }
                }
                @if services.len() > SERVICES { li { "and " (services.len() - SERVICES) " more" } }
            }
            (switches(view, state, kinds[3]))
        }
    }
}

/// What the marks of the bars mean.
fn keys() -> Markup {
    html! {
        p.keys.track {
            svg width="24" height="12" aria-hidden="true" { rect.critical x="0" y="5" width="24" height="3" {} }
            "critical path"
            svg width="8" height="14" aria-hidden="true" { line.event x1="4" x2="4" y1="0" y2="14" {} }
            "event"
            svg width="8" height="12" aria-hidden="true" { circle.moment cx="4" cy="6" r="3" {} }
            "log record"
        }
    }
}

/// A number of errors in words.
pub(super) fn errors(count: u64) -> String {
    match count {
        1 => "1 error".to_owned(),
        count => format!("{} errors", format::count(count)),
    }
}

fn count(kinds: &mut [u64; 6], span: &SpanView<'_>) {
    if let Some(count) = kinds.get_mut(span.kind as usize) {
        *count += 1;
    }
}

/// Links that hide and show rows.
fn switches(view: &View<'_>, state: &State, clients: u64) -> Markup {
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
    let no_clients = state.hidden == Some(SpanKind::Client);
    html! {
        p.switches {
            @if clients > 0 {
                a href=(state.change(|state| {
                    state.hidden = (!no_clients).then_some(SpanKind::Client);
                    state.drop_page();
                })) { @if no_clients { "Show client spans" } @else { "Hide client spans" } }
            }
            @if view.log_count() > view.unplaced().len() {
                a href=(state.change(|state| state.logs = !state.logs)) {
                    @if state.logs { "Hide log records" } @else { "Show log records" }
                }
            }
            @if state.is_arranged() { a href=(state.reset()) { "Reset" } }
        }
    }
}

fn actions(view: &View<'_>) -> Markup {
    let path = super::path(view.id, None);
    html! {
        ul.trace-actions {
            li { a href=(format!("{path}.md")) data-copy="" { "Copy as Markdown" } }
            li { a href=(format!("{path}.json")) { "OTLP JSON" } }
            @if view.has_spans() { li { a href=(format!("{path}?with=usual")) { "Compare with a usual one" } } }
        }
        span #copied .hint role="status" {}
    }
}
