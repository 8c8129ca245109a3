//! Histograms: heatmap, quantiles, rates and means.

use maud::{Markup, html};

use super::{
    super::chart::{Cell, Dot, Period, Plot, Scale, Unit, heat_legend},
    lines::{Line, Lines, STEPS, intervals},
    select::Group,
    values::{Reader, quantile_name},
};
use crate::metrics::{Estimate, Heatmap, Quantiles, SeriesId};

/// The quantiles that are shown.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Columns of a heatmap at most.
const COLUMNS: u64 = 80;

/// What a page shows of histograms.
#[derive(Debug)]
pub(super) struct Histograms {
    unit: Unit,
    heatmap: Heatmap,
    /// The quantiles over time.
    pub(super) quantiles: Lines,
    /// The quantiles of all values.
    whole: Option<Quantiles>,
    pub(super) rates: Lines,
    pub(super) means: Lines,
}

impl Histograms {
    pub(super) fn read(reader: &Reader<'_>, series: &[SeriesId], groups: &[Group]) -> Self {
        let range = reader.span.range();
        let columns = reader.columns(STEPS);
        let metrics = reader.metrics;
        let over_time = metrics.quantiles(series, range, columns as usize, &QUANTILES);
        let unit = Unit::new(reader.unit);
        let lines = QUANTILES.iter().enumerate().map(|(index, quantile)| {
            let estimates = over_time.iter();
            let estimates = estimates.map(|one| one.estimates.get(index).copied().flatten());
            let texts = estimates.clone().map(|estimate| {
                let rough = estimate.filter(|estimate| !is_drawn(estimate))?;
                Some(between(rough.lower, rough.upper, &unit))
            });
            let values = estimates.map(|estimate| Some(estimate.filter(is_drawn)?.value));
            Line {
                instead: texts.collect(),
                ..Line::new(quantile_name(*quantile), values.collect())
            }
        });
        Self {
            quantiles: Lines {
                unit: unit.clone(),
                lines: lines.collect(),
                intervals: intervals(reader.span.period, columns),
                from_zero: false,
            },
            heatmap: metrics.heatmap(series, range, reader.columns(COLUMNS) as usize),
            whole: metrics.quantiles(series, range, 1, &QUANTILES).pop(),
            rates: reader.rates(groups),
            means: reader.means(groups),
            unit,
        }
    }

    /// The heatmap with exemplars.
    pub(super) fn heatmap(&self, period: Period, dots: Vec<Dot>) -> Markup {
        let mut cells = Vec::new();
        for column in &self.heatmap.columns {
            for (row, count) in self.heatmap.rows.iter().zip(&column.cells) {
                if *count > 0.0 {
                    cells.push(Cell {
                        from: column.from,
                        to: column.to,
                        lower: row.lower,
                        upper: row.upper,
                        count: *count,
                        title: format!(
                            "{} UTC\n{}: {}",
                            Period::part(column.from, column.to),
                            between(row.lower, row.upper, &self.unit),
                            values(*count),
                        ),
                    });
                }
            }
        }
        let rows = self.heatmap.rows.iter().map(|row| (row.lower, row.upper));
        let most = cells.iter().map(|cell| cell.count).fold(0.0, f64::max);
        let is_spread = cells.iter().any(|cell| !is_whole(cell.count));
        let plot = Plot::new(
            period,
            Scale::rows(rows).with_round_ticks(&self.unit),
            self.unit.clone(),
        );
        html! {
            (plot.cells(&cells).dots(dots).figure("Numbers of values by time and value"))
            (heat_legend(&values(most)))
            @if is_spread {
                p.hint { "A point that covers several cells has its values spread evenly over them." }
            }
            @if !self.heatmap.is_exact {
                p.hint {
                    "The series have different bounds. Values of a bucket that several rows share are spread evenly."
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.whole.as_ref().is_none_or(|whole| whole.count == 0)
    }

    /// The quantiles over time. Those that are not known well enough for a line are in the table.
    pub(super) fn quantile_chart(&self, period: Period) -> Markup {
        let lines = || self.quantiles.lines.iter();
        let values = || lines().flat_map(|line| line.values.iter().flatten().copied());
        let is_rough = lines().any(|line| line.instead.iter().any(Option::is_some));
        let scale = match values().all(|value| value > 0.0) {
            true => Scale::log(values(), &self.unit),
            false => Scale::around(values(), &self.unit),
        };
        html! {
            @if is_rough {
                p.hint {
                    "A quantile has no line where its bucket has no bound, or where one bound is more than 3 times \
                     the other. Tables show these bounds."
                }
            }
            @if self.quantiles.is_empty() {
                (self.quantiles.table("Quantiles"))
            } @else {
                (self.quantiles.chart_on(scale, "Quantiles", period, Vec::new()))
            }
        }
    }

    /// The quantiles of all values, with the bounds of their errors.
    pub(super) fn whole(&self) -> Markup {
        let Some(whole) = &self.whole else {
            return html! {};
        };
        html! {
            h3 { "Of all values in this time" }
            div.table tabindex="0" role="region" aria-label="Quantiles of all values in this time" {
                table.quantiles {
                    thead {
                        tr {
                            th scope="col" { "Quantile" }
                            th scope="col" { "Estimate" }
                            th scope="col" { "True value" }
                            th scope="col" { "Error" }
                        }
                    }
                    tbody {
                        @for (quantile, estimate) in QUANTILES.iter().zip(&whole.estimates) {
                            tr {
                                th scope="row" { (quantile_name(*quantile)) }
                                @match estimate {
                                    Some(estimate) if is_drawn(estimate) => {
                                        td { (self.unit.text(estimate.value)) }
                                        td { (between(estimate.lower, estimate.upper, &self.unit)) }
                                        td { (error(*estimate)) }
                                    }
                                    Some(estimate) => {
                                        td { "not known" }
                                        td { (between(estimate.lower, estimate.upper, &self.unit)) }
                                        td { "–" }
                                    }
                                    None => td colspan="3" { "no values" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a number of values has no fraction.
fn is_whole(count: f64) -> bool {
    (count - count.round()).abs() < 1e-6
}

/// A number of values in a cell. A point that covers several cells gives each of them a part of its values.
fn values(count: f64) -> String {
    let text = Unit::new("{value}").text(count.round());
    match is_whole(count) {
        true => text,
        false if count < 1.0 => "less than 1 value".to_owned(),
        false => format!("about {text}"),
    }
}

/// Whether an estimate says enough to be shown as a value.
fn is_drawn(estimate: &Estimate) -> bool {
    !estimate.is_rough && estimate.value.is_finite()
}

/// Where values between two bounds are.
fn between(lower: f64, upper: f64, unit: &Unit) -> String {
    let text = |value| unit.text(value);
    match (lower.is_finite(), upper.is_finite()) {
        _ if lower == upper => format!("exactly {}", text(upper)),
        (true, true) => format!("{} to {}", text(lower), text(upper)),
        (true, false) => format!("above {}", text(lower)),
        (false, true) => format!("up to {}", text(upper)),
        (false, false) => "any value".to_owned(),
    }
}

/// The largest relative error that an estimate can have.
fn error(estimate: Estimate) -> String {
    let Estimate {
        value,
        lower,
        upper,
        ..
    } = estimate;
    if lower == upper {
        return "none".to_owned();
    }
    let has_sign = lower > 0.0 || upper < 0.0;
    if !(has_sign && lower.is_finite() && upper.is_finite()) {
        return "no bound".to_owned();
    }
    let of = |bound: f64| ((value - bound) / bound).abs();
    let percent = Unit::new("%").text(of(lower).max(of(upper)) * 100.0);
    format!("at most {percent}")
}
