//! Values, rates and means of groups of series.

use super::{
    super::chart::Unit,
    lines::{Line, Lines, STEPS, intervals},
    select::{Group, Span},
};
use crate::metrics::{Kind, Metrics, Point, SeriesId, Value};

/// Intervals between points after which a series has a gap, if no point said so.
const HOLD: u64 = 4;

/// Reads the points of series for charts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) span: &'a Span,
    /// The nanoseconds between points. 0 if that is not known.
    pub(super) interval: u64,
    pub(super) unit: &'a str,
    pub(super) kind: Kind,
}

impl Reader<'_> {
    /// A chart without lines.
    pub(super) fn nothing(&self) -> Lines {
        self.lines(Vec::new())
    }

    /// The number of intervals: not more than there are points.
    pub(super) fn columns(&self, most: u64) -> u64 {
        let points = self.span.length().checked_div(self.interval);
        points.unwrap_or(1).clamp(1, most)
    }

    /// The rates of groups per second.
    pub(super) fn rates(&self, groups: &[Group]) -> Lines {
        let unit = match self.kind {
            Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary => Unit::new("{value}"),
            Kind::Gauge | Kind::Sum | Kind::Counter => Unit::new(self.unit),
        };
        let range = self.span.range();
        let step = (range.to - range.from).div_ceil(self.columns(STEPS));
        let lines = groups.iter().map(|group| {
            let rates = self.metrics.rate(&group.ids, range, step);
            let values = rates.iter().map(|rate| rate.per_second).collect();
            Line::new(&*group.name, values)
        });
        let lines: Vec<_> = lines.collect();
        let count = lines.first().map_or(0, |line| line.values.len() as u64);
        let edge = |index: u64| range.from.saturating_add(index * step).min(range.to);
        Lines {
            unit: unit.per_second(),
            intervals: (0..count)
                .map(|index| (edge(index), edge(index + 1)))
                .collect(),
            lines,
            from_zero: true,
        }
    }

    /// The means of groups.
    pub(super) fn means(&self, groups: &[Group]) -> Lines {
        let count = self.columns(STEPS);
        let lines = groups.iter().map(|group| {
            let means = self
                .metrics
                .means(&group.ids, self.span.range(), count as usize);
            Line::new(&*group.name, means.iter().map(|mean| mean.mean).collect())
        });
        Lines {
            intervals: intervals(self.span.period, count),
            ..self.lines(lines.collect())
        }
    }

    /// The values of groups: of single series as they came, of others their sum. Gauges cannot be added up, so that
    /// groups of them have means.
    pub(super) fn values(&self, groups: &[Group]) -> Lines {
        let lines = groups.iter().map(|group| {
            let mut sums = vec![(0.0, 0_u32); STEPS as usize];
            let mut points = None;
            for id in &group.ids {
                let read = self.metrics.points(*id, self.span.closed());
                for ((sum, count), value) in sums.iter_mut().zip(self.sample(&read, number)) {
                    if let Some(value) = value {
                        *sum += value;
                        *count += 1;
                    }
                }
                points = (group.ids.len() == 1).then(|| self.raw(&read, number));
            }
            let values = sums.into_iter().map(|(sum, count)| match self.kind {
                _ if count == 0 => None,
                Kind::Gauge => Some(sum / f64::from(count)),
                _ => Some(sum),
            });
            Line {
                points,
                ..Line::new(&*group.name, values.collect())
            }
        });
        self.lines(lines.collect())
    }

    /// The quantiles that the client of a series has calculated.
    pub(super) fn summary(&self, series: SeriesId) -> Lines {
        let read = self.metrics.points(series, self.span.closed());
        let mut quantiles: Vec<f64> = Vec::new();
        for point in &read {
            if let Value::Summary(summary) = &point.value {
                quantiles.extend(summary.quantiles.iter().map(|(quantile, _)| *quantile));
            }
        }
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup();
        let lines = quantiles.into_iter().map(|quantile| {
            let value = |value: &Value| match value {
                Value::Summary(summary) => {
                    let mut found = summary.quantiles.iter();
                    found
                        .find(|(one, _)| *one == quantile)
                        .map(|(_, value)| *value)
                }
                _ => None,
            };
            Line {
                points: Some(self.raw(&read, value)),
                ..Line::new(quantile_name(quantile), self.sample(&read, value))
            }
        });
        self.lines(lines.collect())
    }

    fn lines(&self, lines: Vec<Line>) -> Lines {
        Lines {
            unit: Unit::new(self.unit),
            intervals: intervals(self.span.period, STEPS),
            lines,
            from_zero: false,
        }
    }

    /// The value at the end of each interval: that of the point before it, unless that was long ago.
    fn sample(&self, points: &[Point], value: impl Fn(&Value) -> Option<f64>) -> Vec<Option<f64>> {
        let hold = self.interval.saturating_mul(HOLD);
        let intervals = intervals(self.span.period, STEPS);
        let values = intervals.iter().map(|(from, to)| {
            let before = points.partition_point(|point| point.time <= *to);
            let point = points.get(before.checked_sub(1)?)?;
            let is_recent = point.time >= *from || to - point.time <= hold;
            let value = is_recent.then(|| value(&point.value)).flatten();
            value.filter(|value| value.is_finite())
        });
        values.collect()
    }

    /// Points as they came, with a gap where none came for long.
    fn raw(
        &self,
        points: &[Point],
        value: impl Fn(&Value) -> Option<f64>,
    ) -> Vec<(u64, Option<f64>)> {
        let hold = self.interval.saturating_mul(HOLD);
        let mut raw = Vec::with_capacity(points.len());
        let mut last = None;
        for point in points {
            if let Some(last) = last
                && hold > 0
                && point.time.saturating_sub(last) > hold
            {
                raw.push((last, None));
            }
            raw.push((point.time, value(&point.value)));
            last = Some(point.time);
        }
        raw
    }
}

/// The name of a quantile: `p99.9`.
pub(super) fn quantile_name(quantile: f64) -> String {
    match quantile {
        0.0 => "minimum".to_owned(),
        1.0 => "maximum".to_owned(),
        // Without the error of binary fractions.
        _ => format!("p{}", (quantile * 1e8).round() / 1e6),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(number.as_f64()),
        _ => None,
    }
}
