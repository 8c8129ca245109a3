//! Tests with real files, in this process. Those in `tests/it` have a process to kill.

use std::fs;

use diesel::prelude::*;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, exemplar,
        metric::Data, number_data_point,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use otlp::Sink as _;
use tower::ServiceExt as _;

use super::*;
use crate::{intake::Intake, metrics::Range};

const MEMORY: usize = 16 << 20;

/// Runs lens on a folder, from its start to its end.
async fn run<T>(folder: &Path, memory: usize, work: impl AsyncFnOnce(&Arc<Lens>) -> T) -> T {
    let opened = Archive::open(folder, memory).await.unwrap();
    let lens = Lens::with(memory, Some(opened));
    let work = async {
        let outcome = work(&lens).await;
        lens.stop();
        archive(&lens).close();
        outcome
    };
    let (outcome, ()) = tokio::join!(work, keep(&lens));
    outcome
}

fn archive(lens: &Lens) -> &Archive {
    lens.archive.as_ref().unwrap()
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn loaded(lens: &Lens) {
    until("it is loaded", || archive(lens).status().loading.is_none()).await;
}

fn database(folder: &Path) -> SqliteConnection {
    let path = folder.join(FILE);
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    // Connections of an earlier run may still be closing.
    diesel::sql_query("PRAGMA busy_timeout = 5000")
        .execute(&mut connection)
        .unwrap();
    connection
}

/// A request with spans of these numbers.
fn spans(numbers: std::ops::Range<u64>) -> ExportTraceServiceRequest {
    let mut noise = fastrand::Rng::with_seed(numbers.start);
    let span = |number: u64| Span {
        trace_id: u128::from(number + 1).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: format!("span {number}"),
        start_time_unix_nano: 1_000 + number,
        end_time_unix_nano: 2_000 + number,
        // It cannot be compressed much.
        trace_state: (0..200).map(|_| noise.alphanumeric()).collect(),
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: numbers.map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn log(body: &str) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord {
                    time_unix_nano: 5,
                    body: Some(AnyValue {
                        value: Some(Value::StringValue(body.to_owned())),
                    }),
                    ..LogRecord::default()
                }],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// A point with an exemplar of this trace.
fn point(name: &str, trace: u8) -> ExportMetricsServiceRequest {
    let exemplar = Exemplar {
        time_unix_nano: 40,
        trace_id: vec![trace; 16],
        span_id: vec![trace; 8],
        value: Some(exemplar::Value::AsDouble(7.0)),
        ..Exemplar::default()
    };
    let point = NumberDataPoint {
        time_unix_nano: 50,
        exemplars: vec![exemplar],
        value: Some(number_data_point::Value::AsInt(42)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![point],
        })),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

#[tokio::test]
async fn a_restart_keeps_spans_logs_and_metrics_with_exemplars() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), MEMORY, async |lens| {
        let intake = Intake(Arc::clone(lens));
        intake.traces(spans(0..2)).await.unwrap();
        intake.traces(spans(2..3)).await.unwrap();
        intake.logs(log("hello")).await.unwrap();
        intake.metrics(point("temperature", 9)).await.unwrap();
    })
    .await;
    let stopped = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    // Several times, because a load must not be saved again.
    for _ in 0..2 {
        run(folder.path(), MEMORY, async |lens| {
            loaded(lens).await;
            let stats = lens.store.stats();
            assert_eq!((stats.spans.records, stats.logs.records), (3, 1));
            // They came in the first run.
            assert!(stats.spans.since.unwrap() <= stopped && stats.logs.since.unwrap() <= stopped);
            let series: Vec<_> = lens.metrics.series("temperature", |_| true);
            let ids: Vec<_> = series.iter().map(|labels| labels.id).collect();
            let exemplars = lens.metrics.exemplars(&ids, Range { from: 0, to: 100 });
            let traces: Vec<_> = exemplars.iter().map(|exemplar| exemplar.trace_id).collect();
            assert_eq!(traces, [Some([9; 16])]);
            assert_eq!(archive(lens).status().damaged, 0);
        })
        .await;
    }
    let mut connection = database(folder.path());
    let (extent, _) = table::extent(&mut connection).unwrap();
    assert_eq!((extent.last, extent.records), (3, 5));
}

#[tokio::test]
async fn requests_during_a_load_are_inserted_after_it() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), MEMORY, async |lens| {
        loaded(lens).await;
        Intake(Arc::clone(lens)).logs(log("old")).await.unwrap();
    })
    .await;
    // Here the load has not begun.
    let archive = Archive::open(folder.path(), MEMORY).await.unwrap();
    let lens = Lens::with(MEMORY, Some(archive));
    let archive = lens.archive.as_ref().unwrap();
    let intake = Intake(Arc::clone(&lens));
    intake.logs(log("new")).await.unwrap();
    assert_eq!(lens.store.stats().logs.records, 0);
    let loading = archive.status().loading.unwrap();
    assert_eq!((loading.done, loading.total), (0, 1));

    // Answers say that they are not complete.
    let url = |path: &str| axum::http::Request::get(path).body(axum::body::Body::empty());
    let receiver = crate::router::receiver(&lens);
    let api: axum::Router = crate::api::routes(Arc::clone(&lens), receiver);
    let answer = async |path: &str| {
        let response = api.clone().oneshot(url(path).unwrap()).await.unwrap();
        let loading = response.headers().get("lens-loading").cloned();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        (loading, body.unwrap())
    };
    for path in ["/status", "/matches", "/traces", "/export"] {
        let (loading, body) = answer(path).await;
        assert_eq!(loading.unwrap(), "0/1", "{path}");
        if let Ok(body) = serde_json::from_slice::<serde_json::Value>(&body)
            && path != "/traces"
        {
            let expected = serde_json::json!({"done": 0, "total": 1});
            assert_eq!(body["loading"], expected, "{path}");
        }
    }

    // More than may wait is inserted at once.
    let large = log(&"x".repeat(MEMORY / 8));
    intake.logs(large).await.unwrap();
    assert_eq!(lens.store.stats().logs.records, 1);

    archive.load(&lens).await;
    assert_eq!(lens.store.stats().logs.records, 3);
    assert_eq!(archive.status().loading, None);
    for path in ["/status", "/matches", "/export"] {
        assert_eq!(answer(path).await.0, None, "{path}");
    }
    intake.logs(log("later")).await.unwrap();
    assert_eq!(lens.store.stats().logs.records, 4);
}

#[tokio::test]
async fn a_damaged_row_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        run(folder.path(), MEMORY, async |lens| {
            loaded(lens).await;
            let intake = Intake(Arc::clone(lens));
            intake.traces(spans(number..number + 1)).await.unwrap();
        })
        .await;
    }
    let mut connection = database(folder.path());
    for damage in [
        "UPDATE chunks SET message = substr(message, 1, 20) WHERE id = 1",
        "UPDATE chunks SET size = 4611686018427387904 WHERE id = 3",
        "UPDATE chunks SET signal = 9 WHERE id = 4",
    ] {
        diesel::sql_query(damage).execute(&mut connection).unwrap();
    }
    // One letter of a text, which every decoder would accept.
    let row = table::chunks::table.find(2);
    let message: Vec<u8> = row
        .select(table::chunks::message)
        .first(&mut connection)
        .unwrap();
    let mut changed = message.clone();
    changed[message.len() / 2] ^= 1;
    diesel::update(row)
        .set(table::chunks::message.eq(changed))
        .execute(&mut connection)
        .unwrap();
    drop(connection);
    run(folder.path(), MEMORY, async |lens| {
        loaded(lens).await;
        assert_eq!(archive(lens).status().damaged, 4);
        assert_eq!(lens.store.stats().spans.records, 1);
    })
    .await;
}

#[tokio::test]
async fn the_file_stays_within_its_limit_and_keeps_the_newest() {
    const LIMIT: usize = 4 << 20;
    const SMALL: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let size = || fs::metadata(&path).unwrap().len();
    run(folder.path(), LIMIT, async |lens| {
        loaded(lens).await;
        let intake = Intake(Arc::clone(lens));
        for request in 0..50 {
            let first = request * 500;
            intake.traces(spans(first..first + 500)).await.unwrap();
            assert!(size() <= LIMIT as u64, "{} bytes", size());
            // The disk keeps up, so that nothing is dropped.
            until("there is room", || {
                archive(lens).lock().queue.size() < LIMIT / 16
            })
            .await;
        }
        assert_eq!(archive(lens).status().dropped, 0);
    })
    .await;
    assert!(size() > LIMIT as u64 * 3 / 4, "{} bytes", size());
    run(folder.path(), SMALL, async |lens| {
        loaded(lens).await;
        assert!(lens.store.trace(last_trace()).is_some());
        // The first write makes the file smaller.
        Intake(Arc::clone(lens)).logs(log("x")).await.unwrap();
    })
    .await;
    let mut connection = database(folder.path());
    diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .unwrap();
    assert!(size() <= SMALL as u64, "{} bytes", size());
}

fn last_trace() -> crate::store::TraceId {
    format!("{:032x}", 25_000).parse().unwrap()
}

#[tokio::test]
async fn a_full_disk_loses_the_oldest_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), MEMORY, async |lens| {
        loaded(lens).await;
        let archive = archive(lens);
        let pages = async |count| {
            let limit = move |connection: &mut _| {
                diesel::sql_query(format!("PRAGMA max_page_count = {count}")).execute(connection)
            };
            archive.database.write(INSERT, limit).await.unwrap();
        };
        pages(1).await;
        let intake = Intake(Arc::clone(lens));
        intake.traces(spans(0..100)).await.unwrap();
        until("it fails", || archive.status().failure.is_some()).await;
        assert_eq!(
            archive.status().failure.unwrap().reason,
            "database or disk is full"
        );
        for request in 1..100 {
            let first = request * 500;
            intake.traces(spans(first..first + 500)).await.unwrap();
        }
        let dropped = archive.status().dropped;
        assert!(dropped > 0, "{dropped}");
        assert!(archive.lock().queue.size() <= MEMORY / 8);
        let stored = lens.store.stats().spans;
        assert_eq!(stored.records + stored.evicted, 99 * 500 + 100);

        pages(i32::MAX).await;
        until("it recovers", || archive.status().failure.is_none()).await;
    })
    .await;
    run(folder.path(), MEMORY, async |lens| {
        loaded(lens).await;
        let records = lens.store.stats().spans.records;
        assert!((100..99 * 500).contains(&records), "{records}");
    })
    .await;
}

/// A disk that is full at the stop must not prevent the next start.
#[tokio::test]
async fn an_open_of_an_existing_file_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), MEMORY, async |lens| {
        loaded(lens).await;
        Intake(Arc::clone(lens)).traces(spans(0..9)).await.unwrap();
    })
    .await;
    let log = folder.path().join(format!("{FILE}-wal"));
    // The connections of the first run close on their threads, and the last one removes the log.
    until("the log is gone", || !log.exists()).await;
    let opened = Archive::open(folder.path(), MEMORY).await.unwrap();
    assert_eq!(fs::metadata(&log).map_or(0, |log| log.len()), 0);
    assert_eq!(opened.loading().map(|loading| loading.total), Some(9));
}
