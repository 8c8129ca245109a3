//! Tests of the choice of data points for exemplars.

use exemplars::Reservoir;
use opentelemetry::{
    InstrumentationScope, Key, KeyValue, metrics::MeterProvider as _, trace::TraceFlags,
};
use opentelemetry_sdk::metrics::{Aggregation, Stream};

use crate::harness::{METRIC, Setup, scope, span, texts, values};

fn pair(route: &'static str, user: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("route", route), KeyValue::new("user", user)]
}

#[test]
fn an_exemplar_goes_to_the_point_with_its_attributes() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    histogram.record(0.5, &pair("/a", "x"));
    histogram.record(1.5, &pair("/b", "x"));
    histogram.record(2.5, &[KeyValue::new("route", "/a")]);
    histogram.record(3.5, &[]);

    let mut points = harness.points();
    points.sort_by(|one, other| one.sum.unwrap().total_cmp(&other.sum.unwrap()));
    let found: Vec<_> = points
        .iter()
        .map(|point| values(&point.exemplars))
        .collect();
    assert_eq!(found, [[0.5], [1.5], [2.5], [3.5]]);
    let filtered = points.iter().flat_map(|point| &point.exemplars);
    assert!(
        filtered
            .into_iter()
            .all(|exemplar| exemplar.filtered_attributes.is_empty())
    );
}

#[test]
fn values_of_all_types_are_distinguished() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    let set = |value: opentelemetry::Value| [KeyValue::new("key", value)];
    histogram.record(0.1, &set(1.into()));
    histogram.record(0.2, &set(1.0.into()));
    histogram.record(0.3, &set("1".into()));
    histogram.record(0.4, &set(true.into()));
    histogram.record(0.5, &set(opentelemetry::Value::Array(vec![1].into())));
    histogram.record(0.6, &set(opentelemetry::Value::Array(vec![2].into())));

    let points = harness.points();
    assert_eq!(points.len(), 6);
    for point in points {
        assert_eq!(values(&point.exemplars), [point.sum.unwrap()]);
    }
}

#[test]
fn the_order_of_attributes_does_not_matter() {
    let harness = Setup::default().start();
    let histogram = harness.histogram(Reservoir::Fixed(10));
    let mut set = pair("/a", "x");
    histogram.record(0.5, &set);
    set.reverse();
    histogram.record(0.6, &set);
    histogram.record(0.7, &set);

    let point = harness.point();
    assert_eq!(point.count, 3);
    assert_eq!(values(&point.exemplars), [0.5, 0.6, 0.7]);
}

#[test]
fn of_duplicates_the_same_one_counts_as_in_the_sdk() {
    let harness = Setup::default().start();
    let histogram = harness.histogram(Reservoir::Fixed(10));
    let [first, second, _] = ["/a", "/b", "/c"].map(|route| KeyValue::new("route", route));
    histogram.record(0.5, &[first.clone(), second.clone()]);
    histogram.record(0.6, std::slice::from_ref(&first));
    histogram.record(1.5, &[second.clone(), first]);
    histogram.record(1.6, &[second]);

    let mut points = harness.points();
    points.sort_by(|one, other| one.sum.unwrap().total_cmp(&other.sum.unwrap()));
    let found: Vec<_> = points
        .iter()
        .map(|point| values(&point.exemplars))
        .collect();
    assert_eq!(found, [[0.5, 0.6], [1.5, 1.6]]);
}

#[test]
fn attributes_that_a_view_drops_are_filtered_attributes() {
    let harness = Setup {
        view: Some(|| {
            Stream::builder()
                .with_allowed_attribute_keys([Key::new("route")])
                .build()
                .unwrap()
        }),
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    histogram.record(0.5, &pair("/a", "x"));
    histogram.record(1.5, &pair("/a", "y"));
    histogram.record(1.5, &pair("/b", "z"));

    let mut points = harness.points();
    points.sort_by_key(|point| texts(&point.attributes));
    assert_eq!(texts(&points[0].attributes), ["route=/a"]);
    assert_eq!(values(&points[0].exemplars), [0.5, 1.5]);
    let users: Vec<_> = points
        .iter()
        .flat_map(|point| &point.exemplars)
        .map(|exemplar| texts(&exemplar.filtered_attributes))
        .collect();
    assert_eq!(users, [["user=x"], ["user=y"], ["user=z"]]);
}

/// Sets of one data point compete, weighted by the number of their measurements.
#[test]
fn sets_that_a_view_joins_share_the_buckets() {
    let harness = Setup {
        view: Some(|| {
            Stream::builder()
                .with_allowed_attribute_keys([])
                .build()
                .unwrap()
        }),
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    let mut frequent = 0;
    for _ in 0..400 {
        for _ in 0..9 {
            histogram.record(0.5, &[KeyValue::new("user", "x")]);
        }
        histogram.record(0.5, &[KeyValue::new("user", "y")]);
        let point = harness.point();
        let [exemplar] = &point.exemplars[..] else {
            panic!("not one: {point:?}");
        };
        frequent += usize::from(texts(&exemplar.filtered_attributes) == ["user=x"]);
    }
    // The expected value is 360, with a standard deviation of 6.
    assert!((310..=398).contains(&frequent), "{frequent}");
}

#[test]
fn sets_above_the_limit_of_the_sdk_go_to_overflow() {
    let harness = Setup {
        view: Some(|| Stream::builder().with_cardinality_limit(2).build().unwrap()),
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    histogram.record(0.5, &[]);
    histogram.record(0.5, &pair("/a", "x"));
    histogram.record(0.5, &pair("/b", "x"));
    histogram.record(1.5, &pair("/c", "x"));
    histogram.record(3.0, &pair("/d", "x"));

    let points = harness.points();
    let overflow = points
        .iter()
        .find(|point| texts(&point.attributes) == ["otel.metric.overflow=true"])
        .unwrap();
    assert_eq!(values(&overflow.exemplars), [1.5, 3.0]);
    assert_eq!(
        texts(&overflow.exemplars[0].filtered_attributes),
        ["route=/c", "user=x"]
    );
    let count: usize = points.iter().map(|point| point.exemplars.len()).sum();
    assert_eq!(count, 5);
}

#[test]
fn a_bucket_has_one_exemplar_and_ends_at_its_boundary() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    let above = |value: f64| value.next_up();
    // The smallest and the largest value of each bucket, several times.
    let buckets = [
        [-5.0, 1.0],
        [above(1.0), 2.0],
        [above(2.0), 4.0],
        [above(4.0), 1e9],
    ];
    for _ in 0..50 {
        for value in buckets.as_flattened() {
            histogram.record(*value, &[]);
        }
    }

    let point = harness.point();
    assert_eq!(point.bucket_counts, [100; 4]);
    let found = values(&point.exemplars);
    assert_eq!(found.len(), buckets.len());
    for (value, bucket) in found.iter().zip(&buckets) {
        assert!(bucket.contains(value), "{found:?}");
    }
}

#[test]
fn a_view_may_change_the_boundaries() {
    let harness = Setup {
        view: Some(|| {
            let aggregation = Aggregation::ExplicitBucketHistogram {
                boundaries: vec![3.0],
                record_min_max: false,
            };
            let stream = Stream::builder().with_aggregation(aggregation);
            stream.build().unwrap()
        }),
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    for value in [0.5, 1.5, 2.5, 3.5, 5.0] {
        histogram.record(value, &[]);
    }

    let point = harness.point();
    assert_eq!(point.bucket_counts, [3, 2]);
    let found = values(&point.exemplars);
    assert_eq!(found.len(), 2);
    assert!(found[0] <= 3.0 && found[1] > 3.0, "{found:?}");
}

#[test]
fn an_exponential_histogram_has_a_fixed_number() {
    let harness = Setup {
        view: Some(|| {
            let aggregation = Aggregation::Base2ExponentialHistogram {
                max_size: 160,
                max_scale: 20,
                record_min_max: true,
            };
            let stream = Stream::builder().with_aggregation(aggregation);
            stream.build().unwrap()
        }),
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.histogram(Reservoir::exponential(160));
    for value in 0..1000 {
        histogram.record(f64::from(value), &[]);
    }

    let point = harness.exponential_point();
    assert_eq!(point.count, 1000);
    let mut found = values(&point.exemplars);
    found.sort_by(f64::total_cmp);
    found.dedup();
    assert_eq!(found.len(), 20, "{found:?}");
}

#[test]
fn default_boundaries_are_those_of_the_sdk() {
    let harness = Setup::default().start();
    let meter = harness.provider.meter_with_scope(scope());
    meter.f64_histogram(METRIC).build().record(1.0, &[]);

    let point = harness.point();
    assert_eq!(
        Reservoir::default(),
        Reservoir::Aligned(point.explicit_bounds)
    );
}

#[test]
fn whole_numbers_are_sampled_too() {
    let harness = Setup::default().start();
    let instrument = harness
        .provider
        .meter_with_scope(scope())
        .u64_histogram(METRIC)
        .build();
    let reservoir = Reservoir::default();
    let histogram = harness
        .exemplars
        .histogram(&scope(), METRIC, instrument, reservoir);
    histogram.record(300_u64, &[]);

    assert_eq!(values(&harness.point().exemplars), [300.0]);
}

#[test]
fn values_that_are_not_finite_are_ignored() {
    let harness = Setup::default().start();
    let histogram = harness.histogram(Reservoir::Fixed(1));
    histogram.record(0.5, &[]);
    for _ in 0..100 {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            histogram.record(value, &[]);
        }
    }

    let point = harness.point();
    assert_eq!(point.count, 1);
    assert_eq!(values(&point.exemplars), [0.5]);
}

#[test]
fn a_histogram_made_twice_has_one_reservoir() {
    let harness = Setup::default().start();
    let (one, other) = (harness.aligned(), harness.aligned());
    for _ in 0..10 {
        one.record(0.5, &[]);
        other.record(1.5, &[]);
    }

    let point = harness.point();
    assert_eq!(point.count, 20);
    assert_eq!(values(&point.exemplars), [0.5, 1.5]);
}

#[test]
fn scopes_and_names_are_distinguished() {
    let harness = Setup::default().start();
    let scopes = [
        scope(),
        InstrumentationScope::builder("test").build(),
        InstrumentationScope::builder("test")
            .with_version("1.2.3")
            .with_schema_url("https://example.com/schema")
            .build(),
        InstrumentationScope::builder("test")
            .with_version("1.2.3")
            .with_attributes([KeyValue::new("key", "value")])
            .build(),
        InstrumentationScope::builder("other").build(),
    ];
    // All are created before the first measurement, which so is in the interval of each.
    let mut histograms = Vec::new();
    for scope in &scopes {
        for name in [METRIC, "test.size"] {
            let meter = harness.provider.meter_with_scope(scope.clone());
            let instrument = meter.f64_histogram(name).build();
            let reservoir = Reservoir::Fixed(1);
            let exemplars = &harness.exemplars;
            histograms.push(exemplars.histogram(scope, name, instrument, reservoir));
        }
    }
    for (number, histogram) in (1..).zip(&histograms) {
        // The number of records is the number of the trace.
        for _ in 0..number {
            histogram.record_in(&span(number, 1, TraceFlags::SAMPLED), 0.5, &[]);
        }
    }

    let points = harness.points();
    assert_eq!(points.len(), 10);
    for point in points {
        assert_eq!(point.exemplars.len(), 1, "{point:?}");
        let trace = u128::from(point.count).to_be_bytes();
        assert_eq!(point.exemplars[0].trace_id, trace);
    }
}
