use opentelemetry_proto::tonic::trace::v1::span::Event;

use super::*;

#[test]
fn a_trace_has_all_that_was_received() {
    let store = store();
    let mut full = failed(span(1, 2, 1, 5));
    full.trace_state = "vendor=1".to_owned();
    full.flags = 257;
    full.dropped_attributes_count = 3;
    full.attributes = vec![
        attribute("http.route", text("/login")),
        attribute("bytes", value(Value::BytesValue(vec![0, 255]))),
        attribute("none", AnyValue { value: None }),
    ];
    full.events = vec![Event {
        name: "exception".to_owned(),
        time_unix_nano: NOW,
        ..Event::default()
    }];
    let inserted = store.insert_traces(&traces("auth", vec![span(1, 1, 0, 0), full.clone()]));
    assert_eq!(inserted.stored, 2);
    store.insert_traces(&traces("user", vec![span(1, 3, 2, 6), span(9, 1, 0, 0)]));
    let trace = store.trace(trace_id(1)).unwrap();
    let spans: Vec<(&str, &Span)> = trace
        .spans
        .iter()
        .map(|span| (&*span.source.service, &span.span))
        .collect();
    let expected = [
        ("auth", &span(1, 1, 0, 0)),
        ("auth", &full),
        ("user", &span(1, 3, 2, 6)),
    ];
    assert_eq!(spans, expected);
    let source = &trace.spans[0].source;
    assert_eq!(source.resource, Some(resource("auth")));
    assert_eq!(source.scope, Some(scope()));
    assert_eq!(source.resource_schema_url, "https://example.org/resource");
    assert_eq!(source.scope_schema_url, "https://example.org/scope");
    assert!(!trace.evicted_spans);
    assert_eq!(store.trace(trace_id(2)), None);
}

#[test]
fn an_outline_has_columns_and_reads_single_spans() {
    let store = small_segments();
    for id in 1..=300 {
        store.insert_traces(&traces(
            "auth",
            vec![span(1, id, id / 2, id), span(2, id, 0, id)],
        ));
    }
    let outline = store.outline(trace_id(1)).unwrap();
    assert!(store.stats().spans.segments > 3);
    assert_eq!(outline.len(), 300);
    let spans: Vec<SpanView<'_>> = outline.spans().collect();
    assert_eq!(spans.len(), 300);
    for (id, span) in (1..).zip(&spans) {
        assert_eq!(
            (span.name, span.start),
            (&*format!("span {id}"), NOW + id * MS)
        );
        assert_eq!(span.parent, SpanId::from_number(id / 2));
    }
    let read = outline.read([299, 0, 1, 300]);
    let names: Vec<&str> = read.iter().map(|span| &*span.span.name).collect();
    assert_eq!(names, ["span 300", "span 1", "span 2"]);
    assert!(store.outline(trace_id(3)).is_none());
}

#[test]
fn an_outline_has_links_by_the_number_of_their_span() {
    let store = small_segments();
    for id in 1..=300 {
        let mut linking = span(1, id, 0, id);
        linking.links = vec![link(7, id)];
        let mut other = span(2, id, 0, id);
        other.links = vec![link(8, id)];
        store.insert_traces(&traces("auth", vec![other, linking]));
    }
    assert!(store.stats().spans.segments > 3);
    let outline = store.outline(trace_id(1)).unwrap();
    let links = outline.links();
    assert_eq!(links.len(), 300);
    for (number, link) in links.iter().enumerate() {
        let linked = SpanId::from_number(number as u64 + 1);
        let expected = LinkTo {
            from: number,
            trace: trace_id(7),
            span: linked,
        };
        assert_eq!(*link, expected);
    }
    let row = store.trace_row(trace_id(1)).unwrap();
    assert_eq!((row.spans, &*row.name), (300, "span 1"));
    assert_eq!(store.trace_row(trace_id(3)), None);
    let fifth = SpanId::from_number(5).unwrap();
    assert!(store.has_span(trace_id(1), fifth) && !store.has_span(trace_id(3), fifth));
}

#[test]
fn an_outline_has_log_records_in_order_of_time() {
    let store = small_segments();
    for at in (1..=300).rev() {
        store.insert_logs(&logs("auth", vec![log(1, "one", at), log(2, "two", at)]));
    }
    let outline = store.log_outline(trace_id(1)).unwrap();
    let times: Vec<u64> = outline.logs().map(|log| log.time).collect();
    assert_eq!(times, (1..=300).map(|at| NOW + at * MS).collect::<Vec<_>>());
    let read = outline.read([299, 0]);
    assert_eq!(read[0].time, NOW + 300 * MS);
    assert_eq!(read[1].record.body, Some(text("one")));
    assert!(!outline.evicted_logs() && !outline.is_empty());
    assert!(store.log_outline(trace_id(3)).is_none());
}

#[test]
fn readers_and_a_writer_do_not_disturb_each_other() {
    let store = small_segments();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 1..=200 {
                let spans = (1..=10).map(|trace| span(trace, id, 0, id)).collect();
                store.insert_traces(&traces("auth", spans));
                store.insert_logs(&logs("auth", vec![log(1, "one", id)]));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut before = 0;
                while before < 200 {
                    let list = store.traces(&TraceFilter::default(), &page(20));
                    assert!(list.rows.len() <= 10);
                    for row in &list.rows {
                        assert_eq!((row.start, &*row.name), (NOW + MS, "span 1"));
                    }
                    let trace = store.trace(trace_id(1)).unwrap_or_default();
                    assert!(trace.spans.len() >= before && !trace.evicted_spans);
                    assert!(trace.logs.len() <= 200);
                    before = trace.spans.len();
                }
            });
        }
    });
}

#[test]
fn a_request_without_resource_and_scope_is_kept() {
    let store = store();
    let mut request = traces("", vec![span(1, 1, 0, 0)]);
    request.resource_spans[0].resource = None;
    request.resource_spans[0].scope_spans[0].scope = None;
    store.insert_traces(&request);
    let trace = store.trace(trace_id(1)).unwrap();
    let source = &trace.spans[0].source;
    assert_eq!(
        (&*source.service, &source.resource, &source.scope),
        ("", &None, &None)
    );
}

#[test]
fn a_span_is_stored_once() {
    let store = small_segments();
    let spans: Vec<Span> = (1..=300).map(|id| span(1, id, 0, id)).collect();
    let request = traces("auth", spans);
    assert_eq!(store.insert_traces(&request).stored, 300);
    assert!(store.stats().spans.segments > 3);
    let again = store.insert_traces(&request);
    assert_eq!((again.stored, again.duplicates), (0, 300));
    assert_eq!(store.trace(trace_id(1)).unwrap().spans.len(), 300);
    // The same span id is another span in another trace.
    assert_eq!(
        store
            .insert_traces(&traces("auth", vec![span(2, 1, 0, 0)]))
            .stored,
        1
    );
}

#[test]
fn another_span_with_the_same_ids_is_told_apart() {
    let store = small_segments();
    let spans: Vec<Span> = (1..=300).map(|id| span(1, id, 0, id)).collect();
    store.insert_traces(&traces("auth", spans));
    let changed = |change: fn(&mut Span)| {
        let mut other = span(1, 7, 0, 7);
        change(&mut other);
        store.insert_traces(&traces("auth", vec![other]))
    };
    assert_eq!(changed(|_| {}).duplicates, 1);
    for change in [
        (|span| span.name.push('x')) as fn(&mut Span),
        |span| span.start_time_unix_nano += 1,
        |span| span.end_time_unix_nano += 1,
        |span| span.parent_span_id = 9_u64.to_be_bytes().into(),
        |span| span.kind = 3,
        |span| *span = failed(span.clone()),
        |span| span.attributes = vec![attribute("key", text("value"))],
        |span| span.events = vec![Event::default()],
        |span| span.links = vec![link(2, 1)],
        |span| span.trace_state = "a=b".to_owned(),
        |span| span.flags = 1,
        |span| span.dropped_attributes_count = 1,
    ] {
        let inserted = changed(change);
        assert_eq!(
            (inserted.stored, inserted.duplicates, inserted.conflicts),
            (0, 0, 1)
        );
        assert_eq!(inserted.conflict.unwrap().0, trace_id(1));
    }
    let other = store.insert_traces(&traces("user", vec![span(1, 7, 0, 7)]));
    assert_eq!(other.conflicts, 1);
    // A collector on one of two ways adds attributes of the machine.
    let mut elsewhere = traces("auth", vec![span(1, 7, 0, 7)]);
    let resource = elsewhere.resource_spans[0].resource.as_mut().unwrap();
    resource.attributes.push(attribute("host.name", text("a")));
    assert_eq!(store.insert_traces(&elsewhere).duplicates, 1);
    assert_eq!(store.trace(trace_id(1)).unwrap().spans.len(), 300);
}

#[test]
fn spans_without_valid_ids_are_counted() {
    let store = store();
    let mut short = span(1, 1, 0, 0);
    short.trace_id.pop();
    let request = traces("auth", vec![short, span(1, 0, 0, 0), span(1, 2, 0, 0)]);
    let inserted = store.insert_traces(&request);
    assert_eq!((inserted.stored, inserted.invalid), (1, 2));
}

#[test]
fn orphans_and_cycles_are_kept() {
    let store = store();
    let spans = vec![
        span(1, 1, 99, 0),
        span(1, 2, 2, 1),
        span(1, 3, 4, 2),
        span(1, 4, 3, 3),
    ];
    store.insert_traces(&traces("auth", spans.clone()));
    let trace = store.trace(trace_id(1)).unwrap();
    let stored: Vec<Span> = trace.spans.into_iter().map(|span| span.span).collect();
    assert_eq!(stored, spans);
    let list = store.traces(&TraceFilter::default(), &page(10));
    let row = &list.rows[0];
    // Without a root, the earliest span names the trace.
    assert_eq!((&*row.name, row.root, row.spans), ("span 1", false, 4));
}

#[test]
fn times_do_not_overflow() {
    let store = store();
    let times = [
        (NOW, NOW - 5 * MS),
        (0, NOW),
        (NOW, 0),
        (0, 0),
        (u64::MAX - 1, u64::MAX),
        (u64::MAX, 0),
        (1, u64::MAX),
    ];
    for (number, (start, end)) in (1..).zip(times) {
        let mut span = span(number, 1, 0, 0);
        span.start_time_unix_nano = start;
        span.end_time_unix_nano = end;
        store.insert_traces(&traces("auth", vec![span.clone()]));
        assert_eq!(store.trace(trace_id(number)).unwrap().spans[0].span, span);
    }
    let list = store.traces(&TraceFilter::default(), &page(10));
    let rows: Vec<(u64, u64)> = list
        .rows
        .iter()
        .map(|row| (row.start, row.duration))
        .collect();
    let expected = [
        (u64::MAX, 0),
        (u64::MAX - 1, 1),
        (NOW, 0),
        (NOW, 0),
        (1, u64::MAX - 1),
        (0, 0),
        (0, 0),
    ];
    assert_eq!(rows, expected);
    assert_eq!(store.stats().spans.oldest, Some(1));
    // One span without a start does not make the trace half a century long.
    let mut unstarted = span(20, 2, 1, 0);
    unstarted.start_time_unix_nano = 0;
    store.insert_traces(&traces("auth", vec![unstarted, span(20, 1, 0, 0)]));
    let list = store.traces(&TraceFilter::default(), &page(10));
    let row = list.rows.iter().find(|row| row.id == trace_id(20)).unwrap();
    assert_eq!(
        (row.start, row.duration, &*row.name),
        (NOW, 10 * MS, "span 1")
    );
}

#[test]
fn logs_of_a_trace_are_in_time_order() {
    let store = small_segments();
    store.insert_traces(&traces("auth", vec![span(1, 1, 0, 0)]));
    let mut observed = log(1, "observed", 0);
    observed.time_unix_nano = 0;
    observed.observed_time_unix_nano = NOW + 2 * MS;
    observed.span_id = 1_u64.to_be_bytes().into();
    let first = vec![log(1, "third", 3), observed, log(2, "other", 1)];
    store.insert_logs(&logs("auth", first));
    store.insert_logs(&logs(
        "auth",
        (0..200).map(|n| log(0, "filler", n)).collect(),
    ));
    store.insert_logs(&logs("user", vec![log(1, "first", 1)]));
    let trace = store.trace(trace_id(1)).unwrap();
    let bodies: Vec<(&str, Option<AnyValue>, u64)> = trace
        .logs
        .iter()
        .map(|log| (&*log.source.service, log.record.body.clone(), log.time))
        .collect();
    let expected = [
        ("user", Some(text("first")), NOW + MS),
        ("auth", Some(text("observed")), NOW + 2 * MS),
        ("auth", Some(text("third")), NOW + 3 * MS),
    ];
    assert_eq!(bodies, expected);
    // A trace can have log records only.
    let trace = store.trace(trace_id(2)).unwrap();
    assert_eq!((trace.spans.len(), trace.logs.len()), (0, 1));
}

#[test]
fn links_are_found_from_both_ends() {
    let store = small_segments();
    store.insert_traces(&traces("auth", vec![span(1, 1, 0, 0)]));
    for trace in 2..50 {
        let mut consumer = span(trace, 5, 0, trace);
        consumer.links = vec![link(1, 1), link(77, 1)];
        store.insert_traces(&traces("mailer", vec![consumer]));
    }
    assert!(store.stats().spans.segments > 1);
    let trace = store.trace(trace_id(1)).unwrap();
    assert_eq!(trace.linked_from.len(), 48);
    let newest = LinkedFrom {
        trace: trace_id(49),
        span: "0000000000000005".parse().unwrap(),
        service: "mailer".to_owned(),
        name: "span 5".to_owned(),
        start: NOW + 49 * MS,
        linked: "0000000000000001".parse().ok(),
    };
    assert_eq!(trace.linked_from[0], newest);
    let other = store.trace(trace_id(2)).unwrap();
    assert_eq!(other.spans[0].span.links.len(), 2);
    assert_eq!(other.linked_from, []);
}

#[test]
fn subscribers_hear_of_new_records() {
    let store = store();
    let mut version = store.subscribe();
    let request = traces("auth", vec![span(1, 1, 0, 0)]);
    store.insert_traces(&request);
    assert!(version.has_changed().unwrap());
    version.mark_unchanged();
    store.insert_traces(&request);
    store.insert_traces(&ExportTraceServiceRequest::default());
    assert!(!version.has_changed().unwrap());
    store.insert_logs(&logs("auth", vec![log(0, "one", 0)]));
    assert!(version.has_changed().unwrap());
}
