//! Means of histograms and summaries over time.

use crate::metrics::{
    Range,
    heatmap::{touched, windows},
    point::Value,
    state::Series,
    window::{self, Cumulative},
};

/// The mean of the values in an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Start of the interval, in nanoseconds since the Unix epoch.
    pub from: u64,
    /// End of the interval, in nanoseconds since the Unix epoch.
    pub to: u64,
    /// The mean, in the unit of the metric. `None` without values.
    pub mean: Option<f64>,
}

/// The number of values and their sum.
#[derive(Clone, Copy, Debug)]
struct Moments {
    count: u64,
    sum: f64,
}

impl Moments {
    /// `None` for points without a sum.
    fn of(value: &Value) -> Option<Self> {
        let (count, sum) = match value {
            Value::Gap | Value::Number(_) => return None,
            Value::Explicit(histogram) => (histogram.count, histogram.sum?),
            Value::Exponential(histogram) => (histogram.count, histogram.sum?),
            Value::Summary(summary) => (summary.count, summary.sum),
        };
        Some(Self { count, sum })
    }
}

impl Cumulative for Moments {
    fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            count: self.count.checked_sub(earlier.count)?,
            sum: self.sum - earlier.sum,
        })
    }
}

/// The means of the values of all series, in equal intervals. What a point adds is spread evenly over its window.
pub(super) fn means<'a>(
    series: impl Iterator<Item = &'a Series>,
    range: Range,
    columns: usize,
) -> Vec<Mean> {
    let windows: Vec<_> = windows(range, columns).collect();
    let mut totals = vec![(0.0, 0.0); windows.len()];
    for series in series {
        let temporality = series.metric.temporality;
        window::visit(
            &series.ring,
            temporality,
            range,
            Moments::of,
            |window, moments| {
                for column in touched(&windows, window) {
                    let share = window.share_in(windows[column]);
                    totals[column].0 += moments.count as f64 * share;
                    totals[column].1 += moments.sum * share;
                }
            },
        );
    }
    let totals = windows.into_iter().zip(totals);
    totals
        .map(|(window, (count, sum))| Mean {
            from: window.from,
            to: window.to,
            mean: (count > 0.0).then_some(sum / count),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::metrics::testing::{
        CUMULATIVE, DELTA, explicit_of, explicit_point, histogram, ids, request, seconds, store,
    };

    #[test]
    fn means_of_cumulative_histograms_are_those_of_what_was_added() {
        let metrics = store();
        let points = [(10, &[1.0, 3.0][..]), (20, &[1.0, 3.0, 8.0])];
        let points =
            points.map(|(time, values)| explicit_point(0, time, &explicit_of(values, &[])));
        metrics.insert(&request(vec![histogram(CUMULATIVE, points.to_vec())]));
        let means = metrics.means(&ids(&metrics), seconds(0, 20), 2);
        let means: Vec<_> = means.into_iter().map(|one| one.mean).collect();
        // The first point has no start, so what it adds is not known.
        assert_eq!(means, [None, Some(8.0)]);
    }

    #[test]
    fn histograms_without_a_sum_have_no_mean() {
        let metrics = store();
        let mut one = explicit_of(&[1.0], &[]);
        one.sum = None;
        metrics.insert(&request(vec![histogram(
            DELTA,
            vec![explicit_point(5, 10, &one)],
        )]));
        let mean = || metrics.means(&ids(&metrics), seconds(0, 20), 1)[0].mean;
        assert_eq!(mean(), None);
        let two = explicit_of(&[2.0, 4.0], &[]);
        metrics.insert(&request(vec![histogram(
            DELTA,
            vec![explicit_point(10, 20, &two)],
        )]));
        assert_eq!(mean(), Some(3.0));
    }
}
