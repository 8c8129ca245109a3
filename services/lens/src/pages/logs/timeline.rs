//! The chart of levels over time.

use std::ops::Range;

use maud::{Markup, html};

use super::PATH;
use crate::{
    pages::{
        chart::{self, Bar, Head, Mark, Period, Plot, Scale, Tone, Unit, legend},
        format,
        overview::plural,
    },
    params::Params,
    store::{Outside, Timeline},
};

/// The levels, from the bottom up: what is worst is on the axis. The numbers are places in [`Timeline::intervals`].
const LEVELS: [(usize, &str, Tone); 7] = [
    (6, "FATAL", Tone::Fatal),
    (5, "ERROR", Tone::Bad),
    (4, "WARN", Tone::Warning),
    (3, "INFO", Tone::Series(0)),
    (2, "DEBUG", Tone::Muted),
    (1, "TRACE", Tone::Series(4)),
    (0, "no level", Tone::Series(2)),
];

/// Log records over time, by level. The bars lead to their time.
pub(super) fn figure(params: &Params, range: &Range<u64>, timeline: &Timeline) -> Markup {
    let (Some((first, _)), Some((last, _))) = (
        timeline.intervals.first_key_value(),
        timeline.intervals.last_key_value(),
    ) else {
        return html! {};
    };
    let end = last.saturating_add(timeline.width);
    let from = if range.start == 0 {
        *first
    } else {
        range.start
    };
    let to = if range.end == u64::MAX {
        end
    } else {
        range.end
    };
    let period = Period::new(from.min(*first), to.max(end));
    let unit = Unit::new("{log record}");
    let totals = timeline.intervals.values();
    let totals = totals.map(|counts| counts.iter().sum::<u64>() as f64);
    let scale = Scale::from_zero(totals, &unit);
    let present = |level: usize| timeline.intervals.values().any(|counts| counts[level] > 0);
    let levels: Vec<_> = LEVELS
        .into_iter()
        .filter(|(level, ..)| present(*level))
        .collect();
    let bars = timeline.intervals.iter().map(|(&start, counts)| {
        let end = start.saturating_add(timeline.width);
        let parts = levels.iter();
        Bar {
            from: start,
            to: end,
            parts: parts
                .map(|(level, _, tone)| (*tone, counts[*level] as f64))
                .collect(),
            title: title(start, &levels, counts),
            href: Some(href(params, start, end)),
        }
    });
    let plot = Plot::new(period, scale, unit).bars(bars);
    let entries = levels
        .iter()
        .map(|(_, name, tone)| (*tone, Mark::Block, html! { (name) }));
    html! {
        figure.timeline {
            (plot.figure("Number of log records over time, by level"))
            figcaption {
                span { (period.caption()) ", in intervals of " (format::duration(timeline.width)) }
                (legend(entries))
            }
            (table(params, timeline, &levels))
        }
    }
}

/// The log records that the chart leaves out, because a few wrong times would make it useless.
pub(super) fn outside(params: &Params, timeline: &Timeline) -> Markup {
    let params = params.without("before").without("tail");
    html! {
        @if timeline.ahead > 0 {
            p.hint {
                (plural(timeline.ahead, "log record has", "log records have"))
                " a time in the future: the clock of the sender is wrong."
            }
        }
        @if let Some(Outside { count, range }) = &timeline.later {
            p.hint {
                "The chart leaves out " (plural(*count, "log record", "log records"))
                " with a time in the future. Show "
                a href=(params.with("from", range.start).href(PATH)) { "the future alone" } ", or "
                a href=(params.with("to", range.start).href(PATH)) { "all but the future" } "."
            }
        }
        @if let Some(Outside { count, range }) = &timeline.earlier {
            p.hint {
                "The chart leaves out " (plural(*count, "log record", "log records"))
                " from before " (format::moment(range.end)) ". Show "
                a href=(params.with("to", range.end).href(PATH)) { "that time alone" } "."
            }
        }
    }
}

fn table(params: &Params, timeline: &Timeline, levels: &[(usize, &str, Tone)]) -> Markup {
    let mut head = vec![Head::Text("From (UTC)")];
    head.extend(levels.iter().map(|(_, name, _)| Head::Number(name)));
    let rows = timeline.intervals.iter().map(|(&start, counts)| {
        let end = start.saturating_add(timeline.width);
        let mut row = vec![html! { a href=(href(params, start, end)) { (format::clock(start)) } }];
        let numbers = levels.iter();
        row.extend(numbers.map(|(level, ..)| html! { (format::count(counts[*level])) }));
        row
    });
    chart::table("Levels as a table", &head, rows)
}

fn href(params: &Params, from: u64, to: u64) -> String {
    let params = params.without("before").without("tail");
    params.with("from", from).with("to", to).href(PATH)
}

fn title(start: u64, levels: &[(usize, &str, Tone)], counts: &[u64; 7]) -> String {
    let parts: Vec<_> = levels
        .iter()
        .filter(|(level, ..)| counts[*level] > 0)
        .map(|(level, name, _)| format!("{name} {}", format::count(counts[*level])))
        .collect();
    format!("from {}: {}", format::clock(start), parts.join(", "))
}
