use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Sum, Summary, metric::Data,
    },
};
use prost::Message as _;

use super::*;
use crate::samples::{attribute, gauge, group, histogram, of, read, request, values};

/// Divides until nothing can be divided, and returns the values of each part.
fn parts(batch: &Batch<'_>) -> Vec<Vec<(String, i64)>> {
    match batch.clone().divide() {
        Some((first, second)) => {
            let mut all = parts(&first);
            all.extend(parts(&second));
            all
        }
        None => vec![values(&batch.encode())],
    }
}

#[test]
fn division_ends_at_single_data_points_and_loses_none() {
    let read = read(&request(vec![
        group("a", &[&[1, 2, 3], &[], &[4]]),
        group("b", &[&[5]]),
        group("c", &[]),
        group("a", &[&[6, 7]]),
    ]));
    let parts = parts(&read.all());
    assert!(parts.iter().all(|part| part.len() == 1), "{parts:?}");
    let points = parts.iter().flatten();
    let points = points.map(|(service, value)| (service.as_str(), *value));
    let points = points.collect::<std::collections::BTreeSet<_>>();
    let expected = [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("a", 4),
        ("a", 6),
        ("a", 7),
        ("b", 5),
    ];
    assert_eq!(points, expected.into());
}

#[test]
fn services_are_separated_first_then_metrics_then_series() {
    let groups =
        ["b", "a", "a", "b", "a", "a", "a"].map(|service| group(service, &[&[1, 2], &[3]]));
    let read = read(&request(groups.into()));
    assert_eq!(read.all().metric(), None);
    let (a, b) = read.all().divide().unwrap();
    let services = |batch: &Batch<'_>| {
        let values = values(&batch.encode());
        let services: std::collections::BTreeSet<_> =
            values.into_iter().map(|(service, _)| service).collect();
        services.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!((services(&a), a.points.len()), ("a".to_owned(), 15));
    assert_eq!((services(&b), b.points.len()), ("b".to_owned(), 6));
    let (first, second) = a.divide().unwrap();
    let mut sizes = [first.points.len(), second.points.len()];
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 10]);
    let two = [first, second]
        .into_iter()
        .find(|part| part.points.len() == 10)
        .unwrap();
    assert_eq!(two.metric().unwrap().0, "a");
    // The values of a series stay together.
    let (first, second) = two.divide().unwrap();
    for part in [first, second] {
        let values: std::collections::BTreeSet<_> = values(&part.encode()).into_iter().collect();
        assert_eq!((values.len(), part.points.len()), (1, 5));
    }
}

#[test]
fn suspects_are_separated_from_the_others() {
    let read = read(&request(vec![
        group("a", &[&[1, 2], &[3]]),
        group("b", &[&[4], &[5]]),
    ]));
    let wanted = read
        .all()
        .points
        .iter()
        .find(|it| it.index == 2)
        .unwrap()
        .metric;
    let (rest, suspects) = read
        .all()
        .without(|(service, metric)| service == "a" && *metric == wanted);
    assert_eq!(rest.points.len(), 4);
    let suspects: Vec<_> = suspects.iter().map(|part| values(&part.encode())).collect();
    assert_eq!(suspects, [[("a".to_owned(), 3)]]);
}

#[test]
fn dropped_data_points_are_counted_and_leave_nothing_empty() {
    let read = read(&request(vec![
        group("a", &[&[1, 2], &[3]]),
        group("b", &[&[4]]),
        group("c", &[&[5]]),
    ]));
    let over = Some(Reason::SeriesOfService);
    let (rest, counts) = read.admitted(&[None, over, over, Some(Reason::Services), None]);
    let expected = [
        (("a".to_owned(), Reason::SeriesOfService), 2),
        (("b".to_owned(), Reason::Services), 1),
    ];
    assert_eq!(counts, Dropped::from(expected));
    let rest = rest.encode();
    assert_eq!(values(&rest), [("a".to_owned(), 1), ("c".to_owned(), 5)]);
    let rest = ExportMetricsServiceRequest::decode(rest).unwrap();
    assert_eq!(rest.resource_metrics.len(), 2);
    assert_eq!(rest.resource_metrics[0].scope_metrics[0].metrics.len(), 1);
}

/// Each metric of a request with its resource and scope, in an order of their own.
fn parts_of(request: &[u8]) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(request).unwrap();
    let mut parts = Vec::new();
    for group in &request.resource_metrics {
        for scope in &group.scope_metrics {
            for metric in &scope.metrics {
                let urls = (&group.schema_url, &scope.schema_url);
                parts.push(format!(
                    "{:?} {urls:?} {:?} {metric:?}",
                    group.resource, scope.scope
                ));
            }
        }
    }
    parts.sort();
    parts
}

#[test]
fn all_parts_of_a_request_stay_as_they_are() {
    let mut sum = gauge("sum", &[1, 2]);
    let Some(Data::Gauge(points)) = sum.data.take() else {
        panic!("no gauge");
    };
    sum.data = Some(Data::Sum(Sum {
        data_points: points.data_points,
        aggregation_temporality: 2,
        is_monotonic: true,
    }));
    let mut exponential = gauge("exponential", &[]);
    exponential.data = Some(Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            attributes: vec![attribute("id", "1")],
            ..ExponentialHistogramDataPoint::default()
        }],
        aggregation_temporality: 2,
    }));
    let mut all = group("shop", &[&[1, 2]]);
    all.schema_url = "of the resource".to_owned();
    all.scope_metrics[0].schema_url = "of the scope".to_owned();
    all.scope_metrics[0]
        .metrics
        .extend([sum, exponential, histogram(3)]);
    all.scope_metrics[0].metrics[0].unit = "s".to_owned();
    all.scope_metrics[0].metrics[0].description = "some".to_owned();
    let sent = request(vec![all, group("cart", &[&[3]])]);
    let read = read(&sent);
    let (batch, dropped) = read.admitted(&[]);
    assert!(dropped.is_empty());
    assert_eq!(parts_of(&batch.encode()), parts_of(&sent.encode_to_vec()));
    let series = read.points().map(|point| point.series());
    assert_eq!(series.collect::<Vec<_>>(), [1, 1, 1, 1, 1, 6, 1]);
    let attributes = read.points().map(|point| point.attributes().count());
    assert_eq!(attributes.collect::<Vec<_>>(), [2, 2, 2, 2, 1, 0, 2]);
}

#[test]
fn texts_without_utf_8_and_malformed_bytes_are_kept() {
    let mut bytes = request(vec![group("shop", &[&[1]])]).encode_to_vec();
    let at = bytes.windows(4).position(|text| text == b"same").unwrap();
    bytes[at] = 0xff;
    let read = Request::read(bytes.clone().into());
    assert_eq!(read.points().count(), 1);
    // The resource is behind the data.
    let encoded = read.all().encode();
    assert_eq!(encoded.len(), bytes.len());
    assert!(
        encoded.windows(4).any(|text| text == b"\xffame"),
        "{encoded:?}"
    );
    let malformed = Request::read(Bytes::from_static(&[0xff; 9]));
    assert_eq!(
        (
            malformed.points().count(),
            malformed.all().divide().is_none()
        ),
        (0, true)
    );
}

#[test]
fn a_summary_has_a_series_for_each_quantile() {
    let mut metric = gauge("summary", &[]);
    let quantile =
        || opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile::default();
    let point = opentelemetry_proto::tonic::metrics::v1::SummaryDataPoint {
        attributes: vec![attribute("id", "1")],
        quantile_values: vec![quantile(), quantile()],
        ..Default::default()
    };
    metric.data = Some(Data::Summary(Summary {
        data_points: vec![point],
    }));
    let read = read(&request(vec![of("shop", vec![metric])]));
    let point = read.points().next().unwrap();
    assert_eq!((point.series(), point.attributes().count()), (4, 1));
}
