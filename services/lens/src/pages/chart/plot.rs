//! The marks of a chart and its axes.

use maud::{Markup, html};

use super::{
    Period, Scale, Shape, Tone, Unit,
    path::{SIZE, coordinate, percent, runs, stairs, straight},
};

/// Least height of a part of a bar, so that one error among thousands of messages is seen.
const LEAST: f64 = 0.015;

/// The classes of a heatmap's cells, from few to many values.
pub(super) const HEAT: [&str; 10] = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9"];

/// A chart of values over time. Later layers are above earlier ones.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    period: Period,
    scale: Scale,
    unit: Unit,
    layers: Vec<Markup>,
    has_links: bool,
}

/// A bar over a part of the period, with parts one above the other.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The parts, from the bottom up.
    pub(crate) parts: Vec<(Tone, f64)>,
    pub(crate) title: String,
    pub(crate) href: Option<String>,
}

/// A single value. `href` makes it a link.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    pub(crate) time: u64,
    pub(crate) value: f64,
    pub(crate) shape: Shape,
    pub(crate) tone: Tone,
    pub(crate) title: String,
    pub(crate) href: Option<String>,
}

/// A cell of a heatmap.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
    pub(crate) title: String,
}

/// A part of the period that shows its title under the pointer, over the whole height.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) title: String,
    pub(crate) href: Option<String>,
}

impl Plot {
    pub(crate) fn new(period: Period, scale: Scale, unit: Unit) -> Self {
        Self {
            period,
            scale,
            unit,
            layers: Vec::new(),
            has_links: false,
        }
    }

    /// A line through values at times in ascending order. `None` is a gap.
    #[must_use]
    pub(crate) fn line(
        self,
        tone: Tone,
        points: impl IntoIterator<Item = (u64, Option<f64>)>,
    ) -> Self {
        let runs = runs(self.period, &self.scale, points);
        let path: String = runs.iter().map(|run| straight(run)).collect();
        self.path(tone, "line", &path, &runs)
    }

    /// A line that keeps a value until the next one, as gauges do.
    #[must_use]
    pub(crate) fn steps(
        self,
        tone: Tone,
        points: impl IntoIterator<Item = (u64, Option<f64>)>,
    ) -> Self {
        let runs = runs(self.period, &self.scale, points);
        let path: String = runs.iter().map(|run| stairs(run)).collect();
        self.path(tone, "line", &path, &runs)
    }

    /// The area between a line and zero.
    #[must_use]
    pub(crate) fn area(
        mut self,
        tone: Tone,
        points: impl IntoIterator<Item = (u64, Option<f64>)>,
    ) -> Self {
        let runs = runs(self.period, &self.scale, points);
        let zero = coordinate(1.0 - self.scale.place(0.0).unwrap_or_default());
        let areas: String = runs
            .iter()
            .filter(|run| run.len() > 1)
            .filter_map(|run| {
                let (first, last) = run.first().zip(run.last())?;
                let line = straight(run);
                let (from, to) = (coordinate(first.0), coordinate(last.0));
                Some(format!("{line}L{to} {zero}L{from} {zero}Z"))
            })
            .collect();
        self.layers.push(stretched(tone, "area", &areas));
        let path: String = runs.iter().map(|run| straight(run)).collect();
        self.path(tone, "line", &path, &runs)
    }

    /// Bars from zero up, for instance the numbers of log records by level.
    #[must_use]
    pub(crate) fn bars(mut self, bars: impl IntoIterator<Item = Bar>) -> Self {
        let zero = self.scale.place(0.0).unwrap_or_default();
        let bars: Vec<_> = bars.into_iter().collect();
        let layer = html! {
            @for bar in &bars {
                @let from = self.period.place(bar.from);
                @let width = self.period.place(bar.to) - from;
                @for (tone, top, height) in stack(&self.scale, zero, &bar.parts) {
                    rect.part.(tone.class()) x=(percent(from)) width=(percent(width))
                        y=(percent(top)) height=(percent(height)) {}
                }
            }
        };
        self.layers.push(layer);
        self.slices(bars.into_iter().map(|bar| Slice {
            from: bar.from,
            to: bar.to,
            title: bar.title,
            href: bar.href,
        }))
    }

    /// Dots, for instance traces or exemplars.
    #[must_use]
    pub(crate) fn dots(mut self, dots: impl IntoIterator<Item = Dot>) -> Self {
        let dots: Vec<_> = dots.into_iter().collect();
        let layer = html! {
            @for entry in dots.iter().filter(|dot| self.period.contains(dot.time)) {
                @if let Some(place) = self.scale.place(entry.value) {
                    @let x = percent(self.period.place(entry.time));
                    (linked(entry.href.as_deref(), &html! {
                        g.mark.(entry.tone.class()) {
                            title { (entry.title) }
                            (dot(&x, &percent(1.0 - place), entry.shape))
                        }
                    }))
                }
            }
        };
        self.has_links |= dots.iter().any(|dot| dot.href.is_some());
        self.layers.push(layer);
        self
    }

    /// The cells of a heatmap. The colour stands for the logarithm of the count.
    #[must_use]
    pub(crate) fn cells(mut self, cells: &[Cell]) -> Self {
        let counts = cells.iter().map(|cell| cell.count);
        let most = counts.filter(|count| count.is_finite()).fold(0.0, f64::max);
        let layer = html! {
            @for cell in cells {
                @if let (Some(heat), Some((lower, upper)))
                    = (heat(cell.count, most), self.scale.band(cell.lower, cell.upper)) {
                    @let from = self.period.place(cell.from);
                    rect.heat.(heat) x=(percent(from)) width=(percent(self.period.place(cell.to) - from))
                        y=(percent(1.0 - upper)) height=(percent(upper - lower)) {
                        @if !cell.title.is_empty() { title { (cell.title) } }
                    }
                }
            }
        };
        self.layers.push(layer);
        self
    }

    /// Parts of the period that show their titles under the pointer: what lines have there. Add them last but for dots.
    #[must_use]
    pub(crate) fn slices(mut self, slices: impl IntoIterator<Item = Slice>) -> Self {
        let slices: Vec<_> = slices.into_iter().collect();
        let layer = html! {
            @for slice in &slices {
                @let from = self.period.place(slice.from);
                @let width = self.period.place(slice.to) - from;
                (linked(slice.href.as_deref(), &html! {
                    rect.slice x=(percent(from)) width=(percent(width)) y="0" height="100%" {
                        title { (slice.title) }
                    }
                }))
            }
        };
        self.has_links |= slices.iter().any(|slice| slice.href.is_some());
        self.layers.push(layer);
        self
    }

    /// The chart with its axes. `label` says what it shows.
    pub(crate) fn figure(&self, label: &str) -> Markup {
        html! {
            svg.plot role=(self.role()) aria-label=(label) {
                g.axis aria-hidden="true" {
                    @for (place, text) in self.scale.ticks(&self.unit) {
                        @let place = percent(1.0 - place);
                        line x1="0" x2="100%" y1=(place) y2=(place) {}
                        text.value x="-8" y=(place) dy="4" { (text) }
                    }
                    @for (index, (time, text)) in self.period.ticks().into_iter().enumerate() {
                        @let place = self.period.place(time);
                        // A narrow window has room for every other one, and a phone for every fourth.
                        g.time.minor[index % 2 == 1].rare[index % 4 == 2].last[place > 0.98] {
                            line x1=(percent(place)) x2=(percent(place)) y1="100%" y2="101.5%" {}
                            text x=(percent(place)) y="100%" dy="18" { (text) }
                        }
                    }
                    @if let Some(name) = self.unit.name() { text.unit x="0" y="0" dy="-8" { (name) } }
                }
                (self.marks())
            }
        }
    }

    /// The chart without axes, for a row of a table. `label` says what it shows.
    pub(crate) fn spark(&self, label: &str) -> Markup {
        html! {
            svg.spark role=(self.role()) aria-label=(label) {
                line.base x1="0" x2="100%" y1="100%" y2="100%" {}
                (self.marks())
            }
        }
    }

    fn marks(&self) -> Markup {
        html! { @for layer in &self.layers { (layer) } }
    }

    /// What is inside an image is not announced, so a chart with links is none.
    fn role(&self) -> &'static str {
        if self.has_links { "group" } else { "img" }
    }

    fn path(mut self, tone: Tone, class: &str, path: &str, runs: &[Vec<(f64, f64)>]) -> Self {
        let single = runs.iter().filter_map(|run| match run[..] {
            [(x, y)] => Some((percent(x), percent(y))),
            _ => None,
        });
        // A path of one point has no length.
        let layer = html! {
            (stretched(tone, class, path))
            @for (x, y) in single { circle.point.(tone.class()) cx=(x) cy=(y) r="2" {} }
        };
        self.layers.push(layer);
        self
    }
}

/// A path that is stretched to the size of the chart, while its stroke keeps its width.
fn stretched(tone: Tone, class: &str, path: &str) -> Markup {
    html! {
        @if !path.is_empty() {
            svg viewBox=(format!("0 0 {SIZE} {SIZE}")) preserveAspectRatio="none" width="100%" height="100%" {
                path.(class).(tone.class()) d=(path) {}
            }
        }
    }
}

/// A mark as a link, if it leads somewhere.
fn linked(href: Option<&str>, mark: &Markup) -> Markup {
    html! {
        @match href {
            Some(href) => a href=(href) tabindex="-1" { (mark) },
            None => (mark),
        }
    }
}

pub(super) fn dot(x: &str, y: &str, shape: Shape) -> Markup {
    html! {
        @match shape {
            Shape::Round | Shape::Ring => circle.(shape.class()) cx=(x) cy=(y) r="4" {},
            Shape::Diamond => rect.(shape.class()) x=(x) y=(y) width="8" height="8" {},
        }
    }
}

/// The place from the top and the height of each part.
fn stack(scale: &Scale, zero: f64, parts: &[(Tone, f64)]) -> Vec<(Tone, f64, f64)> {
    let mut sum = 0.0;
    let mut top = zero;
    let mut stack = Vec::with_capacity(parts.len());
    for (tone, value) in parts.iter().filter(|(_, value)| *value > 0.0) {
        sum += value;
        let place = scale.place(sum).unwrap_or(top);
        let next = place.max(top + LEAST);
        stack.push((*tone, 1.0 - next, next - top));
        top = next;
    }
    stack
}

fn heat(count: f64, most: f64) -> Option<&'static str> {
    if count.is_nan() || count <= 0.0 || most <= 0.0 {
        return None;
    }
    let share = (count.ln_1p() / most.ln_1p()).clamp(0.0, 1.0);
    HEAT.get((share * 9.0).round() as usize).copied()
}
