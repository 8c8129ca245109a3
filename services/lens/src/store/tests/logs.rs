use super::*;

fn bodies(list: &List<StoredLog, LogCursor>) -> Vec<String> {
    list.rows
        .iter()
        .map(
            |log| match log.record.body.clone().and_then(|body| body.value) {
                Some(Value::StringValue(body)) => body,
                other => format!("{other:?}"),
            },
        )
        .collect()
}

#[test]
fn logs_are_listed_newest_first_in_pages() {
    let count = 500;
    // Records come oldest first, newest first, or neither.
    for step in [1, count - 1, 37] {
        let store = small_segments();
        for number in 0..count {
            // Ten records have the same time.
            let at = number * step % count / 10;
            let body = format!("{at:03} {number:03} {}", "x".repeat(number as usize % 50));
            store.insert_logs(&logs("auth", vec![log(number % 3, &body, at)]));
        }
        assert!(store.stats().logs.segments > 5);
        // A text makes the store read the records.
        for wanted in [None, Some("7")] {
            let filter = log_filter(wanted.unwrap_or_default());
            let mut found = Vec::new();
            let mut next = page(8);
            loop {
                let list = store.logs(&filter, &next);
                found.extend(bodies(&list));
                match list.next {
                    None => break,
                    before => next.before = before,
                }
            }
            let mut expected: Vec<String> = (0..count)
                .map(|number| {
                    let at = number * step % count / 10;
                    format!("{at:03} {number:03} {}", "x".repeat(number as usize % 50))
                })
                .filter(|body| wanted.is_none_or(|wanted| body.contains(wanted)))
                .collect();
            expected.sort_by(|a, b| b[..7].cmp(&a[..7]));
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_search_that_ends_early_goes_on_on_the_next_page() {
    let count = 500;
    let mut early = 0;
    // Records come oldest first, newest first, or neither, so segments overlap in time or not.
    for step in [1, count - 1, 37] {
        let store = small_segments();
        for number in 0..count {
            let at = number * step % count / 10;
            let body = format!("body {number} {}", "x".repeat(50));
            store.insert_logs(&logs("auth", vec![log(0, &body, at)]));
        }
        let segments = store.stats().logs.segments;
        assert!(segments > 5);
        for range in [0..u64::MAX, NOW + 5 * MS..NOW + 40 * MS] {
            for filter in ["", "7", "\"body 111\"", "nothing"].map(log_filter) {
                let within = |page: &Page<LogCursor>, within| {
                    store.logs_over_time(&filter, page, range.clone(), within)
                };
                let (all, timeline) = within(&page(1000), Duration::MAX);
                assert_eq!((all.stopped, timeline.since), (None, None));
                assert_eq!(timeline.total(), all.rows.len() as u64);

                let (mut found, mut stops, mut next) = (Vec::new(), 0, page(8));
                loop {
                    let (list, timeline) = within(&next, Duration::ZERO);
                    if let Some(stopped) = list.stopped {
                        assert!(list.rows.iter().all(|log| log.time > stopped));
                        assert!(list.next.is_some());
                        stops += 1;
                    }
                    if next.before.is_none() {
                        let since = timeline.since.unwrap_or(0).max(range.start);
                        let counted = all.rows.iter().filter(|log| log.time >= since);
                        assert!(timeline.total() >= counted.count() as u64);
                    }
                    found.extend(bodies(&list));
                    match list.next {
                        None => break,
                        before => next.before = before,
                    }
                }
                assert_eq!(found, bodies(&all), "{filter:?} {range:?} {step}");
                assert!(stops < segments, "{stops}");
                early += stops;
            }
        }
    }
    assert!(early > 20, "{early}");
}

#[test]
fn texts_are_in_one_place_of_a_record() {
    let store = store();
    let list = |values| value(Value::KvlistValue(KeyValueList { values }));
    let array = |values| value(Value::ArrayValue(ArrayValue { values }));
    let mut record = log(0, "", 1);
    let inner = array(vec![value(Value::IntValue(7)), text("Deep Inside")]);
    record.body = Some(list(vec![attribute(
        "outer",
        list(vec![attribute("inner", inner)]),
    )]));
    record.severity_text = "sev".to_owned();
    record.attributes = vec![
        attribute("key", text("left")),
        attribute("bin", value(Value::BytesValue(b"bytes".to_vec()))),
    ];
    record.event_name = "right".to_owned();
    // Records without a byte are in no block.
    store.insert_logs(&logs("auth", vec![record, LogRecord::default()]));
    for (filter, found) in [
        ("deep", 1),
        ("\"DEEP INSIDE\"", 1),
        ("sev", 1),
        ("left right", 1),
        ("leftright", 0),
        ("outer", 0),
        ("inner", 0),
        ("key", 0),
        ("bytes", 0),
        ("-deep", 1),
        ("-key -bytes", 2),
        ("deep -left", 0),
    ] {
        let list = store.logs(&log_filter(filter), &page(10));
        assert_eq!(list.rows.len(), found, "{filter}");
    }

    let store = self::store();
    store.insert_logs(&logs("auth", vec![LogRecord::default(); 3]));
    let list = store.logs(&log_filter("-deep"), &page(10));
    assert_eq!(list.rows.len(), 3);
}

#[test]
fn filters_select_logs() {
    let store = small_segments();
    let filler = |at| (0..100).map(|_| log(0, "filler", at)).collect();
    let mut severe = log(1, "disk full", 5);
    severe.severity_number = 17;
    severe.severity_text = "Fatal-ish".to_owned();
    severe.attributes = vec![
        attribute("disk", text("sda")),
        attribute("free", value(Value::IntValue(0))),
    ];
    store.insert_logs(&logs("user", filler(1)));
    store.insert_logs(&logs("auth", vec![severe, log(2, "Grüße aus Köln", 6)]));
    store.insert_logs(&logs("user", filler(2)));
    let mut event = log(1, "", 7);
    event.event_name = "cart.Checkout".to_owned();
    event.body = None;
    store.insert_logs(&logs("user", vec![event, log(3, "after", 8)]));
    let mut alien = log(0, "alien", 9);
    alien.severity_number = 200;
    store.insert_logs(&logs("", vec![alien]));
    let (first, third, other) = (trace_id(1), trace_id(3), trace_id(9));
    let table: &[(&str, &[u64])] = &[
        ("-filler", &[9, 8, 7, 6, 5]),
        ("service:auth", &[6, 5]),
        ("service:nobody", &[]),
        ("service~UT", &[6, 5]),
        ("-service:user", &[9, 6, 5]),
        ("service:\"\"", &[9]),
        ("name:cart.Checkout", &[7]),
        ("name:cart.checkout", &[]),
        ("name~checkout", &[7]),
        ("-name~checkout -filler", &[9, 8, 6, 5]),
        ("level:error", &[5]),
        ("level:fatal", &[]),
        ("level>=warn", &[5]),
        ("level>info", &[5]),
        ("level>error", &[]),
        ("level<=info -filler", &[8, 7, 6]),
        ("level<info", &[]),
        ("-level:info", &[9, 5]),
        ("-level<fatal", &[9]),
        ("-level:error -filler", &[9, 8, 7, 6]),
        ("level>=info level<error service:auth", &[6]),
        (&format!("trace:{first}"), &[7, 5]),
        (&format!("trace:{other}"), &[]),
        (&format!("trace:{first} trace:{third}"), &[]),
        (&format!("-trace:{first} -filler"), &[9, 8, 6]),
        (&format!("after trace:{first}"), &[]),
        (&format!("trace:{first} level:error"), &[5]),
        ("DISK", &[5]),
        ("köln", &[6]),
        ("SDA", &[5]),
        ("checkout", &[7]),
        ("fatal", &[5]),
        ("absent", &[]),
        ("disk full", &[5]),
        ("disk -full", &[]),
        ("\"disk\":sda", &[5]),
        ("\"disk\"~D", &[5]),
        ("\"free\":0", &[5]),
        ("\"free\"<1", &[5]),
        ("\"free\">0", &[]),
        ("-\"free\"<1 service:auth", &[6]),
        ("-\"disk\":sda service:auth", &[6]),
        ("-\"disk\":sdb service:auth", &[6, 5]),
        ("host.name:auth-1", &[6, 5]),
        ("-host.name:user-1", &[9, 6, 5]),
        ("host.name:auth-1 -\"disk\":sda", &[6]),
        ("-host.name~user -\"disk\"~s", &[9, 6]),
    ];
    for (filter, expected) in table {
        let list = store.logs(&log_filter(filter), &page(10));
        let times = list.rows.iter().map(|log| (log.time - NOW) / MS);
        assert_eq!(times.collect::<Vec<u64>>(), *expected, "{filter}");
    }
}

#[test]
fn unusual_logs_are_shown() {
    let store = store();
    let empty = LogRecord {
        observed_time_unix_nano: NOW,
        ..LogRecord::default()
    };
    let mut alien = log(0, "alien", 1);
    alien.trace_id = vec![1; 5];
    alien.span_id = vec![0; 8];
    alien.severity_number = -7;
    let mut late = log(0, "late", 0);
    late.time_unix_nano = u64::MAX;
    let records = vec![empty, alien, late, LogRecord::default()];
    store.insert_logs(&logs("auth", records.clone()));
    let list = store.logs(&LogFilter::default(), &page(10));
    let found: Vec<LogRecord> = list.rows.into_iter().map(|log| log.record).collect();
    let [empty, alien, late, none] = <[LogRecord; 4]>::try_from(records).unwrap();
    assert_eq!(found, [late, alien, empty, none]);
}
