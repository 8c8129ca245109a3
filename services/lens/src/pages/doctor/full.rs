//! How full the stores are.

use maud::{Markup, html};

use crate::{
    Lens,
    pages::{format, overview::share},
};

pub(super) fn section(lens: &Lens) -> Markup {
    let stats = lens.store.stats();
    let usage = lens.metrics.usage();
    let since = |time: Option<u64>| time.map_or_else(|| html! { "–" }, format::moment);
    html! {
        section {
            h2 #full { "How full" }
            div.card.facts-row {
                (bar("Spans and log records", stats.bytes, stats.limit))
                (bar("Metrics", usage.bytes, usage.limit))
                (gauge("Series", usage.series as u64, usage.series_limit as u64,
                    &format!("{} of at most {} series", format::count(usage.series as u64),
                        format::count(usage.series_limit as u64))))
            }
            div.card.table tabindex="0" role="region" aria-labelledby="full" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Stored" }
                            th.number scope="col" { "Records" }
                            th.number scope="col" { "Evicted" }
                            th.number scope="col" { "Received since" }
                        }
                    }
                    tbody {
                        @for (name, signal) in [("Spans", stats.spans), ("Log records", stats.logs)] {
                            tr {
                                th scope="row" { (name) }
                                td.number { (format::count(signal.records)) }
                                td.number { (format::count(signal.evicted)) }
                                td.number { (since(signal.since)) }
                            }
                        }
                        tr {
                            th scope="row" { "Data points" }
                            td.number { (format::count(usage.points as u64)) }
                            td.number { (format::count(usage.evicted_points)) }
                            td.number { "–" }
                        }
                    }
                }
            }
            p.hint {
                "If a store is full, the oldest data is evicted. LENS_MEMORY sets the size of both: "
                (format::bytes(lens.memory as u64)) " now, a quarter of it for metrics."
            }
        }
    }
}

fn bar(name: &str, bytes: usize, limit: usize) -> Markup {
    let text = format!(
        "{} of {}",
        format::bytes(bytes as u64),
        format::bytes(limit as u64)
    );
    gauge(name, bytes as u64, limit as u64, &text)
}

fn gauge(name: &str, value: u64, limit: u64, text: &str) -> Markup {
    html! {
        div {
            p.gauge-name { (name) }
            meter min="0" max=(limit) value=(value) aria-label=(name) { (text) }
            p.hint { (text) " (" (share(value, limit)) ")" }
        }
    }
}
