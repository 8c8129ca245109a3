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
        root_duration: Some(10 * MS),
        spans: 1,
        errors: 0,
        services: vec![service.to_owned()],
        evicted: false,
    };
    let expected = [
        row(1, "frontend", "span 1", 100),
        TraceRow {
            root: false,
            root_duration: None,
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
fn a_search_that_ends_early_goes_on_on_the_next_page() {
    let count = 100;
    // Traces come oldest first, newest first, or neither. They are in several segments each, or in one.
    for (step, spans) in [1, count - 1, 37]
        .into_iter()
        .flat_map(|step| [(step, 5), (step, 1)])
    {
        let store = small_segments();
        for id in 1..=spans {
            for number in 1..=count {
                let at = (number * step % count) / 10;
                let mut span = span(number * 61 % 101, id, id - 1, at + id);
                span.trace_state = "x".repeat(200);
                store.insert_traces(&traces("auth", vec![span]));
            }
        }
        let segments = store.stats().spans.segments;
        assert!(segments > 5);
        for filter in ["", "1", "kind:server", "trace.duration>1h"].map(trace_filter) {
            let all = store.traces(&filter, &page(1000));
            assert_eq!((all.stopped, all.next), (None, None));
            let (mut found, mut stops, mut next) = (Vec::new(), 0, page(7));
            loop {
                let list = store.traces_within(&filter, &next, Duration::ZERO);
                if let Some(stopped) = list.stopped {
                    assert!(list.rows.iter().all(|row| row.start > stopped));
                    assert!(list.next.is_some());
                    stops += 1;
                }
                found.extend(list.rows);
                match list.next {
                    None => break,
                    before => next.before = before,
                }
            }
            assert_eq!(found, all.rows, "{filter:?} {step} {spans}");
            assert!(stops > 0 && stops < segments, "{stops}");
        }
    }
}

#[test]
fn filters_apply_to_one_span() {
    let store = store();
    let mut slow = span(1, 2, 1, 0);
    slow.end_time_unix_nano = NOW + 300 * MS;
    slow.name = "POST /Login".to_owned();
    slow.kind = 3;
    slow.status = Some(Status {
        code: 1,
        ..Status::default()
    });
    slow.attributes = vec![
        attribute("http.route", text("/login")),
        attribute("http.status", value(Value::IntValue(404))),
        attribute("retry.on", value(Value::BoolValue(true))),
        attribute("db.ratio", value(Value::DoubleValue(0.5))),
        attribute("db.size", text("12.5")),
        attribute("user.name", text("Naïve ÄGYPTEN Привет")),
        attribute(
            "db.tables",
            value(Value::ArrayValue(ArrayValue {
                values: vec![text("users"), value(Value::IntValue(7))],
            })),
        ),
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
    let mut alien = span(4, 4, 0, 4);
    alien.kind = 77;
    alien.status = Some(Status {
        code: 9,
        ..Status::default()
    });
    store.insert_traces(&ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![alien],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    });
    let other = trace_id(9);
    let (first, second) = (trace_id(1), trace_id(2));
    let table: &[(&str, &[u64])] = &[
        ("", &[1, 2, 3, 4]),
        ("service:auth", &[1, 3]),
        ("service:Auth", &[]),
        ("service:nobody", &[]),
        ("service~AU", &[1, 3]),
        ("service:\"\"", &[4]),
        // Trace 1 also has a span of another service.
        ("-service:auth", &[1, 2, 4]),
        ("-service:auth -service:frontend", &[2, 4]),
        ("service:auth service:frontend", &[]),
        ("service:auth service~a", &[1, 3]),
        ("name:\"span 1\"", &[1, 2]),
        ("name:span", &[]),
        ("name~/login", &[1]),
        ("-name~span", &[1]),
        ("-name:\"span 1\" service:frontend", &[]),
        ("kind:server", &[1, 2, 3]),
        ("kind:client", &[1]),
        ("kind:producer", &[]),
        ("-kind:server", &[1, 4]),
        ("-kind:server -kind:client", &[4]),
        ("status:error", &[2]),
        ("status:ok", &[1]),
        ("status:unset", &[1, 2, 3, 4]),
        ("-status:unset", &[1, 2]),
        ("-status:unset -status:ok", &[2]),
        ("-status:error service:user", &[]),
        // The error and the service are in different spans.
        ("status:error service:frontend", &[]),
        ("duration>=300ms", &[1]),
        ("duration>300ms", &[]),
        ("duration<=10ms", &[1, 2, 3, 4]),
        ("duration<10ms", &[]),
        ("duration>9ms duration<11ms service:auth", &[3]),
        ("trace.duration<=10ms", &[3, 4]),
        ("trace.duration>=12ms", &[1, 2]),
        ("trace.duration>=12ms trace.duration<300ms", &[2]),
        ("-trace.duration>=12ms", &[3, 4]),
        ("http.route:/login", &[1]),
        ("http.route:/log", &[]),
        ("http.route~LOG", &[1]),
        ("-http.route:/login", &[1, 2, 3, 4]),
        ("-http.route:/login service:auth", &[3]),
        ("-http.route~log service:auth", &[3]),
        ("-http.route~x service:auth", &[1, 3]),
        ("-absent.key:x service:auth", &[1, 3]),
        ("absent.key:x", &[]),
        ("absent.key<5", &[]),
        ("-absent.key<5 service:auth", &[1, 3]),
        ("http.status:404", &[1]),
        ("http.status:404.0", &[1]),
        ("http.status:4.04e2", &[1]),
        ("http.status:404.5", &[]),
        ("-http.status:404.0 service:auth", &[3]),
        ("http.status>404.0", &[]),
        ("http.status~04", &[1]),
        ("http.status>403", &[1]),
        ("http.status>404", &[]),
        ("http.status>403.5", &[1]),
        ("http.status<=404", &[1]),
        ("-http.status>=400 service:auth", &[3]),
        ("\"retry.on\":true", &[1]),
        ("retry.on~RU", &[1]),
        ("retry.on>0", &[]),
        ("-retry.on:true service:auth", &[3]),
        ("db.ratio:0.50", &[1]),
        ("db.ratio~.5", &[1]),
        ("db.ratio>0.4 db.ratio<0.6", &[1]),
        ("db.size>12", &[1]),
        ("user.name~NAÏVE", &[1]),
        ("user.name~ägypten", &[1]),
        ("user.name~привЕТ", &[1]),
        ("user.name~naive", &[]),
        ("user.name:NAÏVE", &[]),
        ("ÄGyPTen", &[1]),
        ("-ägypten service:auth", &[3]),
        ("http.route>=0", &[]),
        ("db.tables:users", &[1]),
        ("db.tables:7", &[1]),
        ("db.tables>6", &[1]),
        // An attribute of a resource counts for its spans.
        ("host.name:auth-1", &[1, 3]),
        ("host.name~AUTH", &[1, 3]),
        ("-host.name:auth-1", &[1, 2, 4]),
        ("host.name:auth-1 retry.on:true", &[1]),
        ("host.name:auth-1 -retry.on:true", &[3]),
        ("-host.name:auth-1 retry.on:true", &[]),
        ("http.route:/login http.status:500", &[]),
        ("http.route:/login http.status:404", &[1]),
        ("\"OUT OF CHEESE\"", &[1, 2]),
        ("post", &[1]),
        ("post cheese", &[1]),
        ("post nothing", &[]),
        ("-post service:auth", &[3]),
        ("-post -span", &[]),
        ("cheese -post", &[2]),
        ("service:user cheese", &[2]),
        ("12.5", &[1]),
        // Keys and bytes of the encoding are no text.
        ("http.route", &[]),
        (&format!("trace:{first}"), &[1]),
        (&format!("trace:{other}"), &[]),
        (&format!("trace:{first} trace:{second}"), &[]),
        (&format!("trace:{first} service:user"), &[]),
        (&format!("trace:{first} trace.duration<1ms"), &[]),
        (&format!("-trace:{first}"), &[2, 3, 4]),
        (&format!("-trace:{first} -trace:{second}"), &[3, 4]),
        (&format!("-trace:{first} trace:{first}"), &[]),
    ];
    for (filter, expected) in table {
        let list = store.traces(&trace_filter(filter), &page(10));
        let mut found: Vec<u64> = (1..=4)
            .filter(|id| list.rows.iter().any(|row| row.id == trace_id(*id)))
            .collect();
        assert_eq!(found.len(), list.rows.len());
        found.sort_unstable();
        assert_eq!(found, *expected, "{filter}");
    }
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
