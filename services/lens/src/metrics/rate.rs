//! Rates of counters.

use crate::metrics::{
    Range,
    identity::{Kind, Temporality},
    state::Series,
    window::{self, Total, Window},
};

/// Maximum number of steps of a query.
const MAX_STEPS: u64 = 10_000;

/// The rate in one step of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// End of the step, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// The rate per second. `None` where nothing was measured.
    pub per_second: Option<f64>,
}

/// The sum of the rates of series, in steps of this many nanoseconds.
///
/// What a point adds is spread evenly over its window. The rate of a step refers to the part of the step
/// that windows cover.
pub(super) fn rate<'a>(
    series: impl Iterator<Item = &'a Series>,
    range: Range,
    step: u64,
) -> Vec<Rate> {
    let length = range.to.saturating_sub(range.from);
    if length == 0 {
        return Vec::new();
    }
    let step = step.max(length.div_ceil(MAX_STEPS)).max(1);
    let mut rates: Vec<Rate> = (1..=length.div_ceil(step))
        .map(|index| Rate {
            time: range.from + index.saturating_mul(step).min(length),
            per_second: None,
        })
        .collect();
    for series in series.filter(|series| has_rate(series)) {
        add(series, range, step, &mut rates);
    }
    rates
}

fn has_rate(series: &Series) -> bool {
    match series.metric.kind {
        Kind::Gauge | Kind::Sum => false,
        Kind::Counter | Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary => {
            series.metric.temporality != Temporality::Unspecified
        }
    }
}

fn add(series: &Series, range: Range, step: u64, rates: &mut [Rate]) {
    // The amount and the covered nanoseconds of each step.
    let mut steps = vec![(0.0, 0_u64); rates.len()];
    let mut covered = range.from;
    let temporality = series.metric.temporality;
    window::visit(
        &series.ring,
        temporality,
        range,
        Total::of,
        |window, total| {
            let amount = total.0.as_f64();
            // An empty window has no rate. A negative delta breaks the rules of a counter.
            if window.from >= window.to || amount < 0.0 {
                return;
            }
            // Windows of several writers may overlap.
            let new = Window {
                from: window.from.max(covered),
                to: window.to,
            };
            covered = covered.max(window.to);
            let first = window.from.max(range.from) - range.from;
            let last = window.to.min(range.to) - range.from;
            let first = (first / step) as usize;
            let last = last.div_ceil(step) as usize;
            for (index, slot) in steps.iter_mut().enumerate().take(last).skip(first) {
                let from = range.from + index as u64 * step;
                let step = Window {
                    from,
                    to: from.saturating_add(step).min(range.to),
                };
                slot.0 += amount * window.share_in(step);
                slot.1 += new.overlap(step);
            }
        },
    );
    for (rate, (amount, covered)) in rates.iter_mut().zip(steps) {
        if covered > 0 {
            let per_second = amount / (covered as f64 / 1e9);
            *rate.per_second.get_or_insert(0.0) += per_second;
        }
    }
}

#[cfg(test)]
mod tests;
