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

/// Earliest time that is taken for the true one of a record, in nanoseconds since 1970: the begin of 2000.
const OLDEST: u64 = 946_684_800 * S;

/// Time by which records may be older than the first arrival, in nanoseconds. Senders have buffers.
const LATE: u64 = HOUR;

/// Records of the past are shown with the present if they are at least this part of it.
const FEW: u64 = 5;

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
    /// Log records of earlier times than the intervals.
    pub earlier: Option<Outside>,
    /// Log records of later times than the intervals.
    pub later: Option<Outside>,
    /// Number of log records in the intervals that are of the future. They are there if there are no others but those
    /// of times before 2000.
    pub ahead: u64,
    /// If the search ended early: log records from this time on are counted, in nanoseconds since 1970.
    pub since: Option<u64>,
}

/// Log records that would make the intervals of all others too wide.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outside {
    /// Number of them.
    pub count: u64,
    /// Their times, in nanoseconds since 1970.
    pub range: Range<u64>,
}

/// The times at which a chart of all records is cut, because clocks of senders are wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts {
    /// The begin of the present: of what arrived as it happened.
    present: u64,
    /// The begin of the future.
    future: u64,
}

/// When a record happened, as far as one can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Age {
    /// Before all computers of today.
    Ancient,
    /// Before lens received its first record.
    Past,
    Present,
    Future,
}

/// The log records of a time range.
pub(super) struct Count {
    range: Range<u64>,
    /// `None` if the range is one that was asked for.
    cuts: Option<Cuts>,
    /// By [`Age`]. Without cuts, all are of the present.
    timelines: [Timeline; 4],
}

impl Cuts {
    /// `since` is the time of the first arrival. Both are in nanoseconds since 1970.
    pub(crate) fn new(since: Option<u64>, future: u64) -> Self {
        Self {
            present: since.map_or(OLDEST, |since| since.saturating_sub(LATE)),
            future,
        }
    }

    pub(crate) fn age(self, time: u64) -> Age {
        match time {
            _ if time >= self.future => Age::Future,
            _ if time >= self.present => Age::Present,
            OLDEST.. => Age::Past,
            _ => Age::Ancient,
        }
    }

    /// The ages that a chart shows, if there are this many records of each.
    pub(crate) fn shown(counts: [u64; 4]) -> [bool; 4] {
        match counts {
            [_, 0, 0, _] => [true, false, false, true],
            [_, past, present, _] if past * FEW >= present => [false, true, true, false],
            _ => [false, false, true, false],
        }
    }
}

impl Count {
    /// The range is in nanoseconds since 1970.
    pub(super) fn new(range: Range<u64>, cuts: Option<Cuts>) -> Self {
        Self {
            range,
            cuts,
            timelines: std::array::from_fn(|_| Timeline::new()),
        }
    }

    /// Whether the timeline is complete without this segment and those whose newest record is older.
    pub(super) fn is_complete_without(&self, segment: &Segment<LogColumns>) -> bool {
        segment.newest < self.range.start
    }

    pub(super) fn wants(&self, time: u64) -> bool {
        // The greatest time has none after it that could end the range.
        self.range.contains(&time) || (time == u64::MAX && self.range.end == u64::MAX)
    }

    pub(super) fn add(&mut self, time: u64, severity: u8) {
        let age = self.cuts.map_or(Age::Present, |cuts| cuts.age(time));
        self.timelines[age as usize].add(time, severity);
    }

    /// The timeline. Without the intervals up to the time `stopped`, which may lack log records.
    pub(super) fn timeline(self, stopped: Option<u64>) -> Timeline {
        let mut timelines = self.timelines;
        if let Some(stopped) = stopped {
            for timeline in &mut timelines {
                let width = timeline.width;
                let intervals = &mut timeline.intervals;
                intervals.retain(|start, _| start.saturating_add(width - 1) > stopped);
            }
        }
        let shown = Cuts::shown(timelines.each_ref().map(Timeline::total));
        let [_, has_past, has_present, _] = shown;
        let mut timeline = Timeline::new();
        let (mut earlier, mut later) = (0, 0);
        for (age, part) in timelines.iter().enumerate() {
            timeline.timeless += part.timeless;
            if shown[age] {
                timeline.merge(part);
                if age == Age::Future as usize {
                    timeline.ahead = part.total();
                }
            } else if age == Age::Future as usize {
                later += part.total();
            } else {
                earlier += part.total();
            }
        }
        if let Some(cuts) = self.cuts.filter(|_| has_present) {
            let begin = if has_past { OLDEST } else { cuts.present };
            let outside = |count, range| (count > 0).then_some(Outside { count, range });
            timeline.earlier = outside(earlier, 0..begin);
            timeline.later = outside(later, cuts.future..u64::MAX);
        }
        timeline.since = stopped.and_then(|stopped| stopped.checked_add(1));
        timeline
    }
}

impl Timeline {
    fn new() -> Self {
        Self {
            width: WIDTHS[0],
            ..Self::default()
        }
    }

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
            self.widen(wider);
        }
    }

    /// Adds the log records of another timeline.
    fn merge(&mut self, other: &Self) {
        if other.width > self.width {
            self.widen(other.width);
        }
        for (start, counts) in &other.intervals {
            self.sum(*start, *counts);
        }
        while let Some(wider) = self.wider() {
            self.widen(wider);
        }
    }

    fn widen(&mut self, width: u64) {
        self.width = width;
        for (start, counts) in std::mem::take(&mut self.intervals) {
            self.sum(start, counts);
        }
    }

    fn sum(&mut self, start: u64, counts: [u64; 7]) {
        let sums = self
            .intervals
            .entry(start - start % self.width)
            .or_default();
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
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
    fn the_end_of_time_is_counted() {
        let cuts = Cuts::new(Some(2 * OLDEST), 3 * OLDEST);
        let count = Count::new(0..u64::MAX, Some(cuts));
        assert!(count.wants(u64::MAX) && count.wants(0));
        let past = Count::new(S..DAY, None);
        assert!(!past.wants(u64::MAX) && !past.wants(DAY));
    }

    #[test]
    fn a_wrong_time_does_not_widen_the_intervals_of_others() {
        let now = 1_800_000_000 * S;
        let cuts = Cuts::new(Some(now - DAY), now + S);
        let count = |times: &[u64]| {
            let mut count = Count::new(0..u64::MAX, Some(cuts));
            for time in times {
                count.add(*time, 9);
            }
            count.timeline(None)
        };
        let outside = |count, range| Some(Outside { count, range });
        let year = 365 * DAY;
        let live = [
            now - DAY,
            now - HOUR,
            now,
            now - S,
            now - 2 * S,
            now - 3 * S,
        ];
        let timeline = count(&[&live[..], &[0, S, 2 * S, now - year, now + 200 * year]].concat());
        assert_eq!((timeline.total(), timeline.timeless), (6, 1));
        assert!(timeline.width <= HOUR, "{}", timeline.width);
        assert_eq!(timeline.earlier, outside(3, 0..now - DAY - HOUR));
        assert_eq!(timeline.later, outside(1, now + S..u64::MAX));
        // A file of the past is no mistake.
        let timeline = count(&[&live[..], &[now - year; 6], &[S]].concat());
        assert_eq!(timeline.total(), 12);
        assert_eq!(
            (timeline.earlier, timeline.later),
            (outside(1, 0..OLDEST), None)
        );
        let timeline = count(&[now - year, now - year + S, now + DAY]);
        assert_eq!((timeline.total(), timeline.width), (2, 10 * MS));
        // There is nothing else to show.
        let timeline = count(&[S, now + DAY]);
        assert_eq!((timeline.total(), timeline.earlier), (2, None));
        assert_eq!(timeline.ahead, 1);
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
