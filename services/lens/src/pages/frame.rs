//! The frame of every page: navigation, and how full the store is.

use maud::{Markup, html};
use pages::{Layout, assets::href, current};

use super::{Files, format, saved};
use crate::Lens;

/// The place of a page in the navigation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Overview,
    Traces,
    Logs,
    Metrics,
    Doctor,
    /// A page without a navigation entry, such as an error page.
    Elsewhere,
}

impl Place {
    /// The URLs of its style sheets.
    fn styles(self) -> Vec<String> {
        let own: &[&str] = match self {
            Self::Overview => &["chart.css", "sections.css", "overview.css"],
            Self::Traces => &["chart.css", "traces.css", "trace.css"],
            Self::Logs => &["chart.css", "logs.css"],
            Self::Metrics => &["chart.css", "metrics.css"],
            Self::Doctor => &["sections.css", "doctor.css"],
            Self::Elsewhere => &[],
        };
        let names = ["style.css"].iter().chain(own);
        names.map(|name| href::<Files>(name)).collect()
    }
}

const NAVIGATION: [(Place, &str, &str); 5] = [
    (Place::Overview, "/", "Overview"),
    (Place::Traces, "/traces", "Traces"),
    (Place::Logs, "/logs", "Logs"),
    (Place::Metrics, "/metrics", "Metrics"),
    (Place::Doctor, "/doctor", "Doctor"),
];

/// A whole page. `content` contains the only `h1`.
pub(super) fn page(lens: &Lens, title: &str, place: Place, content: Markup) -> Markup {
    layout(title, place, stock(lens)).page(content)
}

pub(super) fn layout(title: &str, place: Place, footer: Markup) -> Layout {
    Layout {
        site: "lens",
        title: title.to_owned(),
        styles: place.styles(),
        is_home: place == Place::Overview,
        is_wide: true,
        navigation: html! {
            @for (target, href, text) in NAVIGATION {
                li { a href=(href) aria-current=[current(place == target)] { (text) } }
            }
        },
        footer,
    }
}

/// How full the store is, and since when.
fn stock(lens: &Lens) -> Markup {
    let stats = lens.store.stats();
    let usage = lens.metrics.usage();
    let bytes = stats.bytes + usage.bytes;
    let oldest = [stats.spans.oldest, stats.logs.oldest];
    html! {
        p {
            (format::count(stats.spans.records)) " spans, "
            (format::count(stats.logs.records)) " log records and "
            (format::count(usage.series as u64)) " series in "
            (format::bytes(bytes as u64)) " of " (format::bytes(lens.memory as u64))
            @if let Some(oldest) = oldest.into_iter().flatten().min() {
                ", since " (format::time(oldest))
            }
            ". " a href="/doctor" { "What is missing?" }
        }
        (saved::state(lens))
    }
}
