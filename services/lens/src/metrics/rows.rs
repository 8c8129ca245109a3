//! The rows of a heatmap.

use std::sync::Arc;

use crate::metrics::{
    bucket::Bucket,
    distribution::Distribution,
    exponential::{self, Exponential},
};

/// Maximum number of rows.
const MAX_ROWS: usize = 64;

/// Maximum number of different bounds of explicit histograms that are considered.
const MAX_BOUNDS: usize = 4096;

/// A row of a heatmap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The exclusive lower bound, in the unit of the metric. It may be negative infinity.
    pub lower: f64,
    /// The inclusive upper bound, in the unit of the metric. It may be infinity.
    pub upper: f64,
}

/// The bounds of the histograms that a heatmap shows.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// The union of all exponential histograms.
    exponential: Option<Exponential>,
    /// The ascending bounds of all explicit histograms, if there are any.
    explicit: Option<Vec<f64>>,
    /// The bounds that were added last.
    last: Option<Arc<[f64]>>,
}

/// Rows, and the resolution that exponential histograms need to fit into them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    scale: i32,
    zero_threshold: f64,
}

impl Bounds {
    pub(super) fn add(&mut self, distribution: &Distribution<'_>) {
        match distribution {
            Distribution::Exponential(more) => match &mut self.exponential {
                Some(merged) => merged.merge(more),
                None => self.exponential = Some(more.clone().into_owned()),
            },
            Distribution::Explicit(more) => {
                // Most points share the bounds of the previous one.
                let last = self.last.as_ref();
                if last.is_some_and(|last| Arc::ptr_eq(last, &more.bounds)) {
                    return;
                }
                self.last = Some(Arc::clone(&more.bounds));
                let all = self.explicit.get_or_insert_default();
                for bound in &*more.bounds {
                    let place = all.partition_point(|other| other < bound);
                    if all.get(place) != Some(bound) {
                        all.insert(place, *bound);
                    }
                }
                if all.len() > MAX_BOUNDS {
                    thin(all);
                }
            }
        }
    }

    /// At most 64 rows for all histograms.
    pub(super) fn into_rows(self) -> Rows {
        let mut rows = Rows::default();
        if let Some(mut merged) = self.exponential {
            merged.reduce(merged.scale, merged.zero_threshold);
            while rows_of(&merged).len() > MAX_ROWS {
                merged.reduce(merged.scale - 1, merged.zero_threshold);
            }
            rows.scale = merged.scale;
            rows.zero_threshold = merged.zero_threshold;
            rows.rows = rows_of(&merged);
        }
        let Some(mut edges) = self.explicit else {
            return rows;
        };
        edges.extend(rows.rows.iter().flat_map(|row| [row.lower, row.upper]));
        edges.extend([f64::NEG_INFINITY, f64::INFINITY]);
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        while edges.len() > MAX_ROWS + 1 {
            thin(&mut edges);
        }
        let edges = edges.windows(2).map(|edges| Row {
            lower: edges[0],
            upper: edges[1],
        });
        rows.rows = edges.collect();
        rows
    }
}

impl Rows {
    /// The buckets of a histogram at the resolution of the rows.
    pub(super) fn buckets(&self, distribution: Distribution<'_>) -> Vec<Bucket> {
        match distribution {
            Distribution::Explicit(histogram) => histogram.whole_buckets(),
            Distribution::Exponential(histogram) => {
                let mut histogram = histogram.into_owned();
                histogram.reduce(self.scale, self.zero_threshold);
                histogram.whole_buckets()
            }
        }
    }

    /// The indexes of the rows that a bucket touches.
    pub(super) fn touched(&self, bucket: &Bucket) -> std::ops::Range<usize> {
        let rows = &self.rows;
        if bucket.lower < bucket.upper {
            let first = rows.partition_point(|row| row.upper <= bucket.lower);
            let end = rows.partition_point(|row| row.lower < bucket.upper);
            return first..end.max(first);
        }
        // Values that are exactly zero.
        let first = rows.partition_point(|row| row.upper < bucket.upper);
        first..(first + 1).min(rows.len())
    }
}

/// A row for each bucket from the first to the last one with values, of both signs and of zero.
fn rows_of(histogram: &Exponential) -> Vec<Row> {
    let bound = |index| exponential::bound(index, histogram.scale);
    let negative = histogram.negative.range_at(0).into_iter();
    let negative = negative
        .flat_map(|(first, last)| (first..=last).rev())
        .map(|index| Row {
            lower: -bound(index + 1),
            upper: -bound(index),
        });
    let zero = (histogram.zero_count > 0).then_some(Row {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
    });
    let positive = histogram.positive.range_at(0).into_iter();
    let positive = positive
        .flat_map(|(first, last)| first..=last)
        .map(|index| Row {
            lower: bound(index),
            upper: bound(index + 1),
        });
    negative.chain(zero).chain(positive).collect()
}

/// Removes every second edge except for the last one: pairs of rows become one.
fn thin(edges: &mut Vec<f64>) {
    let last = edges.len() - 1;
    let mut index = 0;
    edges.retain(|_| {
        let is_kept = index % 2 == 0 || index == last;
        index += 1;
        is_kept
    });
}
