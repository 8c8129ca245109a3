//! Reads from the store what the page of a metric shows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    attributes, exemplars,
    exemplars::Shown,
    histogram::Histograms,
    lines::Lines,
    select::{self, Group, Span, Variant},
    values,
};
use crate::{
    Lens,
    metrics::{Kind, Labels, SeriesId, Temporality},
    params::Params,
    query::SeriesFilter,
};

/// Lines of a chart.
pub(super) const LINES: usize = 8;

/// Rows of the table of series.
pub(super) const ROWS: usize = 100;

/// Points that a query reads at most: the store takes no new points meanwhile.
const NUMBERS: usize = 200_000;

/// As [`NUMBERS`], for histograms, which take longer.
const HISTOGRAMS: usize = 20_000;

/// What the page of a metric shows.
#[derive(Debug)]
pub(super) struct View {
    pub(super) variants: BTreeMap<Variant, usize>,
    pub(super) variant: Variant,
    pub(super) description: String,
    /// Number of series of the variant.
    pub(super) total: usize,
    /// Number of series that the filter keeps.
    pub(super) matching: usize,
    /// The series with the largest last values.
    pub(super) rows: Vec<Labels>,
    /// Number of series that charts show. The others have smaller last values.
    pub(super) charted: usize,
    /// Number of groups, of which charts show the first.
    pub(super) groups: usize,
    /// The attributes to group by.
    pub(super) keys: Vec<String>,
    pub(super) services: BTreeSet<String>,
    pub(super) temporalities: BTreeSet<Temporality>,
    /// Number of points that were evicted.
    pub(super) evicted: u64,
    pub(super) span: Span,
    pub(super) charts: Charts,
    pub(super) exemplars: Vec<Shown>,
}

/// The charts by type of the metric.
#[derive(Debug)]
pub(super) enum Charts {
    /// Nothing matches.
    None,
    Counter {
        rates: Lines,
        values: Lines,
    },
    Gauge {
        values: Lines,
    },
    Histogram(Box<Histograms>),
    Summary {
        quantiles: Lines,
        series: String,
        rates: Lines,
        means: Lines,
    },
}

/// The view of a metric. `None` if the store has no series of it.
pub(super) fn read(
    lens: &Lens,
    name: &str,
    params: &Params,
    filter: &SeriesFilter,
) -> Option<View> {
    let mut series = lens.metrics.series(name, |_| true);
    let variants = Variant::all(&series);
    let variant = Variant::chosen(&variants, params)?;
    series.retain(|one| Variant::of(one) == variant);
    let total = series.len();
    let description = series.iter().map(|one| &one.description);
    let description = description.clone().find(|text| !text.is_empty());
    let description = description.cloned().unwrap_or_default();
    let all = Span::new(&series, params);
    let one = params.get("series");
    let is_chosen = |labels: &Labels| one.is_none_or(|id| id == id_text(labels.id));
    series.retain(|labels| filter.matches(labels) && is_chosen(labels));
    let span = match series.is_empty() {
        true => all,
        false => Span::new(&series, params),
    };
    let mut view = View {
        variants,
        description,
        total,
        matching: series.len(),
        rows: Vec::new(),
        charted: 0,
        groups: 0,
        keys: attributes::differing(&series),
        services: series.iter().map(|one| one.service.clone()).collect(),
        temporalities: series.iter().map(|one| one.temporality).collect(),
        evicted: series
            .iter()
            .fold(0, |sum, one| sum.saturating_add(one.evicted)),
        span,
        charts: Charts::None,
        exemplars: Vec::new(),
        variant,
    };
    if series.is_empty() {
        return Some(view);
    }
    series.sort_by(|one, other| select::last_value(other).total_cmp(&select::last_value(one)));
    let interval = select::interval(&series);
    let is_histogram = matches!(
        view.variant.kind,
        Kind::Histogram | Kind::ExponentialHistogram
    );
    affordable(&mut series, if is_histogram { HISTOGRAMS } else { NUMBERS });
    view.charted = series.len();

    let groups = groups(&series, params, is_histogram);
    view.groups = groups.len();
    let reader = values::Reader {
        metrics: &lens.metrics,
        span: &view.span,
        interval,
        unit: &view.variant.unit,
        kind: view.variant.kind,
    };
    let all: Vec<SeriesId> = series.iter().map(|one| one.id).collect();
    let shown = &groups[..groups.len().min(LINES)];
    view.charts = match view.variant.kind {
        Kind::Counter => Charts::Counter {
            rates: reader.rates(shown),
            values: reader.values(shown),
        },
        Kind::Gauge | Kind::Sum => Charts::Gauge {
            values: reader.values(shown),
        },
        Kind::Histogram | Kind::ExponentialHistogram => {
            Charts::Histogram(Box::new(Histograms::read(&reader, &all, shown)))
        }
        Kind::Summary => {
            let quantiles = series.first().map(|one| reader.summary(one.id));
            Charts::Summary {
                quantiles: quantiles.unwrap_or_else(|| reader.nothing()),
                series: attributes::names(&series).swap_remove(0),
                rates: reader.rates(shown),
                means: reader.means(shown),
            }
        }
    };
    view.exemplars = exemplars::read(lens, &series, &view.span);
    series.truncate(ROWS);
    view.rows = series;
    Some(view)
}

/// The id of a series in a URL.
pub(super) fn id_text(id: SeriesId) -> String {
    format!("{:016x}", id.0)
}

/// Keeps as many series as have this many points.
fn affordable(series: &mut Vec<Labels>, points: usize) {
    let mut sum = 0_usize;
    let first_beyond = series.iter().position(|one| {
        sum = sum.saturating_add(one.points);
        sum > points
    });
    if let Some(first_beyond) = first_beyond {
        // One series is always shown.
        series.truncate(first_beyond.max(1));
    }
}

/// The groups of series, in the order of their last values.
fn groups(series: &[Labels], params: &Params, is_histogram: bool) -> Vec<Group> {
    let all = |name: &str| {
        vec![Group {
            name: name.to_owned(),
            ids: series.iter().map(|one| one.id).collect(),
            last: 0.0,
        }]
    };
    if let Some(key) = params.get("by") {
        let mut groups = BTreeMap::<Option<String>, Group>::new();
        for one in series {
            let value = attributes::value(one, key);
            let group = groups.entry(value).or_insert_with_key(|value| Group {
                name: match value {
                    Some(value) => attributes::shown(value),
                    None => format!("without {}", attributes::shown(key)),
                },
                ids: Vec::new(),
                last: 0.0,
            });
            group.ids.push(one.id);
            let last = select::last_value(one);
            group.last += if last.is_finite() { last } else { 0.0 };
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|one, other| other.last.total_cmp(&one.last));
        return groups;
    }
    if series.len() > 1 && (params.get("together").is_some() || is_histogram) {
        return all("All series together");
    }
    // Only those that are shown need names.
    let names = attributes::names(&series[..series.len().min(LINES)]);
    let names = names.into_iter().chain(std::iter::repeat(String::new()));
    let groups = series.iter().zip(names).map(|(one, name)| Group {
        name,
        ids: vec![one.id],
        last: select::last_value(one),
    });
    groups.collect()
}
