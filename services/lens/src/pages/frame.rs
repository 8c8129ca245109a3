//! The frame of every page: navigation, and how full the store is.

use maud::{Markup, PreEscaped, html};
use pages::{Layout, assets::href, current};

use super::{Files, format, overview::plural, saved};
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
    // A list is empty or old until then, and nobody looks at the foot first.
    let content = saved::incomplete(lens).into_string() + &content.into_string();
    layout(title, place, stock(lens)).page(PreEscaped(content))
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

/// How full the store is, and since when its records came.
fn stock(lens: &Lens) -> Markup {
    let stats = lens.store.stats();
    let usage = lens.metrics.usage();
    let bytes = stats.bytes + usage.bytes;
    let since = [stats.spans.since, stats.logs.since];
    html! {
        p {
            (plural(stats.spans.records, "span", "spans")) ", "
            (plural(stats.logs.records, "log record", "log records")) " and "
            (format::count(usage.series as u64)) " series in "
            (format::bytes(bytes as u64)) " of " (format::bytes(lens.memory as u64))
            @if let Some(since) = since.into_iter().flatten().min() {
                ", received since " (format::moment(since))
            }
            ". " a href="/doctor" { "What is missing?" }
        }
        (saved::state(lens))
    }
}

#[cfg(test)]
mod tests {
    use super::Files;
    use crate::pages::testing::{attributes, get, insert_logs, lens, log, texts};

    #[tokio::test]
    async fn the_foot_says_since_when_records_have_come() {
        let lens = lens();
        assert!(!texts(&get(&lens, "/logs").await.body, ".foot")[0].contains("since"));
        let mut timeless = log(1, 0, 0, "one");
        timeless.time_unix_nano = 0;
        let mut early = log(1, 0, 0, "two");
        early.time_unix_nano = 1;
        insert_logs(&lens, "web", vec![timeless, early]);
        let page = get(&lens, "/logs").await.body;
        let foot = &texts(&page, ".foot")[0];
        assert!(
            foot.contains(", received since ") && foot.contains(" UTC "),
            "{foot}"
        );
        // The times of both are no time at which lens can have received them.
        assert!(!foot.contains("1970"), "{foot}");
        let since = &attributes(&page, ".foot time", "datetime")[0];
        assert!(since.as_str() > "2025", "{since}");
        let doctor = get(&lens, "/doctor").await.body;
        let stored = &attributes(&doctor, "[aria-labelledby=full] time", "datetime")[0];
        assert_eq!(stored, since);
    }

    #[test]
    fn tables_show_that_they_scroll() {
        let style = Files::get("style.css").unwrap().data;
        let style = std::str::from_utf8(&style).unwrap();
        let rule = style.split(".table,\n").nth(1).unwrap();
        let rule = rule.split('}').next().unwrap();
        // Covers that scroll with the content, and shadows that do not.
        for attachment in ["local", "scroll"] {
            assert_eq!(rule.matches(&format!("no-repeat {attachment},")).count(), 2);
        }
        // In the light and in the dark mode.
        assert_eq!(style.matches("--more:").count(), 2);
    }
}
