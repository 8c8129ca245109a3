//! Adds exemplars to the data points of a message.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanId, TraceId},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1 as wire,
    metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, ScopeMetrics,
        exemplar::Value, metric::Data,
    },
};
use prost::Message as _;

use crate::{
    Reservoir,
    reservoir::{self, Sample},
    sampler::{Candidate, Sampler},
};

/// The attribute of the data point for sets above the SDK's limit.
const OVERFLOW: &str = "otel.metric.overflow";

/// Moves the samples of an instrument into the message.
pub(crate) fn attach(sampler: &Sampler, request: &mut ExportMetricsServiceRequest) {
    // There are several streams if views split the instrument.
    let mut streams: Vec<Vec<Point<'_>>> = request
        .resource_metrics
        .iter_mut()
        .flat_map(|resource| &mut resource.scope_metrics)
        .filter(|metrics| is_scope(metrics, sampler.scope()))
        .flat_map(|scope| &mut scope.metrics)
        .filter(|metric| sampler.is_named(&metric.name))
        .map(points)
        .collect();
    let times = streams.iter().flatten().map(|point| point.time_unix_nano);
    let Some(collected) = times.max() else {
        return;
    };

    let candidates = sampler.take(collected);
    if candidates.is_empty() {
        return;
    }
    for stream in &mut streams {
        place(sampler.reservoir(), &candidates, stream);
    }
}

fn is_scope(metrics: &ScopeMetrics, scope: &InstrumentationScope) -> bool {
    let none = wire::InstrumentationScope::default();
    let found = metrics.scope.as_ref().unwrap_or(&none);
    let expected: Vec<_> = scope.attributes().map(wire::KeyValue::from).collect();
    found.name == scope.name()
        && found.version == scope.version().unwrap_or_default()
        && metrics.schema_url == scope.schema_url().unwrap_or_default()
        && identity(&found.attributes) == identity(&expected)
}

/// A data point of either kind of histogram.
struct Point<'a> {
    attributes: &'a [wire::KeyValue],
    start_time_unix_nano: u64,
    time_unix_nano: u64,
    min: Option<f64>,
    max: Option<f64>,
    /// Empty for an exponential histogram.
    boundaries: &'a [f64],
    counts: &'a [u64],
    exemplars: &'a mut Vec<Exemplar>,
}

/// The data points that may get exemplars; none if the SDK has added its own.
fn points(metric: &mut Metric) -> Vec<Point<'_>> {
    let mut points: Vec<Point<'_>> = match &mut metric.data {
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.iter_mut().map(Point::from).collect()
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            histogram.data_points.iter_mut().map(Point::from).collect()
        }
        _ => Vec::new(),
    };
    if points.iter().any(|point| !point.exemplars.is_empty()) {
        points.clear();
    }
    points
}

impl<'a> From<&'a mut HistogramDataPoint> for Point<'a> {
    fn from(point: &'a mut HistogramDataPoint) -> Self {
        Self {
            attributes: &point.attributes,
            start_time_unix_nano: point.start_time_unix_nano,
            time_unix_nano: point.time_unix_nano,
            min: point.min,
            max: point.max,
            boundaries: &point.explicit_bounds,
            counts: &point.bucket_counts,
            exemplars: &mut point.exemplars,
        }
    }
}

impl<'a> From<&'a mut ExponentialHistogramDataPoint> for Point<'a> {
    fn from(point: &'a mut ExponentialHistogramDataPoint) -> Self {
        Self {
            attributes: &point.attributes,
            start_time_unix_nano: point.start_time_unix_nano,
            time_unix_nano: point.time_unix_nano,
            min: point.min,
            max: point.max,
            boundaries: &[],
            counts: &[],
            exemplars: &mut point.exemplars,
        }
    }
}

impl Point<'_> {
    fn is_overflow(&self) -> bool {
        matches!(self.attributes, [only] if only.key == OVERFLOW)
    }

    /// Whether the point can have counted the sample, which may belong to another interval.
    fn covers(&self, sample: &Sample) -> bool {
        let Sample {
            time_unix_nano,
            value,
            ..
        } = *sample;
        let bucket = reservoir::bucket(self.boundaries, value);
        self.start_time_unix_nano <= time_unix_nano
            && time_unix_nano <= self.time_unix_nano
            && self.min.is_none_or(|min| min <= value)
            && self.max.is_none_or(|max| value <= max)
            && self.counts.get(bucket).is_none_or(|count| *count > 0)
    }

    /// The cell in which the candidate competes with others. Exported buckets define the cells, because
    /// a view may have changed the boundaries.
    fn cell(&self, reservoir: &Reservoir, candidate: &Candidate) -> usize {
        match reservoir {
            Reservoir::Aligned(_) if !self.boundaries.is_empty() => {
                reservoir::bucket(self.boundaries, candidate.sample.value)
            }
            Reservoir::Aligned(_) | Reservoir::Fixed(_) => candidate.cell,
        }
    }
}

/// A candidate for a data point, and the attributes of it that the point does not have.
struct Contender<'a> {
    /// A random rank; the lowest wins. It is exponentially distributed with the candidate's weight as
    /// rate, so all measurements behind the candidates are about equally likely to win.
    rank: f64,
    sample: &'a Sample,
    filtered: Arc<[wire::KeyValue]>,
}

/// Adds the candidates to the points of one stream.
fn place(reservoir: &Reservoir, candidates: &[Candidate], points: &mut [Point<'_>]) {
    let index = Index::new(points);
    let mut contests = BTreeMap::<(usize, usize), Vec<Contender<'_>>>::new();

    let same_set = |one: &Candidate, next: &Candidate| {
        Arc::ptr_eq(&one.sample.attributes, &next.sample.attributes)
    };
    for candidates in candidates.chunk_by(same_set) {
        let Some((place, filtered)) = index.find(&candidates[0].sample.attributes) else {
            continue;
        };
        let point = &points[place];
        for candidate in candidates {
            if !point.covers(&candidate.sample) {
                continue;
            }
            let cell = point.cell(reservoir, candidate);
            contests.entry((place, cell)).or_default().push(Contender {
                rank: -(1.0 - fastrand::f64()).ln() / candidate.weight,
                sample: &candidate.sample,
                filtered: filtered.clone(),
            });
        }
    }

    // A cell has candidates of several sets if a view has dropped attributes, or if the sets overflow.
    for ((place, _), mut contenders) in contests {
        contenders.sort_by(|one, other| one.rank.total_cmp(&other.rank));
        contenders.truncate(reservoir.capacity());
        contenders.sort_by_key(|contender| contender.sample.time_unix_nano);
        let exemplars = contenders.iter().map(Exemplar::from);
        points[place].exemplars.extend(exemplars);
    }
}

impl From<&Contender<'_>> for Exemplar {
    fn from(contender: &Contender<'_>) -> Self {
        let Sample {
            origin,
            time_unix_nano,
            value,
            ..
        } = *contender.sample;
        let mut exemplar = Self {
            filtered_attributes: contender.filtered.to_vec(),
            time_unix_nano,
            value: Some(Value::AsDouble(value)),
            ..Self::default()
        };
        if origin.trace_id != TraceId::INVALID && origin.span_id != SpanId::INVALID {
            exemplar.trace_id = origin.trace_id.to_bytes().to_vec();
            exemplar.span_id = origin.span_id.to_bytes().to_vec();
        }
        exemplar
    }
}

/// An attribute as bytes. Two are equal if their keys, types and values are.
type Encoded = Vec<u8>;

/// An index of the points of a stream by their attributes.
struct Index<'a> {
    points: HashMap<Vec<Encoded>, usize>,
    overflow: Option<usize>,
    /// The keys of all points, which no view has dropped.
    keys: HashSet<&'a str>,
}

impl<'a> Index<'a> {
    fn new(points: &[Point<'a>]) -> Self {
        let mut index = Self {
            points: HashMap::with_capacity(points.len()),
            overflow: None,
            keys: HashSet::new(),
        };
        for (place, point) in points.iter().enumerate() {
            let keys = point.attributes.iter().map(|one| one.key.as_str());
            if point.is_overflow() {
                index.overflow = Some(place);
            } else {
                index.keys.extend(keys);
            }
            index.points.insert(identity(point.attributes), place);
        }
        index
    }

    /// The position of the point that counts the measurements of a set, and the attributes of the
    /// set that the point does not have.
    ///
    /// A view drops keys, not values. So a key that one point has is dropped from no point, and the
    /// set's point has all attributes of the set with such keys. If there is no such point, the set was
    /// above the SDK's limit.
    fn find(&self, attributes: &[KeyValue]) -> Option<(usize, Arc<[wire::KeyValue]>)> {
        let (kept, dropped): (Vec<_>, Vec<_>) = attributes
            .iter()
            .map(wire::KeyValue::from)
            .partition(|attribute| self.keys.contains(attribute.key.as_str()));
        if let Some(place) = self.points.get(&identity(&kept)) {
            return Some((*place, dropped.into()));
        }
        let all = kept.into_iter().chain(dropped).collect();
        self.overflow.map(|place| (place, all))
    }
}

/// The attributes sorted by key. Of duplicates, the first one counts, as in the SDK.
fn identity(attributes: &[wire::KeyValue]) -> Vec<Encoded> {
    let mut attributes: Vec<_> = attributes.iter().collect();
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    attributes.dedup_by(|later, first| later.key == first.key);
    attributes
        .into_iter()
        .map(|one| one.encode_to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use opentelemetry::trace::SpanContext;
    use opentelemetry_proto::tonic::metrics::v1::{Histogram, ResourceMetrics};

    use super::*;
    use crate::reservoir::Origin;

    const NAME: &str = "duration";

    /// A sampler with the measurement 1.5 without attributes, and times before and after it.
    fn sampled() -> (Sampler, u64, u64) {
        let reservoir = Reservoir::Aligned(vec![1.0, 2.0]);
        let sampler = Sampler::new(InstrumentationScope::default(), NAME, reservoir);
        let before = now();
        sampler.offer(1.5, &[], Origin::new(&SpanContext::NONE));
        (sampler, before - 1, now() + 1)
    }

    fn now() -> u64 {
        let time = UNIX_EPOCH.elapsed().unwrap();
        time.as_nanos().try_into().unwrap()
    }

    fn point(start: u64, end: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: end,
            explicit_bounds: vec![1.0, 2.0],
            bucket_counts: vec![0, 1, 0],
            ..HistogramDataPoint::default()
        }
    }

    fn attached(sampler: &Sampler, point: HistogramDataPoint) -> Vec<Exemplar> {
        let metric = Metric {
            name: "Duration".to_owned(),
            data: Some(Data::Histogram(Histogram {
                data_points: vec![point],
                ..Histogram::default()
            })),
            ..Metric::default()
        };
        let mut request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![metric],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        attach(sampler, &mut request);
        let scope = &request.resource_metrics[0].scope_metrics[0];
        let Some(Data::Histogram(histogram)) = &scope.metrics[0].data else {
            panic!("the metric changed: {request:?}");
        };
        histogram.data_points[0].exemplars.clone()
    }
    #[test]
    fn a_point_takes_what_it_covers() {
        let (sampler, before, after) = sampled();
        let exemplars = attached(&sampler, point(before, after));
        assert_eq!(exemplars.len(), 1);
        assert_eq!(exemplars[0].value, Some(Value::AsDouble(1.5)));
        assert_eq!(attached(&sampler, point(before, after)), []);
    }

    #[test]
    fn a_sample_after_the_collection_waits_for_the_next_one() {
        let (sampler, before, after) = sampled();
        assert_eq!(attached(&sampler, point(0, before)), []);
        assert_eq!(attached(&sampler, point(before, after)).len(), 1);
    }

    #[test]
    fn a_sample_after_two_collections_is_dropped() {
        let (sampler, before, after) = sampled();
        assert_eq!(attached(&sampler, point(0, before)), []);
        assert_eq!(attached(&sampler, point(0, before)), []);
        assert_eq!(attached(&sampler, point(before, after)), []);
    }

    #[test]
    fn a_sample_before_the_interval_is_dropped() {
        let (sampler, _, after) = sampled();
        assert_eq!(attached(&sampler, point(after, after + 1)), []);
        assert_eq!(attached(&sampler, point(0, after)), []);
    }

    #[test]
    fn a_value_that_the_point_cannot_have_counted_is_dropped() {
        let cannot: [fn(&mut HistogramDataPoint); 3] = [
            |point| point.bucket_counts = vec![1, 0, 1],
            |point| point.min = Some(1.6),
            |point| point.max = Some(1.4),
        ];
        for change in cannot {
            let (sampler, before, after) = sampled();
            let mut point = point(before, after);
            change(&mut point);
            assert_eq!(attached(&sampler, point), []);
        }

        let (sampler, before, after) = sampled();
        let mut point = point(before, after);
        (point.min, point.max) = (Some(1.5), Some(1.5));
        assert_eq!(attached(&sampler, point).len(), 1);
    }

    #[test]
    fn exemplars_of_the_sdk_are_left_alone() {
        let (sampler, before, after) = sampled();
        let mut point = point(before, after);
        point.exemplars = vec![Exemplar::default()];
        assert_eq!(attached(&sampler, point), [Exemplar::default()]);
    }

    #[test]
    fn a_histogram_without_data_points_keeps_its_exemplars() {
        let (sampler, before, after) = sampled();
        attach(&sampler, &mut ExportMetricsServiceRequest::default());
        assert_eq!(attached(&sampler, point(before, after)).len(), 1);
    }
}
