use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};

use super::*;

#[test]
fn traces_of_all_services_are_listed_newest_first() {
    let store = store();
    store.insert_traces(&traces(
        "frontend",
        vec![span(1, 1, 0, 100), span(2, 1, 0, 50)],
    ));
    // The child came first, and ends after its parent.
    store.insert_traces(&traces(
        "auth",
        vec![failed(span(2, 2, 1, 55)), span(3, 7, 6, 70)],
    ));
    let list = store.traces(&TraceFilter::default(), &page(10));
    let row = |id, service: &str, name: &str, at| TraceRow {
        id: trace_id(id),
        service: service.to_owned(),
        name: name.to_owned(),
        root: true,
        start: NOW + at * MS,
        duration: 10 * MS,
        spans: 1,
        errors: 0,
        services: vec![service.to_owned()],
        evicted: false,
    };
    let expected = [
        row(1, "frontend", "span 1", 100),
        TraceRow {
            root: false,
            ..row(3, "auth", "span 7", 70)
        },
        TraceRow {
            duration: 15 * MS,
            spans: 2,
            errors: 1,
            services: vec!["auth".to_owned(), "frontend".to_owned()],
            ..row(2, "frontend", "span 1", 50)
        },
    ];
    assert_eq!(list.rows, expected);
    assert_eq!(list.next, None);
}

#[test]
fn pages_follow_each_other() {
    let count = 100;
    // Traces come oldest first, newest first, or neither. They are in several segments each, or in one.
    for (step, spans) in [1, count - 1, 37]
        .into_iter()
        .flat_map(|step| [(step, 5), (step, 1)])
    {
        let store = small_segments();
        for id in 1..=spans {
            for number in 1..=count {
                // Ids are in no order.
                let trace = number * 61 % 101;
                // Ten traces start at the same time.
                let at = (number * step % count) / 10;
                let mut span = failed(span(trace, id, id - 1, at + id));
                if id == 1 {
                    span.end_time_unix_nano += 90 * MS;
                }
                store.insert_traces(&traces("auth", vec![span]));
            }
        }
        assert!(store.stats().spans.segments > 1);
        let mut rows: Vec<TraceRow> = Vec::new();
        let mut next = page(7);
        loop {
            let list = store.traces(&TraceFilter::default(), &next);
            assert!(list.rows.len() <= 7);
            rows.extend(list.rows);
            match list.next {
                None => break,
                before => next.before = before,
            }
        }
        for row in &rows {
            let found = (u64::from(row.spans), u64::from(row.errors), row.duration);
            assert_eq!(found, (spans, spans, 100 * MS));
            assert_eq!(row.name, "span 1");
        }
        let cursors: Vec<(u64, TraceId)> = rows.iter().map(|row| (row.start, row.id)).collect();
        let mut sorted = cursors.clone();
        sorted.sort();
        sorted.dedup();
        sorted.reverse();
        assert_eq!(cursors.len(), count as usize);
        assert_eq!(cursors, sorted);
    }
}

#[test]
fn filters_apply_to_one_span() {
    let store = store();
    let mut slow = span(1, 2, 1, 0);
    slow.end_time_unix_nano = NOW + 300 * MS;
    slow.name = "POST /Login".to_owned();
    slow.attributes = vec![
        attribute("http.route", text("/login")),
        attribute("http.status", value(Value::IntValue(404))),
        attribute("retry", value(Value::BoolValue(true))),
        attribute("ratio", value(Value::DoubleValue(0.5))),
    ];
    slow.events = vec![Event {
        name: "exception".to_owned(),
        attributes: vec![attribute("exception.message", text("Out of cheese"))],
        ..Event::default()
    }];
    store.insert_traces(&traces(
        "frontend",
        vec![span(1, 1, 0, 0), span(2, 1, 0, 1)],
    ));
    store.insert_traces(&traces("auth", vec![slow, span(3, 9, 0, 2)]));
    store.insert_traces(&traces("user", vec![failed(span(2, 3, 1, 3))]));
    let found = |filter: TraceFilter| {
        let list = store.traces(&filter, &page(10));
        let mut found: Vec<u64> = (1..=3)
            .filter(|id| list.rows.iter().any(|row| row.id == trace_id(*id)))
            .collect();
        assert_eq!(found.len(), list.rows.len());
        found.sort_unstable();
        found
    };
    let none = TraceFilter::default;
    let service = |name: &str| Some(name.to_owned());
    let attributes = |pairs: &[(&str, &str)]| TraceFilter {
        attributes: pairs
            .iter()
            .map(|(key, value)| (String::from(*key), String::from(*value)))
            .collect(),
        ..none()
    };
    let text = |text: &str| TraceFilter {
        text: Some(text.to_owned()),
        ..none()
    };
    assert_eq!(found(none()), [1, 2, 3]);
    assert_eq!(
        found(TraceFilter {
            service: service("auth"),
            ..none()
        }),
        [1, 3]
    );
    assert_eq!(
        found(TraceFilter {
            service: service("nobody"),
            ..none()
        }),
        [0; 0]
    );
    assert_eq!(
        found(TraceFilter {
            name: service("/login"),
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(TraceFilter {
            error: true,
            ..none()
        }),
        [2]
    );
    // The error and the service are in different spans.
    assert_eq!(
        found(TraceFilter {
            error: true,
            service: service("frontend"),
            ..none()
        }),
        [0; 0]
    );
    assert_eq!(
        found(TraceFilter {
            min_duration: Some(300 * MS),
            ..none()
        }),
        [1]
    );
    assert_eq!(
        found(TraceFilter {
            max_duration: Some(10 * MS),
            ..none()
        }),
        [1, 2, 3]
    );
    assert_eq!(
        found(TraceFilter {
            max_trace_duration: Some(10 * MS),
            ..none()
        }),
        [3]
    );
    assert_eq!(
        found(TraceFilter {
            min_trace_duration: Some(12 * MS),
            ..none()
        }),
        [1, 2]
    );
    for pair in [
        ("http.route", "/login"),
        ("http.status", "404"),
        ("retry", "true"),
        ("ratio", "0.5"),
    ] {
        assert_eq!(found(attributes(&[pair])), [1], "{pair:?}");
    }
    // An attribute of a resource counts for its spans.
    assert_eq!(found(attributes(&[("host.name", "auth-1")])), [1, 3]);
    assert_eq!(
        found(attributes(&[("host.name", "auth-1"), ("retry", "true")])),
        [1]
    );
    assert_eq!(found(attributes(&[("http.route", "/log")])), [0; 0]);
    assert_eq!(
        found(attributes(&[
            ("http.route", "/login"),
            ("http.status", "500")
        ])),
        [0; 0]
    );
    assert_eq!(found(text("OUT OF CHEESE")), [1, 2]);
    assert_eq!(found(text("post")), [1]);
    assert_eq!(
        found(TraceFilter {
            service: service("user"),
            ..text("cheese")
        }),
        [2]
    );
    // Bytes of the encoding are no text.
    assert_eq!(found(text("http.route")), [0; 0]);
}

#[test]
fn columns_tell_of_spans_and_logs_in_a_range() {
    let store = small_segments();
    let spans = (1..=200).map(|id| failed(span(id, id, 3, id))).collect();
    store.insert_traces(&traces("auth", spans));
    let range = NOW + 50 * MS..NOW + 60 * MS;
    let spans = store.spans_in(range.clone());
    let views: Vec<SpanView<'_>> = spans.iter().collect();
    assert_eq!(views.len(), 10);
    let expected = SpanView {
        trace: trace_id(50),
        span: "0000000000000032".parse().unwrap(),
        parent: "0000000000000003".parse().ok(),
        service: "auth",
        name: "span 50",
        kind: SpanKind::Server,
        error: true,
        start: NOW + 50 * MS,
        duration: 10 * MS,
    };
    assert_eq!(views[0], expected);
    for at in 1..=200 {
        let at = NOW + at * MS;
        assert_eq!(store.spans_in(at..at + 1).iter().count(), 1);
    }
    store.insert_logs(&logs(
        "auth",
        (1..=200).map(|at| log(0, "hello", at)).collect(),
    ));
    let logs = store.logs_in(range);
    assert_eq!(logs.iter().count(), 10);
    assert!(
        logs.iter()
            .all(|log| log.severity == 9 && log.service == "auth")
    );
}
