use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Exemplar, Metric, NumberDataPoint, exemplar::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};

use super::{get, lens};
use crate::{
    Lens,
    metrics::testing::{
        DELTA, SECOND, attribute, counter, explicit_of, explicit_point, gauge, histogram, number,
        request,
    },
};

fn exemplar(time: u64, value: Value, trace: u8) -> Exemplar {
    Exemplar {
        time_unix_nano: time * SECOND,
        value: Some(value),
        trace_id: if trace == 0 {
            Vec::new()
        } else {
            vec![trace; 16]
        },
        span_id: if trace == 0 {
            Vec::new()
        } else {
            vec![trace; 8]
        },
        ..Exemplar::default()
    }
}

fn trace(id: u8) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span {
                    trace_id: vec![id; 16],
                    span_id: vec![id; 8],
                    name: "GET".to_owned(),
                    start_time_unix_nano: 15 * SECOND,
                    end_time_unix_nano: 16 * SECOND,
                    ..Span::default()
                }],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[tokio::test]
async fn exemplars_lead_to_stored_traces() {
    let mut point = explicit_point(10, 20, &explicit_of(&[0.5, 1.5, 3.0], &[1.0, 2.0]));
    point.exemplars = vec![
        Exemplar {
            filtered_attributes: vec![attribute("user.id", "<b>7")],
            ..exemplar(12, Value::AsDouble(0.5), 1)
        },
        exemplar(14, Value::AsInt(3), 2),
        exemplar(16, Value::AsDouble(1.5), 0),
        exemplar(17, Value::AsDouble(f64::NAN), 0),
    ];
    let lens = lens(vec![histogram(DELTA, vec![point])]);
    lens.store.insert_traces(&trace(1));
    let page = get(&lens, "/metrics/m").await;

    let id = "01".repeat(16);
    let href = format!("/traces/{id}?span={}", "01".repeat(8));
    assert_eq!(page.hrefs(".exemplars a"), [&*href]);
    assert_eq!(page.hrefs(".plot a"), [href]);
    let rows = page.texts(".exemplars tbody tr");
    assert_eq!(rows.len(), 4);
    assert!(
        rows[1].contains("1.5 s") && rows[1].contains("No trace"),
        "{rows:?}"
    );
    let gone = format!("{} is no longer stored", "02".repeat(16));
    assert!(
        rows[2].contains("3 s") && rows[2].contains(&gone),
        "{rows:?}"
    );
    assert!(
        rows[3].contains("500 ms") && rows[3].contains("user.id=<b>7"),
        "{rows:?}"
    );
    // One dot is a link, two are rings. The one without a number has no place.
    assert_eq!(page.count(".plot a circle.round"), 1);
    assert_eq!(page.count(".plot circle.ring"), 2);
    let titles = page.texts(".plot g.mark title");
    assert!(
        titles[1].ends_with("which is no longer stored"),
        "{titles:?}"
    );
    // A chart with links is no image.
    assert_eq!(page.count(".plot[role='group']"), 1);
}

#[tokio::test]
async fn exemplars_of_other_types_are_dots() {
    let with = |point| NumberDataPoint {
        exemplars: vec![exemplar(20, Value::AsInt(7), 1)],
        ..point
    };
    for metric in [
        counter(DELTA, vec![with(number(10, 20, 5))]),
        counter(DELTA, vec![with(number(20, 20, 5))]),
        gauge(vec![number(0, 10, 4), with(number(0, 20, 5))]),
    ] {
        let lens = lens(vec![metric]);
        lens.store.insert_traces(&trace(1));
        let page = get(&lens, "/metrics/m").await;
        assert_eq!(page.count(".exemplars tbody tr"), 1);
        assert_eq!(page.count(".plot a circle.round"), 1);
    }
}

#[tokio::test]
async fn a_trace_is_no_longer_linked_after_it_was_evicted() {
    let mut point = number(10, 20, 5);
    point.exemplars = vec![exemplar(15, Value::AsInt(7), 1)];
    let lens = Lens::new(8 << 20);
    lens.metrics.insert(&request(vec![gauge(vec![point])]));
    lens.store.insert_traces(&trace(1));
    assert_eq!(
        get(&lens, "/metrics/m").await.hrefs(".exemplars a").len(),
        1
    );
    let mut random = fastrand::Rng::with_seed(1);
    for id in 3..200 {
        let mut large = trace(id);
        // Random, so that no compression makes it small.
        let noise = std::iter::repeat_with(|| random.alphanumeric());
        large.resource_spans[0].scope_spans[0].spans[0].name = noise.take(64 << 10).collect();
        lens.store.insert_traces(&large);
    }
    let page = get(&lens, "/metrics/m").await;
    assert_eq!(page.hrefs(".exemplars a").len(), 0);
    page.has("is no longer stored");
}

/// The texts of the links from the details of a page to metrics.
fn metrics_of(page: &super::Page) -> Vec<(String, String)> {
    let links = page.all("dl.pairs a[href^='/metrics']").into_iter();
    let links = links.map(|link| {
        let href = link.attr("href").unwrap_or_default().to_owned();
        (link.text().collect(), href)
    });
    links.collect()
}

#[tokio::test]
async fn spans_and_log_records_lead_to_their_metrics() {
    let mut point = explicit_point(10, 20, &explicit_of(&[0.5], &[1.0]));
    point.exemplars = vec![
        exemplar(12, Value::AsDouble(0.25), 1),
        exemplar(14, Value::AsDouble(0.5), 1),
        exemplar(14, Value::AsDouble(0.75), 2),
    ];
    let mut other = exemplar(15, Value::AsInt(7), 1);
    other.span_id = vec![9; 8];
    let size = NumberDataPoint {
        exemplars: vec![other],
        ..number(10, 20, 5)
    };
    let size = Metric {
        name: "a.size".to_owned(),
        unit: "By".to_owned(),
        ..counter(DELTA, vec![size])
    };
    let lens = lens(vec![histogram(DELTA, vec![point]), size]);
    lens.store.insert_traces(&trace(1));
    let log = |trace: Vec<u8>| LogRecord {
        time_unix_nano: 15 * SECOND,
        span_id: if trace.is_empty() {
            Vec::new()
        } else {
            vec![1; 8]
        },
        trace_id: trace,
        ..LogRecord::default()
    };
    let logs = vec![log(vec![1; 16]), log(Vec::new())];
    lens.store.insert_logs(&ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: logs,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    });

    let uri = format!("/traces/{}?span={}", "01".repeat(16), "01".repeat(8));
    let page = get(&lens, &uri).await;
    let links = metrics_of(&page);
    let names: Vec<_> = links.iter().map(|(text, _)| &**text).collect();
    // Those of the span, and then of its log record.
    let expected = ["Metrics of this service", "m"];
    assert_eq!(names, [expected, expected].concat());
    assert_eq!(links[0].1, "/metrics?q=service%3A%22%22");
    let rows = page.texts("dl.pairs dd div");
    assert_eq!(rows[0], "m, 500 ms");
    assert_eq!(rows[1], "1 measurement in another span of this trace");
    // The link leads to the series with the exemplar.
    for (_, href) in &links[1..2] {
        let page = get(&lens, href).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.count(".series tbody tr"), 1);
        let traces = page.hrefs(".exemplars a");
        let trace = format!("/traces/{}", "01".repeat(16));
        assert!(traces.iter().any(|href| href.starts_with(&trace)), "{href}");
    }

    let page = get(&lens, "/logs").await;
    let names: Vec<_> = metrics_of(&page)
        .into_iter()
        .map(|(text, _)| text)
        .collect();
    assert_eq!(
        names,
        ["Metrics of this service", "Metrics of this service", "m"]
    );
    // Without a selected span, nothing is looked up.
    let page = get(&lens, &format!("/traces/{}", "01".repeat(16))).await;
    assert!(metrics_of(&page).is_empty());
}

#[tokio::test]
async fn a_trace_of_many_exemplars_names_some() {
    let points = (0..8).map(|index| {
        let mut point = number(10, 20, 5);
        point.attributes = vec![attribute("k", &index.to_string())];
        point.exemplars = vec![exemplar(12, Value::AsInt(index), 1)];
        point
    });
    let lens = lens(vec![counter(DELTA, points.collect())]);
    lens.store.insert_traces(&trace(1));
    let uri = format!("/traces/{}?span={}", "01".repeat(16), "01".repeat(8));
    let page = get(&lens, &uri).await;
    let rows = page.texts("dl.pairs dd div");
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[5], "and 3 more");
}

#[tokio::test]
async fn an_exemplar_names_its_series() {
    let point = |route: &str, value| {
        let mut point = number(10, 20, 5);
        point.attributes = vec![attribute("http.route", route), attribute("k", "same")];
        point.exemplars = vec![exemplar(12 + value as u64, Value::AsInt(value), 1)];
        point
    };
    let lens = lens(vec![counter(DELTA, vec![point("/a", 1), point("/b", 2)])]);
    let page = get(&lens, "/metrics/m").await;
    let head = page.texts(".exemplars thead th");
    assert_eq!(head, ["Time", "Value", "Trace", "Series"]);
    let rows = page.texts(".exemplars tbody td:last-child");
    assert_eq!(rows, ["http.route=/b", "http.route=/a"]);
    let page = get(&lens, "/metrics/m?q=http.route:/a").await;
    assert_eq!(page.texts(".exemplars thead th").len(), 3);
}
