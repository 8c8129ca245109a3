//! Distributions over time: heatmaps and quantile lines.

use crate::metrics::{
    Range,
    bucket::Estimate,
    distribution::{Distribution, Population},
    rows::{Bounds, Row},
    state::Series,
    window::{self, Window},
};

/// Maximum number of columns.
const MAX_COLUMNS: usize = 1000;

/// Numbers of values by time and by value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heatmap {
    /// The rows, in ascending order.
    pub rows: Vec<Row>,
    /// The columns, in order of time.
    pub columns: Vec<Column>,
    /// Whether each bucket lies within one row. Otherwise, series have different bounds, and buckets are
    /// spread evenly over the rows that they touch.
    pub is_exact: bool,
}

/// A column of a heatmap.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its start, in nanoseconds since the Unix epoch.
    pub from: u64,
    /// Its end, in nanoseconds since the Unix epoch.
    pub to: u64,
    /// Number of values in each row. It has a fraction if a point describes several columns.
    pub cells: Vec<f64>,
}

/// Estimates of quantiles in an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles {
    /// Start of the interval, in nanoseconds since the Unix epoch.
    pub from: u64,
    /// End of the interval, in nanoseconds since the Unix epoch.
    pub to: u64,
    /// Number of values of all points that describe a part of the interval.
    pub count: u64,
    /// An estimate for each requested quantile. `None` without values.
    pub estimates: Vec<Option<Estimate>>,
}

/// The distribution of the values of all series over time, in at most 64 rows.
///
/// Rows of exponential histograms are buckets at a lower scale: powers of two, or equal fractions or
/// multiples of them. Rows of explicit histograms are their buckets.
pub(super) fn heatmap<'a>(
    series: impl Iterator<Item = &'a Series> + Clone,
    range: Range,
    columns: usize,
) -> Heatmap {
    let mut bounds = Bounds::default();
    visit(series.clone(), range, |_, distribution| {
        bounds.add(&distribution);
    });
    let rows = bounds.into_rows();
    let windows: Vec<_> = windows(range, columns).collect();
    let mut cells = vec![vec![0.0; rows.rows.len()]; windows.len()];
    let mut is_exact = true;
    visit(series, range, |window, distribution| {
        let columns = touched(&windows, window);
        for bucket in rows.buckets(distribution) {
            let touched = rows.touched(&bucket);
            is_exact &= touched.len() == 1;
            let count = bucket.count as f64 / touched.len().max(1) as f64;
            for column in columns.clone() {
                let count = count * window.share_in(windows[column]);
                for cell in &mut cells[column][touched.clone()] {
                    *cell += count;
                }
            }
        }
    });
    let columns = windows
        .into_iter()
        .zip(cells)
        .map(|(window, cells)| Column {
            from: window.from,
            to: window.to,
            cells,
        });
    Heatmap {
        columns: columns.collect(),
        rows: rows.rows,
        is_exact,
    }
}

/// The quantiles of the values of all series, in equal intervals.
pub(super) fn quantiles<'a>(
    series: impl Iterator<Item = &'a Series>,
    range: Range,
    columns: usize,
    quantiles: &[f64],
) -> Vec<Quantiles> {
    let windows: Vec<_> = windows(range, columns).collect();
    let mut populations: Vec<_> = windows.iter().map(|_| Population::default()).collect();
    visit(series, range, |window, distribution| {
        for population in &mut populations[touched(&windows, window)] {
            population.add(&distribution);
        }
    });
    let populations = windows.into_iter().zip(populations);
    populations
        .map(|(window, population)| Quantiles {
            from: window.from,
            to: window.to,
            count: population.count(),
            estimates: population.quantiles(quantiles),
        })
        .collect()
}

fn visit<'a>(
    series: impl Iterator<Item = &'a Series>,
    range: Range,
    mut each: impl FnMut(Window, Distribution<'a>),
) {
    for series in series {
        let temporality = series.metric.temporality;
        window::visit(
            &series.ring,
            temporality,
            range,
            Distribution::of,
            &mut each,
        );
    }
}

/// Equal parts of a range.
pub(super) fn windows(range: Range, count: usize) -> impl Iterator<Item = Window> {
    let length = u128::from(range.to.saturating_sub(range.from));
    let count = if length == 0 {
        0
    } else {
        count.clamp(1, MAX_COLUMNS)
    };
    let edge = move |index: usize| {
        let part = length * index as u128 / count as u128;
        range.from + part as u64
    };
    (0..count).map(move |index| Window {
        from: edge(index),
        to: edge(index + 1),
    })
}

/// The indexes of the intervals in which values of a window may be.
pub(super) fn touched(intervals: &[Window], window: Window) -> std::ops::Range<usize> {
    let is_empty = window.from >= window.to;
    let first = intervals.partition_point(|interval| {
        interval.to < window.from || interval.to == window.from && !is_empty
    });
    let end = intervals.partition_point(|interval| interval.from < window.to);
    first..end.max(first)
}

#[cfg(test)]
mod tests;
