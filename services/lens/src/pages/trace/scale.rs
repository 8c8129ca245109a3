//! The time axis of a waterfall.

use std::ops::Range;

use maud::{Markup, html};

use crate::pages::format;

/// From times to places on the axis.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    range: Range<u64>,
}

/// A mark on the axis: its place in percent, and its label.
struct Tick {
    place: f64,
    label: String,
}

impl Scale {
    pub(super) fn new(range: Option<Range<u64>>) -> Self {
        Self {
            range: range.unwrap_or(0..0),
        }
    }

    /// The start of the axis. `None` if nothing of the trace has a time.
    pub(super) fn start(&self) -> Option<u64> {
        (self.range.start != 0).then_some(self.range.start)
    }

    pub(super) fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Place of a time in percent of the axis. Times outside are at its ends.
    pub(super) fn place(&self, time: u64) -> f64 {
        let time = time.clamp(self.range.start, self.range.end);
        percent(time - self.range.start, self.length())
    }

    /// A time relative to the start of the trace, as text: `+1.2 ms`.
    pub(super) fn offset(&self, time: u64) -> String {
        match time.checked_sub(self.range.start) {
            Some(after) => format!("+{}", format::duration(after)),
            None => format!("−{}", format::duration(self.range.start - time)),
        }
    }

    /// The head of the axis, and the lines that all bars use.
    pub(super) fn ruler(&self) -> Markup {
        let ticks = self.ticks();
        html! {
            svg.ruler width="100%" height="18" aria-hidden="true" {
                defs {
                    g #grid {
                        @for tick in &ticks {
                            line x1=(text(tick.place)) x2=(text(tick.place)) y1="0" y2="100%" {}
                        }
                    }
                }
                @for (number, tick) in ticks.iter().enumerate() {
                    // At the end of the axis there is no room for a label. A narrow axis has every other label.
                    @if tick.place <= 90.0 {
                        text.odd[number % 2 == 1] x=(text(tick.place)) y="13" dx="3" { (tick.label) }
                    }
                    line x1=(text(tick.place)) x2=(text(tick.place)) y1="4" y2="18" {}
                }
            }
        }
    }

    /// At most 7 marks at round times.
    fn ticks(&self) -> Vec<Tick> {
        let length = self.length();
        let Some(step) = step(length) else {
            return Vec::new();
        };
        let times = (0_u64..8).filter_map(|number| number.checked_mul(step));
        times
            .take_while(|&time| time <= length)
            .map(|time| Tick {
                place: percent(time, length),
                label: match time {
                    0 => "0".to_owned(),
                    time => format::duration(time),
                },
            })
            .collect()
    }
}

/// A round time that fits 4 to 6 times into a length, in nanoseconds.
fn step(length: u64) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    // Beyond a minute, times are in minutes, hours and days.
    const LONG: [u64; 15] = [
        10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    ];
    if length == 0 {
        return None;
    }
    let least = length.div_ceil(6);
    if length > 60 * SECOND {
        let fitting = LONG.iter().map(|seconds| seconds * SECOND);
        let day = 86_400 * SECOND;
        return fitting
            .into_iter()
            .find(|&step| step >= least)
            .or_else(|| Some(least.div_ceil(day) * day));
    }
    let power = 10_u64.pow(least.ilog10());
    [1, 2, 5, 10]
        .into_iter()
        .map(|digit| digit * power)
        .find(|&step| step >= least)
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64 * 100.0
}

/// A place as an attribute of SVG.
pub(super) fn text(percent: f64) -> String {
    format!("{percent:.2}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_at_round_times() {
        for (length, labels) in [
            (0, vec![]),
            (3, vec!["0", "1 ns", "2 ns", "3 ns"]),
            (
                11_000_000,
                vec!["0", "2 ms", "4 ms", "6 ms", "8 ms", "10 ms"],
            ),
            (
                90_000_000_000,
                vec![
                    "0",
                    "15 s",
                    "30 s",
                    "45 s",
                    "1 min 0 s",
                    "1 min 15 s",
                    "1 min 30 s",
                ],
            ),
        ] {
            let scale = Scale::new(Some(100..100 + length));
            let ticks: Vec<String> = scale.ticks().into_iter().map(|tick| tick.label).collect();
            assert_eq!(ticks, labels, "{length}");
        }
        for length in [1, 59, 86_400_000_000_000 * 400, u64::MAX - 100] {
            let ticks = Scale::new(Some(100..100 + length)).ticks().len();
            assert!((2..=8).contains(&ticks), "{length}: {ticks}");
        }
    }

    #[test]
    fn places_are_on_the_axis() {
        let scale = Scale::new(Some(100..300));
        assert_eq!(text(scale.place(150)), "25.00%");
        assert_eq!(text(scale.place(50)), "0.00%");
        assert_eq!(text(scale.place(500)), "100.00%");
        assert_eq!(scale.offset(90), "−10 ns");
        assert_eq!(scale.offset(101), "+1 ns");
        let empty = Scale::new(None);
        assert_eq!(text(empty.place(7)), "0.00%");
    }
}
