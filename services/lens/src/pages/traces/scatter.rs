//! The durations of traces over time.

use maud::{Markup, html};

use super::root_duration;
use crate::{
    pages::{
        chart::{Dot, Mark, Period, Plot, Scale, Shape, Tone, Unit, legend},
        format,
        overview::plural,
        text, trace,
    },
    store::{Cuts, TraceRow},
};

/// Maximum length of a name under the pointer, in characters.
const NAME: usize = 100;

/// A dot for each trace that has a start, without those of wrong times. Empty if there are fewer than two.
pub(super) fn figure(rows: &[TraceRow], cuts: Cuts) -> Markup {
    let mut rows: Vec<&TraceRow> = rows.iter().filter(|row| row.start != 0).collect();
    if rows.len() < 2 {
        return html! {};
    }
    let mut counts = [0; 4];
    for row in &rows {
        counts[cuts.age(row.start) as usize] += 1;
    }
    let shown = Cuts::shown(counts);
    rows.retain(|row| shown[cuts.age(row.start) as usize]);
    let outside = counts.iter().sum::<u64>() - rows.len() as u64;
    let period = Period::around(rows.iter().map(|row| row.start));
    let unit = Unit::new("ns");
    let scale = Scale::log(rows.iter().map(|row| row.duration as f64), &unit);
    let failed = rows.iter().filter(|row| row.errors > 0).count();
    let plot = Plot::new(period, scale, unit).dots(rows.iter().map(|row| dot(row)));
    html! {
        figure.card.scatter {
            figcaption {
                "Duration of " (plural(rows.len() as u64, "trace", "traces")) " by start. Each dot leads to its trace."
                @if outside > 0 {
                    " " (plural(outside, "trace of another time is", "traces of other times are")) " in the list alone."
                }
                (legend([
                    (Tone::Series(0), Mark::Dot(Shape::Round), html! { "without errors" }),
                    (Tone::Bad, Mark::Dot(Shape::Diamond), html! { "with errors: " (format::count(failed as u64)) }),
                ]))
            }
            (plot.figure("Durations of traces on a logarithmic scale, by start"))
        }
    }
}

fn dot(row: &TraceRow) -> Dot {
    let (shape, tone) = match row.errors {
        0 => (Shape::Round, Tone::Series(0)),
        _ => (Shape::Diamond, Tone::Bad),
    };
    let name = |text: &str| text::line(text::split(text, NAME).0).into_owned();
    Dot {
        time: row.start,
        value: row.duration as f64,
        shape,
        tone,
        title: format!(
            "{} {}, {}{}",
            name(&row.service),
            name(&row.name),
            format::duration(row.duration),
            root_duration(row).map_or_else(String::new, |root| format!(", root {root}"))
        ),
        href: Some(trace::path(row.id, None)),
    }
}
