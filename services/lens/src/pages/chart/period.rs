//! The axis of time.

use maud::{Markup, html};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::format::date;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Steps between ticks from one second on.
const STEPS: [u64; 23] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
];

/// Maximum number of ticks.
const TICKS: u64 = 8;

/// The time that a chart shows, in nanoseconds since the Unix epoch. It is never empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Period {
    from: u64,
    to: u64,
}

impl Period {
    /// The period between two times. An empty one is widened by half a second on both sides.
    pub(crate) fn new(from: u64, to: u64) -> Self {
        if from < to {
            return Self { from, to };
        }
        Self {
            from: to.saturating_sub(SECOND / 2).min(u64::MAX - SECOND),
            to: to.saturating_add(SECOND / 2).max(SECOND),
        }
    }

    /// The period of these times, with a margin so that no dot is at an edge.
    pub(crate) fn around(times: impl IntoIterator<Item = u64>) -> Self {
        let range = times.into_iter().fold(None, |range, time| match range {
            None => Some((time, time)),
            Some((from, to)) => Some((time.min(from), time.max(to))),
        });
        let (from, to) = range.unwrap_or_default();
        let margin = (to - from) / 50;
        Self::new(from.saturating_sub(margin), to.saturating_add(margin))
    }

    pub(crate) fn from(self) -> u64 {
        self.from
    }

    pub(crate) fn to(self) -> u64 {
        self.to
    }

    /// The place of a time: 0 at the start, 1 at the end.
    pub(crate) fn place(self, time: u64) -> f64 {
        let since = time.clamp(self.from, self.to) - self.from;
        since as f64 / (self.to - self.from) as f64
    }

    pub(crate) fn contains(self, time: u64) -> bool {
        (self.from..=self.to).contains(&time)
    }

    /// Up to 8 round times and their texts.
    pub(super) fn ticks(self) -> Vec<(u64, String)> {
        let length = self.to - self.from;
        let limit = if length < 5 * SECOND { 5 } else { TICKS };
        let step = step(length / limit);
        let first = self.from.div_ceil(step);
        let last = self.to / step;
        // Times that are near the largest one have no text.
        (first..=last)
            .take(TICKS as usize + 1)
            .filter_map(|index| {
                let time = index * step;
                Some((time, text(time, step)?))
            })
            .collect()
    }

    /// The start and the end of a part of a period, as a text: for titles and tables.
    pub(crate) fn part(from: u64, to: u64) -> String {
        let precise = to.saturating_sub(from) < 5 * SECOND;
        match utc(from).zip(utc(to)) {
            Some((from, to)) => format!("{} to {}", clock(from, precise), clock(to, precise)),
            None => "unknown".to_owned(),
        }
    }

    /// The date, the start and the end.
    pub(crate) fn caption(self) -> Markup {
        let (Some(from), Some(to)) = (utc(self.from), utc(self.to)) else {
            return html! { "unknown" };
        };
        let precise = self.to - self.from < 5 * SECOND;
        let clock = |time| clock(time, precise);
        let moment = |time: OffsetDateTime, text: String| {
            html! { time datetime=[time.format(&Rfc3339).ok()] { (text) } }
        };
        html! {
            (moment(from, format!("{}, {}", date(from), clock(from))))
            " to "
            @if from.date() == to.date() {
                (moment(to, clock(to)))
            } @else {
                (moment(to, format!("{}, {}", date(to), clock(to))))
            }
            " UTC"
        }
    }
}

fn clock(time: OffsetDateTime, precise: bool) -> String {
    // Periods may start a nanosecond before a round time, so that they have it.
    let time = time.saturating_add(Duration::microseconds(500));
    let (hour, minute, second, milli) = time.to_hms_milli();
    match precise {
        true => format!("{hour:02}:{minute:02}:{second:02}.{milli:03}"),
        false => format!("{hour:02}:{minute:02}:{second:02}"),
    }
}

/// The shortest round step that is not shorter than this one.
fn step(least: u64) -> u64 {
    if least > SECOND / 2 {
        let steps = STEPS.iter().find(|step| **step >= least);
        return steps.copied().unwrap_or(least);
    }
    let mut unit = 1;
    loop {
        for factor in [1, 2, 5] {
            if unit * factor >= least {
                return unit * factor;
            }
        }
        unit *= 10;
    }
}

fn text(time: u64, step: u64) -> Option<String> {
    let utc = utc(time)?;
    let (hour, minute, second, nano) = utc.to_hms_nano();
    Some(match step {
        DAY.. => date(utc),
        MINUTE.. => format!("{hour:02}:{minute:02}"),
        SECOND.. => format!("{hour:02}:{minute:02}:{second:02}"),
        1_000_000.. => format!("{second:02}.{:03} s", nano / 1_000_000),
        1_000.. => format!(".{:06} s", nano / 1_000),
        _ => format!(".{nano:09} s"),
    })
}

fn utc(time: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time)).ok()
}
