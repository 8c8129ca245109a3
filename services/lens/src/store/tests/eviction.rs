use super::*;

/// Spans of 500 bytes that compress badly, each in its trace.
fn bulky(first: u64, count: u64) -> ExportTraceServiceRequest {
    let spans = (first..first + count)
        .map(|number| {
            let mut span = span(number, number, 0, number);
            let noise: String = (0..50)
                .map(|index| format!("{:08x}", hash(number * 50 + index)))
                .collect();
            span.attributes = vec![attribute("noise", text(&noise))];
            span.links = vec![link(number - 1, 1)];
            span
        })
        .collect();
    traces("auth", spans)
}

fn hash(number: u64) -> u32 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[test]
fn the_oldest_segment_leaves_above_the_limit() {
    let limit = 2 * MIB;
    let store = Store::new(limit);
    let mut stored = 0;
    for batch in 0..40 {
        stored += store.insert_traces(&bulky(1 + batch * 500, 500)).stored as u64;
        assert!(store.stats().bytes <= limit, "{:?}", store.stats());
    }
    let stats = store.stats();
    assert!(stats.spans.evicted > 0);
    assert_eq!(stats.spans.records + stats.spans.evicted, stored);
    // A store with a full segment is near its limit.
    assert!(stats.bytes > limit / 2, "{stats:?}");
    assert_eq!(store.trace(trace_id(1)), None);
    assert!(store.trace(trace_id(20_000)).is_some());
    let indexed = stats.spans.records as usize;
    assert_eq!(
        store.read(|writer| writer.spans.indexed()),
        (indexed, indexed)
    );
    // Spans leave in the order in which they came.
    let oldest = stored - stats.spans.records + 1;
    assert_eq!(stats.spans.oldest, Some(NOW + oldest * MS));
    assert_eq!(store.trace(trace_id(oldest - 1)), None);
    assert!(store.trace(trace_id(oldest)).is_some());
}

#[test]
fn log_records_and_spans_share_the_limit() {
    let limit = 2 * MIB;
    let store = Store::new(limit);
    store.insert_traces(&bulky(1, 500));
    let filler = "0123456789".repeat(60);
    for batch in 0..400 {
        let records = (0..100)
            .map(|number| log(0, &format!("{batch} {number} {filler}"), batch))
            .collect();
        store.insert_logs(&logs("auth", records));
        assert!(store.stats().bytes <= limit);
    }
    let stats = store.stats();
    assert!(
        stats.logs.evicted > 0 && stats.spans.evicted > 0,
        "{stats:?}"
    );
}

#[test]
fn a_trace_tells_that_it_lost_spans() {
    let store = Store::new(2 * MIB);
    let long = |id| traces("user", vec![span(1_000_000, id, 0, id)]);
    store.insert_traces(&long(1));
    store.insert_traces(&bulky(1, 1000));
    store.insert_traces(&long(2));
    let id = trace_id(1_000_000);
    let trace = store.trace(id).unwrap();
    assert_eq!((trace.spans.len(), trace.evicted_spans), (2, false));
    let mut next = 1001;
    let mut fill = |until: &dyn Fn() -> bool| {
        while !until() {
            store.insert_traces(&bulky(next, 100));
            next += 100;
        }
    };
    // The first span leaves, the second is there.
    fill(&|| store.trace(id).is_some_and(|trace| trace.spans.len() == 1));
    let trace = store.trace(id).unwrap();
    assert_eq!(trace.spans[0].span.name, "span 2");
    assert!(trace.evicted_spans);
    // The trace leaves altogether and comes again.
    fill(&|| store.trace(id).is_none());
    store.insert_traces(&long(3));
    let trace = store.trace(id).unwrap();
    assert_eq!((trace.spans.len(), trace.evicted_spans), (1, true));
    let list = store.traces(&trace_filter("service:user"), &page(10));
    assert_eq!(list.rows.len(), 1);
    assert!(list.rows[0].evicted);
    let whole = store.trace(trace_id(next - 1)).unwrap();
    assert!(!whole.evicted_spans);
}

#[test]
fn readers_keep_what_they_have_taken() {
    let store = Store::new(2 * MIB);
    store.insert_traces(&bulky(1, 100));
    let spans = store.spans_in(0..u64::MAX);
    store.insert_traces(&bulky(101, 20_000));
    assert_eq!(store.trace(trace_id(1)), None);
    assert_eq!(spans.iter().count(), 100);
    assert!(spans.iter().all(|span| span.service == "auth"));
}
