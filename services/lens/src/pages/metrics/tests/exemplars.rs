use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    metrics::v1::{Exemplar, NumberDataPoint, exemplar::Value},
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
