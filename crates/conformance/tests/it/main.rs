//! Runs the suite against receivers that are wrong in one known way.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod receiver;

use std::process::{Command, Output};

use conformance::{Outcome, Report, Target};
use receiver::Fault;

/// A small limit, which makes the runs short.
const LIMIT: usize = 256 * 1024;

/// The cases that the small receiver always fails, because it has no CORS and no warnings.
const ALWAYS: [&str; 2] = ["T15a", "D10c"];

async fn check(fault: Fault) -> Report {
    let url = receiver::start(fault, LIMIT).await;
    let target = Target {
        grpc: Some(url.clone()),
        http: Some(url),
        limit: LIMIT,
    };
    conformance::run(&target, &[]).await.unwrap()
}

/// The failed cases, without those that always fail.
fn failed(report: &Report) -> Vec<&'static str> {
    let failed = report.rows.iter().filter(|row| {
        let failed = matches!(row.outcome, Outcome::Failed(_));
        failed && !ALWAYS.contains(&row.id)
    });
    failed.map(|row| row.id).collect()
}

macro_rules! exactly_these_fail {
    ($($name:ident: $fault:ident [$($id:literal)*])*) => {$(
        #[tokio::test]
        async fn $name() {
            let report = check(Fault::$fault).await;
            assert_eq!(failed(&report), [$($id),*] as [&str; _], "{report}");
        }
    )*};
}

exactly_these_fail! {
    a_correct_receiver_passes: Nothing []
    a_server_error_for_bad_data_is_found: ServerError ["T4b" "T10a" "T10b" "T10c" "T10d" "J1b" "J4b" "J5c"]
    a_wrong_content_type_is_found: ContentType [
        "T1c" "T1d" "T1h" "T1i" "T2b" "T3b" "T3e" "T4b" "T5a" "T5b" "T5d" "T8a" "T9a" "T10a"
        "T10d" "T12a" "T12b" "T16a"
    ]
    json_for_protobuf_is_found: Json [
        "T1c" "T1d" "T1h" "T1i" "T2b" "T4b" "T5a" "T5b" "T5d" "T8a" "T9a" "T10a" "T10d"
        "T12a" "T12b" "T16a"
    ]
    an_empty_partial_success_is_found: EmptyPartialSuccess ["T1h"]
    errors_as_text_are_found: TextErrors [
        "T3b" "T3e" "T4b" "T5b" "T5c" "T5d" "T10a" "T10b" "T10c" "T10d" "T16a" "J4b" "J5c"
    ]
    missing_details_are_found: NoDetails ["T10d" "T10g"]
    a_code_that_clients_retry_is_found: OutOfRange ["T6b" "T6c"]
    a_retry_of_large_requests_is_found: Retry ["T5b" "T5c" "T5d" "T6b" "T6c"]
    a_limit_of_packed_bytes_is_found: Bomb ["T5d" "T6c"]
    missing_decompression_is_found: NoGzip ["T1d" "T1f" "T4b" "T5d"]
    a_wrong_count_is_found: Count ["T9a" "T9b" "D1"]
    misread_ids_are_found: AnyId ["J1b"]
    refused_nulls_are_found: Null ["J6b"]
}

#[tokio::test]
async fn a_receiver_that_never_answers_fails_in_time() {
    let url = receiver::start(Fault::Hang, LIMIT).await;
    let target = Target {
        grpc: None,
        http: Some(url),
        limit: LIMIT,
    };
    let filters = ["T1a", "T1c"].map(str::to_owned);
    let report = conformance::run(&target, &filters).await.unwrap();
    let [grpc, http] = &*report.rows else {
        panic!("{report}");
    };
    assert_eq!(grpc.outcome, Outcome::Skipped("no gRPC URL".to_owned()));
    let reason = "no result within 10 s".to_owned();
    assert_eq!(http.outcome, Outcome::Failed(reason));
    assert!(!report.passed());
}

#[tokio::test]
async fn large_requests_are_accepted_or_refused_at_any_time() {
    let limit = 6 * conformance::MIB;
    for fault in [Fault::Nothing, Fault::Early] {
        let url = receiver::start(fault, limit).await;
        let target = Target {
            grpc: Some(url.clone()),
            http: Some(url),
            limit,
        };
        let report = conformance::run(&target, &["limits".to_owned()]).await;
        let report = report.unwrap();
        let passed = |outcome: &Outcome| *outcome == Outcome::Passed;
        assert!(
            report.rows.iter().all(|row| passed(&row.outcome)),
            "{report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_tells_whether_a_required_case_failed() {
    for (fault, case, code) in [
        (Fault::Nothing, "T10", 0),
        (Fault::ServerError, "T10", 1),
        (Fault::NoDetails, "T10", 0),
        (Fault::Nothing, "T99", 2),
    ] {
        let url = receiver::start(fault, LIMIT).await;
        let output = program(&["--http", &url, "--format", "markdown", case]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let table = String::from_utf8(output.stdout).unwrap();
        let row =
            "| T10c | a JSON array as the request gets 400 with a `Status` in JSON | required |";
        assert_eq!(table.contains(row), code != 2, "{table}");
    }
    assert_eq!(program(&[]).status.code(), Some(2));
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_otlp-conformance"))
        .args(arguments)
        .output()
        .unwrap()
}
