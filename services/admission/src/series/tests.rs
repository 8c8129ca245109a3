use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, metric::Data};

use super::*;
use crate::samples::{attribute, gauge, group, histogram, of, read, request};

const LIMITS: Limits = Limits {
    max_series: 12,
    max_series_per_service: 6,
    max_services: 3,
};

struct Table {
    series: Series,
    now: Instant,
}

impl Table {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            series: Series::new(LIMITS, now),
            now,
        }
    }

    /// Why each data point is dropped.
    fn admit(&mut self, groups: Vec<ResourceMetrics>) -> Vec<Option<Reason>> {
        let request = read(&request(groups));
        let keyed = self.series.keys().of(&request);
        match self.series.admit(&keyed, self.now) {
            Some(reasons) => reasons.to_vec(),
            None => vec![None; request.points().count()],
        }
    }
}

#[test]
fn known_series_are_admitted_again_and_again() {
    let mut table = Table::new();
    for _ in 0..10 {
        assert_eq!(
            table.admit(vec![group("shop", &[&[1, 2], &[1]])]),
            [None; 3]
        );
        // With that of its resource.
        assert_eq!(table.series.len(), 4);
    }
}

#[test]
fn a_service_with_too_many_series_keeps_those_that_it_has() {
    let mut table = Table::new();
    let over = Some(Reason::SeriesOfService);
    let admitted = table.admit(vec![group("shop", &[&[1, 2, 3, 4, 5, 6, 7]])]);
    assert_eq!(admitted, [None, None, None, None, None, over, over]);
    assert_eq!(
        table.admit(vec![group("shop", &[&[7, 1, 5]])]),
        [over, None, None]
    );
    // Other services have theirs.
    assert_eq!(table.admit(vec![group("cart", &[&[7, 1, 5]])]), [None; 3]);
}

#[test]
fn all_services_together_have_a_limit() {
    let mut table = Table::new();
    assert_eq!(
        table.admit(vec![
            group("a", &[&[1, 2, 3, 4]]),
            group("b", &[&[1, 2, 3, 4]])
        ]),
        [None; 8]
    );
    let over = Some(Reason::Series);
    assert_eq!(table.admit(vec![group("c", &[&[1, 2]])]), [None, over]);
}

#[test]
fn a_new_service_beyond_the_limit_costs_the_others_nothing() {
    let mut table = Table::new();
    for service in ["a", "b", "c"] {
        assert_eq!(table.admit(vec![group(service, &[&[1]])]), [None]);
    }
    for service in ["d", "e", "f"] {
        assert_eq!(
            table.admit(vec![group(service, &[&[1, 2]])]),
            [Some(Reason::Services); 2]
        );
    }
    assert_eq!(table.admit(vec![group("a", &[&[2]])]), [None]);
}

#[test]
fn a_histogram_counts_as_its_buckets() {
    let mut table = Table::new();
    // Two buckets with a bound, one without, a count and a sum; and the resource.
    assert_eq!(table.admit(vec![of("shop", vec![histogram(2)])]), [None]);
    assert_eq!(table.series.len(), 6);
    assert_eq!(
        table.admit(vec![of("cart", vec![histogram(3)])]),
        [Some(Reason::SeriesOfService)]
    );
}

#[test]
fn the_order_of_attributes_does_not_matter_and_everything_else_does() {
    let keys = Keys::default();
    let key = |metric: Metric, service: &str| {
        let keyed = keys.of(&read(&request(vec![of(service, vec![metric])])));
        keyed.0[0].points[0].0
    };
    let with = |name: &str, unit: &str, attributes: &[(&str, &str)]| {
        let mut metric = gauge(name, &[1]);
        metric.unit = unit.to_owned();
        if let Some(Data::Gauge(gauge)) = &mut metric.data {
            let attributes = attributes.iter();
            gauge.data_points[0].attributes = attributes
                .map(|(key, value)| attribute(key, value))
                .collect();
        }
        metric
    };
    let first = key(with("m", "s", &[("a", "1"), ("b", "2")]), "shop");
    assert_eq!(
        first,
        key(with("m", "s", &[("b", "2"), ("a", "1")]), "shop")
    );
    for (other, service) in [
        (with("n", "s", &[("a", "1"), ("b", "2")]), "shop"),
        (with("m", "ms", &[("a", "1"), ("b", "2")]), "shop"),
        (with("m", "s", &[("a", "2"), ("b", "1")]), "shop"),
        (with("m", "s", &[("a", "1")]), "shop"),
        (with("m", "s", &[("a", "1"), ("b", "2")]), "cart"),
    ] {
        assert_ne!(first, key(other, service));
    }
}

#[test]
fn series_that_are_gone_from_prometheus_make_room() {
    let mut table = Table::new();
    table.admit(vec![group("shop", &[&[1, 2, 3, 4, 5]])]);
    table.now += Duration::from_secs(2 * 60 * 60);
    assert_eq!(
        table.admit(vec![group("shop", &[&[1, 6]])]),
        [None, Some(Reason::SeriesOfService)]
    );
    table.now += Duration::from_secs(61 * 60);
    // The first one and the resource have been seen in the meantime.
    assert_eq!(
        table.admit(vec![group("shop", &[&[1, 6, 7, 8, 9]])]),
        [None; 5]
    );
    assert_eq!(table.series.len(), 6);
    table.now += Duration::from_secs(4 * 60 * 60);
    for service in ["a", "b", "c"] {
        assert_eq!(
            table.admit(vec![group(service, &[&[1]])]),
            [None],
            "{service}"
        );
    }
    assert_eq!(table.series.len(), 6);
}

#[test]
fn other_bounds_are_other_series() {
    let mut table = Table::new();
    assert_eq!(table.admit(vec![of("shop", vec![histogram(1)])]), [None]);
    assert_eq!(table.admit(vec![of("shop", vec![histogram(1)])]), [None]);
    assert_eq!(table.series.len(), 5);
    let over = Some(Reason::SeriesOfService);
    assert_eq!(table.admit(vec![of("shop", vec![histogram(2)])]), [over]);
}

#[test]
fn the_counts_of_what_is_dropped_have_a_place_beyond_all_limits() {
    let mut table = Table::new();
    for service in ["a", "b", "c"] {
        table.admit(vec![group(service, &[&[1, 2, 3]])]);
    }
    assert_eq!(
        table.admit(vec![group("d", &[&[1]])]),
        [Some(Reason::Services)]
    );
    assert_eq!(table.admit(vec![group(OWN, &[&range(0, 50)])]), [None; 50]);
    let over = table.admit(vec![group(OWN, &[&range(0, 20_000)])]);
    assert!(over.contains(&Some(Reason::SeriesOfService)));
}

fn range(from: i64, to: i64) -> Vec<i64> {
    (from..to).collect()
}
