//! How many log records of each level there are over time.

use std::{collections::BTreeMap, ops::Range};

use super::{LogColumns, segment::Segment};

/// Maximum number of intervals. More would be too narrow to see.
const MOST: u64 = 150;

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;
const HOUR: u64 = 3600 * S;
const DAY: u64 = 24 * HOUR;

/// Widths of an interval, in nanoseconds. Each is a multiple of the one before, so intervals can be joined.
const WIDTHS: [u64; 24] = [
    MS,
    5 * MS,
    10 * MS,
    50 * MS,
    100 * MS,
    500 * MS,
    S,
    5 * S,
    10 * S,
    30 * S,
    60 * S,
    300 * S,
    600 * S,
    1800 * S,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    5 * DAY,
    10 * DAY,
    100 * DAY,
    1000 * DAY,
    10_000 * DAY,
];

/// Log records over time, by level.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Timeline {
    /// Width of an interval, in nanoseconds.
    pub width: u64,
    /// The intervals with log records, by their start in nanoseconds since 1970. The numbers are those without a level,
    /// and then those of the levels from `TRACE` to `FATAL`.
    pub intervals: BTreeMap<u64, [u64; 7]>,
    /// Number of log records without a time, which are in no interval.
    pub timeless: u64,
    /// If the search ended early: log records from this time on are counted, in nanoseconds since 1970.
    pub since: Option<u64>,
}

/// The log records of a time range.
pub(super) struct Count {
    range: Range<u64>,
    timeline: Timeline,
}

impl Count {
    /// The range is in nanoseconds since 1970.
    pub(super) fn new(range: Range<u64>) -> Self {
        let timeline = Timeline {
            width: WIDTHS[0],
            ..Timeline::default()
        };
        Self { range, timeline }
    }

    /// Whether the timeline is complete without this segment and those whose newest record is older.
    pub(super) fn is_complete_without(&self, segment: &Segment<LogColumns>) -> bool {
        segment.newest < self.range.start
    }

    pub(super) fn wants(&self, time: u64) -> bool {
        self.range.contains(&time)
    }

    pub(super) fn add(&mut self, time: u64, severity: u8) {
        self.timeline.add(time, severity);
    }

    /// The timeline. Without the intervals up to the time `stopped`, which may lack log records.
    pub(super) fn timeline(self, stopped: Option<u64>) -> Timeline {
        let mut timeline = self.timeline;
        if let Some(stopped) = stopped {
            let width = timeline.width;
            let intervals = &mut timeline.intervals;
            intervals.retain(|start, _| start.saturating_add(width - 1) > stopped);
            timeline.since = stopped.checked_add(1);
        }
        timeline
    }
}

impl Timeline {
    /// Number of log records in all intervals.
    pub fn total(&self) -> u64 {
        self.intervals.values().flatten().sum()
    }

    fn add(&mut self, time: u64, severity: u8) {
        if time == 0 {
            self.timeless += 1;
            return;
        }
        let level = usize::from(severity.div_ceil(4)).min(6);
        let counts = self.intervals.entry(time - time % self.width).or_default();
        counts[level] += 1;
        while let Some(wider) = self.wider() {
            self.width = wider;
            for (start, counts) in std::mem::take(&mut self.intervals) {
                let sums = self.intervals.entry(start - start % wider).or_default();
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
        }
    }

    /// The next width, if there are too many intervals.
    fn wider(&self) -> Option<u64> {
        let (first, _) = self.intervals.first_key_value()?;
        let (last, _) = self.intervals.last_key_value()?;
        let count = (last - first) / self.width + 1;
        let wider = || WIDTHS.into_iter().find(|width| *width > self.width);
        (count > MOST).then(wider).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_width_is_a_multiple_of_the_one_before() {
        for pair in WIDTHS.windows(2) {
            assert!(pair[1] > pair[0] && pair[1] % pair[0] == 0, "{pair:?}");
        }
    }

    #[test]
    fn intervals_grow_with_the_range() {
        let mut timeline = Timeline {
            width: MS,
            ..Timeline::default()
        };
        let start = 1_700_000_000 * S;
        for second in 0..100 {
            timeline.add(start + second * S, 9);
            timeline.add(start + second * S, 17);
        }
        assert_eq!((timeline.width, timeline.intervals.len()), (S, 100));
        assert_eq!(timeline.intervals[&start], [0, 0, 0, 1, 0, 1, 0]);
        // A record of another year, and one of the end of time.
        timeline.add(S, 0);
        assert!(timeline.intervals.len() <= 2);
        timeline.add(u64::MAX, 255);
        timeline.add(0, 1);
        assert_eq!((timeline.total(), timeline.timeless), (202, 1));
    }

    #[test]
    fn levels_have_four_severities_each() {
        let mut timeline = Timeline {
            width: MS,
            ..Timeline::default()
        };
        for severity in 0..=24 {
            timeline.add(S, severity);
        }
        assert_eq!(timeline.intervals[&S], [1, 4, 4, 4, 4, 4, 4]);
    }
}
