//! What of a metric a URL selects: type, series, groups and time.

use std::collections::BTreeMap;

use super::super::chart::Period;
use crate::{
    metrics::{Kind, Labels, Number, Range, SeriesId, Temporality, Value},
    params::Params,
};

const MINUTE: u64 = 60 * 1_000_000_000;

/// The lengths of time to choose from: as a parameter, for people, and in nanoseconds.
pub(super) const LENGTHS: [(&str, &str, u64); 3] = [
    ("5m", "5 min", 5 * MINUTE),
    ("15m", "15 min", 15 * MINUTE),
    ("1h", "1 h", 60 * MINUTE),
];

/// The parameter for all of the time.
pub(super) const ALL: &str = "all";

/// A type of a metric: several may share a name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Variant {
    pub(super) kind: Kind,
    pub(super) unit: String,
}

/// The time that a page shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// One of [`LENGTHS`], or [`ALL`].
    pub(super) choice: &'static str,
    pub(super) period: Period,
    /// The time of which there are points.
    pub(super) extent: Period,
    /// Whether all points are in the future.
    pub(super) is_ahead: bool,
}

/// Series that are shown as one line.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) ids: Vec<SeriesId>,
    /// The sum of the last values.
    pub(super) last: f64,
}

impl Variant {
    pub(super) fn of(labels: &Labels) -> Self {
        Self {
            kind: labels.kind,
            unit: labels.unit.clone(),
        }
    }

    pub(super) const fn parameter(&self) -> &'static str {
        match self.kind {
            Kind::Gauge => "gauge",
            Kind::Sum => "sum",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::ExponentialHistogram => "exponential",
            Kind::Summary => "summary",
        }
    }

    /// The variants of a metric with the numbers of their series.
    pub(super) fn all(series: &[Labels]) -> BTreeMap<Self, usize> {
        let mut variants = BTreeMap::new();
        for one in series {
            *variants.entry(Self::of(one)).or_default() += 1;
        }
        variants
    }

    /// The variant that the URL names, or else that with the most series.
    pub(super) fn chosen(variants: &BTreeMap<Self, usize>, params: &Params) -> Option<Self> {
        let is_named = |variant: &&Self| {
            let unit = params.pairs().find(|(name, _)| *name == "unit");
            params.get("type") == Some(variant.parameter())
                && unit.is_none_or(|(_, unit)| unit == variant.unit)
        };
        let most = || variants.iter().max_by_key(|(_, count)| **count);
        let named = variants.keys().find(is_named);
        named
            .or_else(|| most().map(|(variant, _)| variant))
            .cloned()
    }
}

impl Span {
    /// The time that the URL names, or else the last 15 minutes of the series. Points of the future, from senders whose
    /// clock is wrong, do not move the end.
    pub(super) fn new(series: &[Labels], params: &Params) -> Self {
        let from = series.iter().map(|one| one.since).min().unwrap_or_default();
        let times = series.iter().filter_map(|one| one.last.as_ref());
        let to = times.map(|last| last.time).max().unwrap_or_default();
        // A single time is shown in its second.
        let extent = match to.saturating_sub(from) {
            0..1_000 => Period::new(to, to),
            _ => Period::new(from, to),
        };
        let present = series.iter().filter_map(|one| one.present).max();
        let is_ahead = present.is_none() && to > 0;
        let chosen = params.get("range");
        let choice = match chosen {
            Some(ALL) => None,
            Some(name) => LENGTHS.iter().find(|(length, ..)| *length == name),
            // A short time is shown as a whole.
            None => Some(&LENGTHS[1]).filter(|(.., length)| extent.to() - extent.from() > *length),
        };
        let Some((choice, _, length)) = choice else {
            return Self {
                choice: ALL,
                period: extent,
                extent,
                is_ahead,
            };
        };
        let end = params.parse("end").or(present);
        let end = end.unwrap_or_else(|| extent.to());
        let end = end.clamp(extent.from(), extent.to());
        Self {
            choice,
            period: Period::new(end.saturating_sub(*length), end),
            extent,
            is_ahead,
        }
    }

    /// The period for queries.
    pub(super) fn range(&self) -> Range {
        Range {
            from: self.period.from(),
            to: self.period.to(),
        }
    }

    /// The period with what is exactly at its start.
    pub(super) fn closed(&self) -> Range {
        Range {
            from: self.period.from().saturating_sub(1),
            to: self.period.to(),
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.period.to() - self.period.from()
    }

    /// The ends of the times before and after this one, if there are points.
    pub(super) fn neighbours(&self) -> (Option<u64>, Option<u64>) {
        let earlier = (self.period.from() > self.extent.from()).then_some(self.period.from());
        let later = self.period.to().saturating_add(self.length());
        let later = (self.period.to() < self.extent.to()).then_some(later.min(self.extent.to()));
        (earlier, later)
    }
}

/// The last value of a series, by which series are ranked: of histograms and summaries, the number of values.
pub(super) fn last_value(labels: &Labels) -> f64 {
    let value = match labels.last.as_ref().map(|last| &last.value) {
        None | Some(Value::Gap) => return f64::NEG_INFINITY,
        Some(Value::Number(Number::Int(value))) => *value as f64,
        Some(Value::Number(Number::Double(value))) => *value,
        Some(Value::Explicit(histogram)) => histogram.count as f64,
        Some(Value::Exponential(histogram)) => histogram.count as f64,
        Some(Value::Summary(summary)) => summary.count as f64,
    };
    if value.is_nan() {
        f64::NEG_INFINITY
    } else {
        value
    }
}

/// The nanoseconds between two points of a series: the median of all series.
pub(super) fn interval(series: &[Labels]) -> u64 {
    let intervals = series.iter().filter_map(|one| {
        let last = one.last.as_ref()?;
        // SDKs send no delta for an interval in which nothing was measured.
        if one.temporality == Temporality::Delta && last.start != 0 && last.start < last.time {
            return Some(last.time - last.start);
        }
        let gaps = u64::try_from(one.points).ok()?.checked_sub(1)?;
        last.time.saturating_sub(one.first).checked_div(gaps)
    });
    let mut intervals: Vec<_> = intervals.filter(|interval| *interval > 0).collect();
    intervals.sort_unstable();
    intervals
        .get(intervals.len() / 2)
        .copied()
        .unwrap_or_default()
}
