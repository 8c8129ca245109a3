//! The table of traces.

use maud::{Markup, html};

use super::Palette;
use crate::{
    pages::{format, text},
    store::TraceRow,
};

/// Maximum number of services that a row names.
const SERVICES: usize = 4;

pub(super) fn table(rows: &[TraceRow]) -> Markup {
    let slowest = rows.iter().map(|row| row.duration).max().unwrap_or(0);
    let services = rows.iter().flat_map(|row| &row.services);
    let palette = Palette::new(services.map(String::as_str));
    html! {
        div.card.table tabindex="0" role="region" aria-label="Traces" {
            table.traces {
                caption.hidden { "Traces, newest first" }
                thead {
                    tr {
                        th scope="col" { "Start (UTC)" }
                        th scope="col" { "Root" }
                        th.services scope="col" { "Services" }
                        th.number scope="col" { "Duration" }
                        th.number scope="col" title="Where the trace takes longer than its root: a consumer reads a message later" {
                            "Of the root"
                        }
                        td.share {}
                        th.number scope="col" { "Spans" }
                        th.number scope="col" { "Errors" }
                    }
                }
                tbody { @for trace in rows { (row(trace, slowest, &palette)) } }
            }
        }
    }
}

fn row(row: &TraceRow, slowest: u64, palette: &Palette<'_>) -> Markup {
    let class = palette.class(&row.service);
    html! {
        tr {
            td.when { @if row.start == 0 { em { "no start" } } @else { (format::time(row.start)) } }
            th.root scope="row" {
                a href=(format!("/traces/{}", row.id)) {
                    span.swatch.(class) aria-hidden="true" {}
                    span.service { (text::name(&row.service, "no service.name")) } " "
                    (text::name(&row.name, "no name"))
                }
                @if !row.root {
                    " " span.mark-word title="No span without a parent is stored: this is the earliest span" {
                        "root missing"
                    }
                }
                @if row.evicted {
                    " " span.mark-word title="The store evicted older spans of this trace" { "spans evicted" }
                }
            }
            td.services {
                @for service in row.services.iter().take(SERVICES) {
                    span.chip { span.swatch.(palette.class(service)) aria-hidden="true" {}
                        (text::name(service, "no service.name")) } " "
                }
                @if row.services.len() > SERVICES { "+" (row.services.len() - SERVICES) }
            }
            td.number { (format::duration(row.duration)) }
            td.number { @if let Some(root) = root_duration(row) { (root) } }
            td.share {
                svg width="100%" height="10" aria-hidden="true" {
                    rect.span-bar.(class).failed[row.errors > 0] x="0" y="1" height="8" rx="2" width=(share(row.duration, slowest)) {}
                }
            }
            td.number { (format::count(row.spans.into())) }
            td.number {
                @if row.errors > 0 { span.state.bad { (format::count(row.errors.into())) } } @else { "0" }
            }
        }
    }
}

/// The duration of the root, if it differs from that of the trace.
pub(in crate::pages) fn root_duration(row: &TraceRow) -> Option<String> {
    let root = format::duration(row.root_duration?);
    (root != format::duration(row.duration)).then_some(root)
}

/// A width in percent, which is visible for the smallest share too.
fn share(part: u64, whole: u64) -> String {
    let share = part as f64 / whole.max(1) as f64;
    format!("{:.1}%", (share * 100.0).clamp(0.5, 100.0))
}
