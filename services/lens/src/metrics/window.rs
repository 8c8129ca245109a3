//! What a series measured in each window of time: deltas, also from cumulative points.

use crate::metrics::{
    Range,
    identity::Temporality,
    point::{Number, Point, Value},
    ring::Ring,
};

/// Longest time, in nanoseconds, from a start to the first point of a series for which the values
/// before that point are shown. Beyond it, their spread over the time is unknown.
const LONGEST_FIRST: u64 = 5 * 60 * 1_000_000_000;

/// An interval `(from, to]`, in nanoseconds since the Unix epoch. It may be empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Window {
    /// The part (0 to 1) of this window that lies in another one. An empty window lies there as a whole
    /// or not at all.
    pub(super) fn share_in(self, other: Self) -> f64 {
        if self.from >= self.to {
            return f64::from(u8::from(other.from < self.to && self.to <= other.to));
        }
        self.overlap(other) as f64 / (self.to - self.from) as f64
    }

    /// The nanoseconds that two windows have in common.
    pub(super) fn overlap(self, other: Self) -> u64 {
        let to = self.to.min(other.to);
        to.saturating_sub(self.from.max(other.from))
    }

    /// Whether values of this window may be in the range.
    fn touches(self, range: Range) -> bool {
        self.to > range.from && (self.from < range.to || self.to <= range.to)
    }
}

/// A value of which later points have more.
pub(super) trait Cumulative: Clone {
    /// The amount that was added since an earlier point. `None` if a value fell: the run has restarted.
    fn since(&self, earlier: &Self) -> Option<Self>;
}

/// A counter's value, or the number of values of a histogram or summary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total(pub(super) Number);

impl Total {
    /// The total of a value, if it has a valid one.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let count = |count: u64| Number::Int(count.try_into().unwrap_or(i64::MAX));
        let total = match value {
            Value::Gap => return None,
            Value::Number(number) => *number,
            Value::Explicit(histogram) => count(histogram.count),
            Value::Exponential(histogram) => count(histogram.count),
            Value::Summary(summary) => count(summary.count),
        };
        total.as_f64().is_finite().then_some(Self(total))
    }
}

impl Cumulative for Total {
    fn since(&self, earlier: &Self) -> Option<Self> {
        let added = self.0.minus(earlier.0);
        (added >= 0.0).then_some(Self(Number::Double(added)))
    }
}

/// Calls a function with what a series measured in each window that touches the range.
///
/// `value` reads the values of points. Points without one are gaps. Points without a temporality are
/// taken like deltas.
pub(super) fn visit<'a, T: Cumulative>(
    ring: &'a Ring,
    temporality: Temporality,
    range: Range,
    value: impl Fn(&'a Value) -> Option<T>,
    mut each: impl FnMut(Window, T),
) {
    let points = ring.points();
    // One point before the range is what the first one in the range is compared with.
    let first = points.partition_point(|point| point.time <= range.from);
    let first = first.saturating_sub(1);
    let mut past = if first == 0 && ring.evicted() == 0 {
        Past::Nothing
    } else {
        Past::Unknown
    };
    for point in points.range(first..) {
        let Some(value) = value(&point.value) else {
            past = past.gap();
            continue;
        };
        let amount = match temporality {
            Temporality::Cumulative => past.added(point, &value),
            Temporality::Delta | Temporality::Unspecified => {
                Some((past.window_of_delta(point), value.clone()))
            }
        };
        if let Some((window, amount)) = amount
            && window.touches(range)
        {
            each(window, amount);
        }
        if point.time >= range.to {
            break;
        }
        past = Past::Point(point.time, point.start, value);
    }
}

/// The start of the ranges that have everything of a series whose first point is this one.
pub(super) fn since(first: &Point, temporality: Temporality) -> u64 {
    let starts_before = first.start != 0 && first.start < first.time;
    if starts_before && first.time - first.start <= LONGEST_FIRST {
        return first.start;
    }
    match temporality {
        // It adds nothing.
        Temporality::Cumulative => first.time,
        // A range does not have its start.
        Temporality::Delta | Temporality::Unspecified => first.time.saturating_sub(1),
    }
}

/// What is known of a series before a point.
#[derive(Debug)]
enum Past<T> {
    /// There was no point at all.
    Nothing,
    /// Earlier points are not known.
    Unknown,
    /// There was a gap. The time of the last point before it.
    Gap(u64),
    /// The previous point's time, start and value.
    Point(u64, u64, T),
}

impl<T: Cumulative> Past<T> {
    fn gap(self) -> Self {
        match self {
            Self::Point(time, ..) => Self::Gap(time),
            past => past,
        }
    }

    /// What a cumulative point adds.
    fn added(&self, point: &Point, value: &T) -> Option<(Window, T)> {
        let (time, start) = (point.time, point.start);
        // A point at its own start continues a run whose start is unknown: it adds nothing.
        let starts_before = start != 0 && start < time;
        let from = match self {
            Self::Nothing if starts_before && time - start <= LONGEST_FIRST => start,
            // Only a restart tells what was measured since the gap.
            Self::Gap(last) if starts_before && start >= *last => start,
            Self::Unknown | Self::Nothing | Self::Gap(_) => return None,
            Self::Point(previous, previous_start, earlier) => {
                let has_restarted = *previous_start != 0 && start > *previous_start;
                let added = value.since(earlier).filter(|_| !has_restarted);
                if let Some(added) = added {
                    let from = *previous;
                    return Some((Window { from, to: time }, added));
                }
                if start == time {
                    return None;
                }
                start.max(*previous)
            }
        };
        Some((Window { from, to: time }, value.clone()))
    }

    fn window_of_delta(&self, point: &Point) -> Window {
        let from = match self {
            _ if point.start != 0 && point.start <= point.time => point.start,
            Self::Point(previous, ..) => *previous,
            _ => point.time,
        };
        Window {
            from,
            to: point.time,
        }
    }
}

#[cfg(test)]
mod tests;
