use super::*;
use crate::samples::{group, request, values};

fn batch(groups: Vec<ResourceMetrics>) -> Batch {
    request(groups).into()
}

/// Divides until nothing can be divided, and returns the values of each part.
fn parts(batch: Batch) -> Vec<Vec<(String, i64)>> {
    match batch.clone().divide() {
        Some((first, second)) => {
            let mut all = parts(first);
            all.extend(parts(second));
            all
        }
        None => vec![values(&batch.into())],
    }
}

#[test]
fn division_ends_at_single_data_points_and_loses_none() {
    let groups = vec![
        group("a", &[&[1, 2, 3], &[], &[4]]),
        group("b", &[&[5]]),
        group("c", &[]),
        group("a", &[&[6, 7]]),
    ];
    let mut sorted = batch(groups);
    sorted.sort();
    let parts = parts(sorted);
    let points = parts.iter().filter(|part| !part.is_empty());
    assert!(points.clone().all(|part| part.len() == 1), "{parts:?}");
    let points = points
        .flatten()
        .map(|(service, value)| (service.as_str(), *value));
    let expected = [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("a", 4),
        ("a", 6),
        ("a", 7),
        ("b", 5),
    ];
    assert_eq!(points.collect::<Vec<_>>(), expected);
}

#[test]
fn services_are_separated_first() {
    let groups = ["b", "a", "a", "b", "a", "a", "a"].map(|service| group(service, &[&[1, 2]]));
    let mut sorted = batch(groups.into());
    sorted.sort();
    assert_eq!(sorted.service(), None);
    let (first, second) = sorted.divide().unwrap();
    assert_eq!(first.service().as_deref(), Some("a"));
    assert_eq!(second.service().as_deref(), Some("b"));
}

#[test]
fn removed_data_points_are_counted_and_leave_nothing_empty() {
    let mut all = batch(vec![
        group("a", &[&[1, 2], &[3]]),
        group("b", &[&[4]]),
        group("c", &[&[5]]),
    ]);
    let over = Some(Reason::SeriesOfService);
    let counts = all.remove(&[None, over, over, Some(Reason::Services), None]);
    let expected = [
        (("a".to_owned(), Reason::SeriesOfService), 2),
        (("b".to_owned(), Reason::Services), 1),
    ];
    assert_eq!(counts, Dropped::from(expected));
    let rest = ExportMetricsServiceRequest::from(all);
    assert_eq!(values(&rest), [("a".to_owned(), 1), ("c".to_owned(), 5)]);
    assert_eq!(rest.resource_metrics.len(), 2);
    assert_eq!(rest.resource_metrics[0].scope_metrics[0].metrics.len(), 1);
}
