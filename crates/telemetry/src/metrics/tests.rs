//! Tests that compare the documentation with the declarations.

use super::*;

const DOCUMENTATION: &str = include_str!("../../../../docs/telemetry.md");

/// A metric as the documentation describes it: name, Prometheus name, type, unit, attributes.
type Row = (String, String, String, String, Vec<String>);

#[test]
fn the_documentation_has_each_metric_and_no_other() {
    let mut documented = documented();
    let mut declared: Vec<Row> = ALL.iter().map(declared).collect();
    documented.sort();
    declared.sort();
    for row in &declared {
        assert!(documented.contains(row), "not documented so: {row:#?}");
    }
    assert_eq!(documented, declared);
}

#[test]
fn boundaries_are_for_histograms_and_grow() {
    for metric in ALL {
        assert!(metric.kind == Kind::Histogram || metric.boundaries.is_empty());
        assert!(metric.boundaries.is_sorted_by(|a, b| a < b), "{metric:?}");
    }
}

fn declared(metric: &Metric) -> Row {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter => "up-down counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    (
        metric.name.to_owned(),
        prometheus_name(metric),
        kind.to_owned(),
        metric.unit.to_owned(),
        metric.attributes.iter().map(ToString::to_string).collect(),
    )
}

/// The rows of the tables that begin with a metric's name in code font.
fn documented() -> Vec<Row> {
    let (_, metrics) = DOCUMENTATION.split_once("\n## Metrics\n").unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let code = |cell: &str| cell.trim_matches('`').to_owned();
    metrics
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = cells(line);
            assert_eq!(cells.len(), 8, "{line}");
            let attributes = cells[5]
                .split(", ")
                .map(code)
                .filter(|name| !name.is_empty());
            (
                code(&cells[0]),
                code(&cells[1]),
                cells[2].clone(),
                code(&cells[3]),
                attributes.collect(),
            )
        })
        .collect()
}

/// The name in Prometheus with the translation `UnderscoreEscapingWithSuffixes`: a suffix for the unit,
/// unless the unit is a comment in braces, and one for counters.
fn prometheus_name(metric: &Metric) -> String {
    let mut name = metric.name.replace('.', "_");
    match metric.unit {
        "s" => name.push_str("_seconds"),
        "By" => name.push_str("_bytes"),
        unit => assert!(unit.starts_with('{') && unit.ends_with('}'), "{metric:?}"),
    }
    if metric.kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}
