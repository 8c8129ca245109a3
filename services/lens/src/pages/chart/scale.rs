//! The axis of values.

use super::unit::{Grid, Unit};

/// Number of steps between the ticks of a linear axis, about.
const STEPS: f64 = 4.0;

/// Maximum number of ticks.
const TICKS: usize = 7;

/// Largest absolute value of an axis. Larger ones are drawn at its edge. Steps and units of all values are still finite
/// and not zero.
const LARGEST: f64 = 1e250;

/// An axis of values, with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    kind: Kind,
    ticks: Vec<f64>,
    /// Significant digits that tell the ticks apart.
    digits: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Linear(f64, f64),
    Log(f64, f64),
    /// Rows of equal height, in ascending order.
    Rows(Vec<(f64, f64)>),
}

impl Scale {
    /// A linear axis of these values and zero. Bars and areas need it.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>, unit: &Unit) -> Self {
        Self::linear(values.into_iter().chain([0.0]), unit)
    }

    /// A linear axis of these values. It starts at zero if they are not far from it.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>, unit: &Unit) -> Self {
        let (min, max) = extent(values).unwrap_or_default();
        let zero = (min > 0.0 && min < max * 0.7) || (max < 0.0 && max > min * 0.7);
        Self::linear([min, max].into_iter().chain(zero.then_some(0.0)), unit)
    }

    fn linear(values: impl IntoIterator<Item = f64>, unit: &Unit) -> Self {
        let (mut min, mut max) = extent(values).unwrap_or_default();
        // Below this, the digits of a number end.
        let least = min.abs().max(max.abs()) * 1e-9;
        if max - min <= least {
            let margin = if max == 0.0 { 1.0 } else { max.abs() / 10.0 };
            // Nothing that is measured falls below zero if all of it is zero.
            min = if max == 0.0 { 0.0 } else { min - margin };
            max += margin;
        }
        let step = step((max - min) / STEPS, unit.grid());
        let first = (min / step).floor();
        let count = ((max / step).ceil() - first).clamp(1.0, 12.0) as i32;
        let ticks: Vec<_> = (0..=count)
            .map(|index| (first + f64::from(index)) * step)
            .collect();
        let (min, max) = (ticks[0], ticks[ticks.len() - 1]);
        let largest = min.abs().max(max.abs());
        let digits = (largest / step).log10().ceil().clamp(2.0, 11.0) as usize + 1;
        Self {
            kind: Kind::Linear(min, max),
            ticks,
            digits,
        }
    }

    /// A logarithmic axis of these values. Those that are not positive are drawn at the lower edge.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>, unit: &Unit) -> Self {
        let positive = values.into_iter().filter(|value| *value > 0.0);
        let (min, max) = extent(positive).unwrap_or((1.0, 10.0));
        let min = min.max(1.0 / LARGEST);
        let max = max.max(min);
        let [fine, coarse] = rounds(min, max, unit.grid());
        let from = fine.partition_point(|round| *round <= min * (1.0 + 1e-9));
        let from = from.saturating_sub(1);
        let to = fine.partition_point(|round| *round < max * (1.0 - 1e-9));
        let mut to = to.min(fine.len().saturating_sub(1));
        if from == to {
            to = (to + 1).min(fine.len().saturating_sub(1));
        }
        let range = fine.get(from..=to).unwrap_or_default().to_vec();
        let (min, max) = match (range.first(), range.last()) {
            (Some(min), Some(max)) if min < max => (*min, *max),
            _ => (min / 2.0, max * 2.0),
        };
        let mut ticks = range;
        if ticks.len() > TICKS {
            ticks = coarse;
            ticks.retain(|tick| (min..=max).contains(tick));
        }
        if ticks.len() > TICKS {
            let every = ticks.len().div_ceil(TICKS);
            ticks = ticks.into_iter().step_by(every).collect();
        }
        Self {
            kind: Kind::Log(min, max),
            ticks,
            digits: 3,
        }
    }

    /// An axis of rows of equal height: those of a heatmap, from `lower` to `upper`, in ascending order. Bounds may be
    /// infinite.
    pub(crate) fn rows(rows: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let rows: Vec<_> = rows.into_iter().collect();
        let every = rows.len().div_ceil(TICKS - 1).max(1);
        let uppers = rows.iter().map(|(_, upper)| *upper);
        let finite: Vec<_> = uppers.filter(|upper| upper.is_finite()).collect();
        let ticks = finite.into_iter().rev().step_by(every).collect();
        Self {
            kind: Kind::Rows(rows),
            ticks,
            digits: 3,
        }
    }

    /// Rows with ticks at round numbers, if there are too many bounds of positive rows to be ticks.
    #[must_use]
    pub(crate) fn with_round_ticks(mut self, unit: &Unit) -> Self {
        let Kind::Rows(rows) = &self.kind else {
            return self;
        };
        let is_positive = rows
            .iter()
            .all(|(lower, upper)| *lower > 0.0 && upper.is_finite());
        if is_positive && rows.len() >= 2 * TICKS {
            let bounds = rows.iter().flat_map(|(lower, upper)| [*lower, *upper]);
            let (min, max) = extent(bounds).unwrap_or((1.0, 10.0));
            let mut ticks = Self::log([min, max], unit).ticks;
            ticks.retain(|tick| (min..=max).contains(tick));
            if ticks.len() > 1 {
                self.ticks = ticks;
            }
        }
        self
    }

    /// The place of a value: 0 at the lower edge, 1 at the upper edge. `None` if it is not a number.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        let value = value.clamp(-LARGEST, LARGEST);
        Some(match &self.kind {
            Kind::Linear(min, max) => ((value - min) / (max - min)).clamp(0.0, 1.0),
            Kind::Log(..) if value <= 0.0 => 0.0,
            Kind::Log(min, max) => {
                let (min, max) = (min.ln(), max.ln());
                ((value.ln() - min) / (max - min)).clamp(0.0, 1.0)
            }
            Kind::Rows(rows) => place_in(rows, value),
        })
    }

    /// The edges of the row from `lower` to `upper`, as places.
    pub(super) fn band(&self, lower: f64, upper: f64) -> Option<(f64, f64)> {
        if let Kind::Rows(rows) = &self.kind {
            let count = rows.len() as f64;
            let index = rows.iter().position(|row| *row == (lower, upper))? as f64;
            return Some((index / count, (index + 1.0) / count));
        }
        let band = (self.place(lower)?, self.place(upper)?);
        (band.0 < band.1).then_some(band)
    }

    /// Ticks and their texts.
    pub(super) fn ticks<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = (f64, String)> + 'a {
        self.ticks
            .iter()
            .filter_map(|tick| Some((self.place(*tick)?, unit.tick(*tick, self.digits))))
    }
}

/// The place of a value on rows of equal height.
fn place_in(rows: &[(f64, f64)], value: f64) -> f64 {
    let index = rows.partition_point(|(_, upper)| *upper < value);
    let Some((lower, upper)) = rows.get(index) else {
        return if rows.is_empty() { 0.0 } else { 1.0 };
    };
    let share = if value < *lower {
        0.0
    } else if !(lower.is_finite() && upper.is_finite()) || lower >= upper {
        // The top of a row is its upper bound, even where the row is a single value.
        f64::from(u8::from(value >= *upper))
    } else if *lower > 0.0 {
        (value / lower).ln() / (upper / lower).ln()
    } else if *upper < 0.0 {
        1.0 - (value / upper).ln() / (lower / upper).ln()
    } else {
        (value - lower) / (upper - lower)
    };
    ((index as f64 + share.clamp(0.0, 1.0)) / rows.len() as f64).clamp(0.0, 1.0)
}

/// The smallest and the largest finite value.
fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.into_iter().filter(|value| value.is_finite());
    values.fold(None, |range, value| {
        let value = value.clamp(-LARGEST, LARGEST);
        Some(range.map_or((value, value), |(min, max): (f64, f64)| {
            (min.min(value), max.max(value))
        }))
    })
}

/// The smallest round step that is not below this one.
fn step(least: f64, grid: Grid) -> f64 {
    const TIMES: [f64; 13] = [
        30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 21_600.0,
        43_200.0, 86_400.0,
    ];
    let least = least.max(f64::MIN_POSITIVE);
    match grid {
        Grid::Binary(byte) if least >= 2.0 * byte => (least / byte).log2().ceil().exp2() * byte,
        Grid::Time(unit) if least * unit > 20.0 => {
            let time = TIMES.iter().find(|time| **time >= least * unit);
            time.map_or_else(|| decimal(least * unit / 86_400.0) * 86_400.0, |time| *time) / unit
        }
        Grid::Decimal | Grid::Binary(_) | Grid::Time(_) => decimal(least),
    }
}

/// 1, 2 or 5 times a power of ten.
fn decimal(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let mut rounds = factors.map(|factor| factor * power);
    rounds
        .find(|round| *round >= least * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

/// Round numbers from below `min` to above `max`: many, and few.
fn rounds(min: f64, max: f64, grid: Grid) -> [Vec<f64>; 2] {
    let decimals = |min: f64, max: f64, factors: &'static [f64]| {
        let powers = (min.log10().floor() as i32 - 1)..=(max.log10().ceil() as i32 + 1);
        powers.flat_map(move |power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
    };
    match grid {
        Grid::Decimal => {
            [&[1.0, 2.0, 5.0][..], &[1.0]].map(|factors| decimals(min, max, factors).collect())
        }
        Grid::Binary(byte) => [1, 10].map(|every| {
            let first = (min / byte).log2().floor() as i32 - every;
            let last = (max / byte).log2().ceil() as i32 + every;
            let powers = first.div_euclid(every)..=last.div_euclid(every);
            powers
                .map(|power| f64::from(power * every).exp2() * byte)
                .collect()
        }),
        Grid::Time(unit) => {
            const TIMES: [&[f64]; 2] = [
                &[
                    30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 18_000.0,
                ],
                &[60.0, 600.0, 3_600.0],
            ];
            const TEN_HOURS: f64 = 36_000.0;

            let (min, max) = (min * unit, max * unit);
            [&[1.0, 2.0, 5.0][..], &[1.0]]
                .into_iter()
                .zip(TIMES)
                .map(|(factors, times)| {
                    let short = decimals(min, max.min(20.0), factors);
                    let short = short.filter(|time| *time < 21.0);
                    let long = decimals(min / TEN_HOURS, max / TEN_HOURS, factors);
                    let long = long.map(|time| time * TEN_HOURS);
                    let long = long.filter(|time| *time >= 0.9 * TEN_HOURS);
                    let long: Vec<_> = short.chain(times.iter().copied()).chain(long).collect();
                    long.into_iter().map(|time| time / unit).collect()
                })
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or_default()
        }
    }
}
