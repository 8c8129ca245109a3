//! Records in the order in which they came.

use super::*;

fn bodies(arrived: &Arrived<StoredLog>) -> Vec<String> {
    let bodies = arrived.records.iter().map(|log| &log.record.body);
    bodies
        .map(
            |body| match body.as_ref().and_then(|body| body.value.as_ref()) {
                Some(Value::StringValue(text)) => text.clone(),
                _ => String::new(),
            },
        )
        .collect()
}

fn filter(text: &str) -> LogFilter {
    text.parse::<Filter>().unwrap().to_log_filter().unwrap()
}

#[test]
fn records_come_once_in_the_order_of_arrival() {
    let store = small_segments();
    // Later arrivals happened earlier.
    for number in 0..300 {
        let body = format!("number {number}");
        store.insert_logs(&logs("auth", vec![log(0, &body, 1000 - number)]));
    }
    assert!(store.stats().logs.segments > 1);
    assert_eq!(
        store.positions(),
        Positions {
            spans: 0,
            logs: 300
        }
    );
    let (mut position, mut all) = (0, Vec::new());
    loop {
        let arrived = store.logs_after(&LogFilter::default(), position, 64);
        assert!(arrived.records.len() <= 64 && arrived.missed == 0);
        all.extend(bodies(&arrived));
        position = arrived.next;
        if !arrived.more {
            break;
        }
    }
    let expected: Vec<_> = (0..300).map(|number| format!("number {number}")).collect();
    assert_eq!((position, all), (300, expected));

    let arrived = store.logs_after(&filter("\"number 29\""), 100, 5);
    let expected: Vec<_> = (290..295)
        .map(|number| format!("number {number}"))
        .collect();
    assert_eq!(bodies(&arrived), expected);
    assert_eq!((arrived.next, arrived.more), (295, true));
    let arrived = store.logs_after(&filter("nothing"), 100, 5);
    assert_eq!((arrived.next, arrived.more), (300, false));
    assert_eq!(store.logs_after(&filter(""), 300, 5).records, []);
}

#[test]
fn evicted_records_count_as_missed() {
    let store = small_segments();
    for number in 0..300 {
        store.insert_traces(&traces("auth", vec![span(number, 1, 0, number)]));
    }
    store.write(|writer| {
        writer.evict();
        writer.evict();
    });
    let evicted = store.stats().spans.evicted;
    assert!(evicted > 0);
    let arrived = store.spans_after(&TraceFilter::default(), 3, 1000);
    assert_eq!(arrived.missed, evicted - 3);
    assert_eq!(arrived.records.len() as u64, 300 - evicted);
    let first = &arrived.records[0].span;
    assert_eq!(first.start_time_unix_nano, NOW + evicted * MS);
    assert_eq!((arrived.next, store.positions().spans), (300, 300));
}

#[test]
fn large_records_end_a_read() {
    let store = store();
    let large = "x".repeat(300_000);
    store.insert_logs(&logs("auth", vec![log(0, &large, 1); 10]));
    let arrived = store.logs_after(&LogFilter::default(), 0, 100);
    assert_eq!(
        (arrived.records.len(), arrived.next, arrived.more),
        (4, 4, true)
    );
}

#[test]
fn a_list_and_a_timeline_have_a_range() {
    let store = small_segments();
    for number in 0..200 {
        store.insert_logs(&logs("auth", vec![log(number + 1, "same", number)]));
    }
    let over_time = |filter: &str, page: &Page<LogCursor>, range| {
        store.logs_over_time(&self::filter(filter), page, range, Duration::MAX)
    };
    let range = NOW + 50 * MS..NOW + 150 * MS;
    let (list, timeline) = over_time("same", &page(60), range.clone());
    assert_eq!(list.rows.len(), 60);
    assert_eq!(list.rows[0].time, NOW + 149 * MS);
    assert_eq!((timeline.total(), timeline.width), (100, MS));
    // The timeline of the next page is the same.
    let next = Page {
        limit: 60,
        before: list.next,
    };
    let (list, again) = over_time("same", &next, range);
    assert_eq!((list.rows.len(), list.next), (40, None));
    assert_eq!(list.rows[0].time, NOW + 89 * MS);
    assert_eq!(again, timeline);
    let one = format!("trace:{}", trace_id(7));
    let (_, timeline) = over_time(&one, &page(60), 0..u64::MAX);
    assert_eq!(timeline.total(), 1);
}

#[test]
fn new_traces_are_those_of_new_spans() {
    let store = small_segments();
    for number in 1..=100 {
        store.insert_traces(&traces("auth", vec![span(number, 1, 0, number)]));
    }
    let filter = |text: &str| text.parse::<Filter>().unwrap().to_trace_filter().unwrap();
    let new = |text: &str, limit| {
        let arrived = store.traces_after(&filter(text), 100, limit);
        let places = arrived.records.iter();
        let places = places.map(|place| ((place.start - NOW) / MS, place.trace));
        (places.collect::<Vec<_>>(), arrived.next, arrived.more)
    };
    assert_eq!(new("", 10), (vec![], 100, false));
    // A trace that is there already, and two spans of a new one.
    let mut slow = span(102, 2, 1, 205);
    slow.end_time_unix_nano += 1000 * MS;
    let spans = vec![span(7, 2, 1, 200), span(102, 1, 0, 200), slow];
    store.insert_traces(&traces("auth", spans));
    let (old, young) = ((7, trace_id(7)), (200, trace_id(102)));
    assert_eq!(new("", 10), (vec![old, young], 103, false));
    assert_eq!(new("name:\"span 1\"", 10), (vec![young], 103, false));
    assert_eq!(new("trace.duration>1s", 10), (vec![young], 103, false));
    assert_eq!(new("status:error", 10), (vec![], 103, false));
    assert_eq!(new("", 1), (vec![old], 101, true));
}
