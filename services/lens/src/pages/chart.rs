//! Charts as SVG.
//!
//! Positions are percentages, and the size is that of the style sheet. So text, strokes and dots keep their size at any
//! width, which a `viewBox` would not allow. No chart crate writes SVG with links, titles and colours that follow the
//! theme.
//!
//! ```ignore
//! let period = Period::new(from, to);
//! let unit = Unit::new("ns");
//! let scale = Scale::log(durations, &unit);
//! let figure = Plot::new(period, scale, unit)
//!     .dots(traces.map(|trace| Dot { time, value, shape, tone, title, href }))
//!     .figure("Durations of traces");
//! let table = table("Traces as a table", &[Head::Text("Trace"), Head::Number("Duration")], rows);
//! ```
//!
//! Links of a chart are not in the order of the tab key, as there may be hundreds. So a page shows the same links in a
//! table or list.

mod path;
mod period;
mod plot;
mod scale;
mod table;
#[cfg(test)]
mod tests;
mod unit;

use maud::{Markup, html};

pub(crate) use self::{
    period::Period,
    plot::{Bar, Cell, Dot, Plot, Slice},
    scale::Scale,
    table::{Head, table},
    unit::Unit,
};

/// The colour of a mark. Each has a class in chart.css.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tone {
    /// One of 8 colours, in turn. Lines differ by their dashes too.
    Series(usize),
    /// What is of least interest, such as debug messages.
    Muted,
    Warning,
    Bad,
    /// Worse than [`Tone::Bad`].
    Fatal,
}

/// The shape of a dot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    Round,
    /// For errors.
    Diamond,
    /// For what cannot be opened.
    Ring,
}

/// What an entry of a legend explains.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    Line,
    Block,
    Dot(Shape),
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        const SERIES: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];
        match self {
            Self::Series(number) => SERIES[number % SERIES.len()],
            Self::Muted => "muted",
            Self::Warning => "warning",
            Self::Bad => "wrong",
            Self::Fatal => "fatal",
        }
    }
}

impl Shape {
    fn class(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::Diamond => "diamond",
            Self::Ring => "ring",
        }
    }
}

/// The legend of a chart.
pub(crate) fn legend(entries: impl IntoIterator<Item = (Tone, Mark, Markup)>) -> Markup {
    html! {
        ul.legend {
            @for (tone, mark, text) in entries {
                li {
                    svg.(tone.class()) width="20" height="12" aria-hidden="true" {
                        @match mark {
                            Mark::Line => line.line x1="0" x2="20" y1="6" y2="6" {},
                            Mark::Block => rect.block x="4" width="12" height="12" rx="2" {},
                            Mark::Dot(shape) => (plot::dot("50%", "50%", shape)),
                        }
                    }
                    " " (text)
                }
            }
        }
    }
}

/// The legend of a heatmap, from the fewest to the most values in a cell.
pub(crate) fn heat_legend(most: &str) -> Markup {
    html! {
        p.heat-legend {
            "In a cell: few "
            svg width="100" height="12" aria-hidden="true" {
                @for (level, class) in plot::HEAT.iter().enumerate() {
                    rect.heat.(class) x=(level * 10) width="10" height="12" {}
                }
            }
            " " (most)
        }
    }
}
