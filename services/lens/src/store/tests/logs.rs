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
        for wanted in [None, Some("7".to_owned())] {
            let filter = LogFilter {
                text: wanted.clone(),
                ..LogFilter::default()
            };
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
                .filter(|body| wanted.as_ref().is_none_or(|wanted| body.contains(wanted)))
                .collect();
            expected.sort_by(|a, b| b[..7].cmp(&a[..7]));
            assert_eq!(found, expected);
        }
    }
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
    let found = |filter: LogFilter| {
        let list = store.logs(&filter, &page(10));
        let times = list.rows.iter().map(|log| (log.time - NOW) / MS);
        times.collect::<Vec<u64>>()
    };
    let none = LogFilter::default;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        found(LogFilter {
            service: some("auth"),
            ..none()
        }),
        [6, 5]
    );
    assert_eq!(
        found(LogFilter {
            service: some("nobody"),
            ..none()
        }),
        [0; 0]
    );
    assert_eq!(
        found(LogFilter {
            min_severity: Some(10),
            ..none()
        }),
        [5]
    );
    assert_eq!(
        found(LogFilter {
            trace: Some(trace_id(1)),
            ..none()
        }),
        [7, 5]
    );
    assert_eq!(
        found(LogFilter {
            trace: Some(trace_id(9)),
            ..none()
        }),
        [0; 0]
    );
    assert_eq!(
        found(LogFilter {
            text: some("DISK"),
            ..none()
        }),
        [5]
    );
    assert_eq!(
        found(LogFilter {
            text: some("köln"),
            ..none()
        }),
        [6]
    );
    assert_eq!(
        found(LogFilter {
            text: some("SDA"),
            ..none()
        }),
        [5]
    );
    assert_eq!(
        found(LogFilter {
            text: some("checkout"),
            ..none()
        }),
        [7]
    );
    assert_eq!(
        found(LogFilter {
            text: some("fatal"),
            ..none()
        }),
        [5]
    );
    assert_eq!(
        found(LogFilter {
            text: some("absent"),
            ..none()
        }),
        [0; 0]
    );
    assert_eq!(
        found(LogFilter {
            text: some("after"),
            trace: Some(trace_id(1)),
            ..none()
        }),
        [0; 0]
    );
    for (key, value) in [("disk", "sda"), ("free", "0")] {
        let attributes = vec![(key.to_owned(), value.to_owned())];
        assert_eq!(
            found(LogFilter {
                attributes,
                ..none()
            }),
            [5],
            "{key}"
        );
    }
    let attributes = vec![("host.name".to_owned(), "auth-1".to_owned())];
    assert_eq!(
        found(LogFilter {
            attributes,
            ..none()
        }),
        [6, 5]
    );
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
