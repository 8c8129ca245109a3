//! Charts of lines with their legend and table.

use std::borrow::Cow;

use maud::{Markup, html};

use super::super::chart::{Dot, Head, Mark, Period, Plot, Scale, Slice, Tone, Unit, legend, table};

/// Intervals of a chart.
pub(super) const STEPS: u64 = 120;

/// Intervals of which lines are level, because their middles would be dots.
const FEW: usize = 3;

/// Lines over common intervals.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) unit: Unit,
    /// The start and the end of each interval.
    pub(super) intervals: Vec<(u64, u64)>,
    pub(super) lines: Vec<Line>,
    /// Whether the axis has to start at zero.
    pub(super) from_zero: bool,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// The value in each interval.
    pub(super) values: Vec<Option<f64>>,
    /// What is said in place of the values that are not known. Empty if nothing is.
    pub(super) instead: Vec<Option<String>>,
    /// The points of a single series, which are drawn in place of the values.
    pub(super) points: Option<Vec<(u64, Option<f64>)>>,
}

/// Equal parts of a period.
pub(super) fn intervals(period: Period, count: u64) -> Vec<(u64, u64)> {
    let length = u128::from(period.to() - period.from());
    let edge = |index: u64| {
        let part = length * u128::from(index) / u128::from(count.max(1));
        period.from() + part as u64
    };
    (0..count)
        .map(|index| (edge(index), edge(index + 1)))
        .collect()
}

impl Line {
    /// A line with one value for each interval.
    pub(super) fn new(name: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        Self {
            name: name.into(),
            values,
            instead: Vec::new(),
            points: None,
        }
    }

    /// The value in an interval as text, or what is said in its place.
    fn text(&self, index: usize, unit: &Unit) -> Option<Cow<'_, str>> {
        match self.values.get(index).copied().flatten() {
            Some(value) => Some(unit.text(value).into()),
            None => self.instead.get(index)?.as_deref().map(Cow::Borrowed),
        }
    }

    fn all(&self) -> impl Iterator<Item = f64> + '_ {
        let points = self.points.iter().flatten().filter_map(|(_, value)| *value);
        self.values.iter().flatten().copied().chain(points)
    }
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.all().next().is_none())
    }

    /// The chart. `label` says what it shows.
    pub(super) fn chart(&self, label: &str, period: Period, dots: Vec<Dot>) -> Markup {
        let values = self.lines.iter().flat_map(Line::all);
        let values = values.chain(dots.iter().map(|dot| dot.value));
        let scale = match self.from_zero {
            true => Scale::from_zero(values, &self.unit),
            false => Scale::around(values, &self.unit),
        };
        self.chart_on(scale, label, period, dots)
    }

    /// The chart with another axis.
    pub(super) fn chart_on(
        &self,
        scale: Scale,
        label: &str,
        period: Period,
        dots: Vec<Dot>,
    ) -> Markup {
        let mut plot = Plot::new(period, scale, self.unit.clone());
        let is_single = self.lines.len() == 1;
        for (index, line) in self.lines.iter().enumerate() {
            let tone = Tone::Series(index);
            plot = match &line.points {
                Some(points) => plot.steps(tone, points.iter().copied()),
                None if is_single && self.from_zero => plot.area(tone, self.flat(line)),
                None => plot.line(tone, self.flat(line)),
            };
        }
        let figure = plot.slices(self.slices()).dots(dots).figure(label);
        html! {
            (figure)
            @if self.lines.len() > 1 {
                (legend(self.lines.iter().enumerate().map(|(index, line)| {
                    (Tone::Series(index), Mark::Line, html! { bdi { (line.name) } })
                })))
            }
            (self.table(label))
        }
    }

    /// A line that is level within each interval, or leads from one middle to the next if there are many lines.
    fn flat<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = (u64, Option<f64>)> + 'a {
        let is_level = self.lines.len() == 1 || self.intervals.len() <= FEW;
        let values = self.intervals.iter().zip(&line.values);
        values.flat_map(move |((from, to), value)| {
            let middle = from + (to - from) / 2;
            let times = match is_level {
                true => [Some(*from), Some(*to)],
                false => [Some(middle), None],
            };
            let times = times.into_iter().flatten();
            times.map(|time| (time, *value))
        })
    }

    fn slices(&self) -> impl Iterator<Item = Slice> + '_ {
        let intervals = self.intervals.iter().enumerate();
        intervals.filter_map(move |(index, (from, to))| {
            let lines = self.lines.iter().filter_map(|line| {
                let value = line.text(index, &self.unit)?;
                Some(format!("\n{}: {value}", line.name))
            });
            let lines: String = lines.collect();
            (!lines.is_empty()).then(|| Slice {
                from: *from,
                to: *to,
                title: format!("{} UTC{lines}", Period::part(*from, *to)),
                href: None,
            })
        })
    }

    /// The values as a table.
    pub(super) fn table(&self, label: &str) -> Markup {
        let names = self.lines.iter().map(|line| Head::Number(&line.name));
        let head: Vec<_> = [Head::Text("Time (UTC)")]
            .into_iter()
            .chain(names)
            .collect();
        let intervals = self.intervals.iter().enumerate();
        let rows = intervals.filter_map(|(index, (from, to))| {
            let lines = self.lines.iter();
            let texts: Vec<_> = lines.map(|line| line.text(index, &self.unit)).collect();
            texts.iter().any(Option::is_some).then(|| {
                let time = html! { (Period::part(*from, *to)) };
                let texts = texts.iter();
                let texts = texts.map(|text| html! { (text.as_deref().unwrap_or("–")) });
                [time].into_iter().chain(texts).collect()
            })
        });
        table(&format!("{label} as a table"), &head, rows)
    }
}
