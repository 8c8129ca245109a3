//! The requests of a run, and its report.

use std::{collections::HashSet, net::Ipv4Addr, time::Duration};

use loadgen::{Input, Journey, Report};

use crate::{
    fake::{Fake, Mood},
    harness::run,
};

const THOUSAND: [&str; 6] = [
    "--rate=1000",
    "--count=1000",
    "--bad=0.3",
    "--seed=1",
    "--duration=60s",
    "--accounts=20",
];

fn counts(report: &Report) -> Vec<(Option<Journey>, Option<Input>, u64)> {
    report
        .rows
        .iter()
        .map(|row| (row.journey, row.input, row.count))
        .collect()
}

fn kinds(report: &Report) -> HashSet<&str> {
    report
        .errors
        .iter()
        .map(|errors| errors.kind.as_str())
        .collect()
}

fn check_thousand(report: &Report, fake: &Fake) {
    assert!(report.passed, "{:?}", report.errors);
    assert_eq!((report.total.count, report.total.unexpected), (1_000, 0));
    assert_eq!(report.rows.len(), 8, "{:?}", counts(report));

    fake.seen(|seen| {
        // auth permits ten a minute.
        let most = seen.failures.values().max();
        assert!(most.is_some_and(|most| *most < 10), "{most:?}");
        assert!(seen.addresses.len() > 50);
        for address in &seen.addresses {
            let address: Ipv4Addr = address.parse().unwrap();
            assert!(
                matches!(address.octets(), [198, 18 | 19, _, _]),
                "{address}"
            );
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_journeys_over_http_all_get_expected_answers() {
    let fake = Fake::new(Mood::Well);
    let target = format!("http://{}", fake.frontend().await);
    let report = run(&target, &THOUSAND).await;
    check_thousand(&report, &fake);

    // A second run with the same seed, against a target that has the accounts of the first one.
    let again = run(&target, &THOUSAND).await;
    assert!(again.passed, "{:?}", again.errors);
    assert_eq!(counts(&again), counts(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_journeys_over_grpc_all_get_expected_answers() {
    let fake = Fake::new(Mood::Well);
    let report = run(&format!("grpc://{}", fake.auth().await), &THOUSAND).await;
    check_thousand(&report, &fake);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_targets_get_the_same_number_of_requests() {
    for grpc in [false, true] {
        let fake = Fake::new(Mood::Well);
        let mut targets = Vec::new();
        for _ in 0..3 {
            targets.push(if grpc {
                format!("grpc://{}", fake.auth().await)
            } else {
                format!("http://{}", fake.frontend().await)
            });
        }
        let args = [
            "--mix=me=1",
            "--bad=0",
            "--rate=1000",
            "--count=300",
            "--accounts=1",
        ];
        let report = run(&targets.join(","), &args).await;
        assert!(report.passed, "{:?}", report.errors);
        fake.seen(|seen| {
            let counts: Vec<_> = seen.me_at.values().collect();
            assert_eq!(counts, [&100; 3]);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn if_the_pool_has_no_session_a_new_one_is_opened() {
    let fake = Fake::new(Mood::Well);
    let target = format!("http://{}", fake.frontend().await);
    let args = [
        "--mix=logout=1,me=1",
        "--bad=0.2",
        "--rate=500",
        "--count=100",
        "--accounts=1",
    ];
    let report = run(&target, &args).await;
    assert!(report.passed, "{:?}", report.errors);
}

/// One request at a time, and one request takes 500 ms. If latency counted from the actual start,
/// only one in hundreds would be slow.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_counts_as_latency_of_all_journeys_that_wait() {
    let stall = Mood::Stalls(Duration::from_millis(300), Duration::from_millis(500));
    for grpc in [false, true] {
        let fake = Fake::new(stall);
        let target = if grpc {
            format!("grpc://{}", fake.auth().await)
        } else {
            format!("http://{}", fake.frontend().await)
        };
        let args = [
            "--mix=me=1",
            "--bad=0",
            "--rate=200",
            "--duration=1s",
            "--seed=3",
            "--max-in-flight=1",
        ];
        let report = run(&target, &args).await;
        assert!(report.passed, "{:?}", report.errors);
        assert_eq!(fake.seen(|seen| seen.stalled), 1);
        // The schedule did not wait for the target.
        assert!(report.total.count > 150, "{}", report.total.count);

        let latency = report.total.latency.unwrap();
        assert!(latency.p90 > 0.3, "{latency:?}");
        assert!(latency.p99 > 0.4, "{latency:?}");
        assert!(latency.max >= 0.45, "{latency:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journeys_that_are_never_sent_are_reported() {
    let fake = Fake::new(Mood::Stalls(Duration::ZERO, Duration::from_secs(3_600)));
    let target = format!("http://{}", fake.frontend().await);
    let args = [
        "--mix=me=1",
        "--bad=0",
        "--rate=100",
        "--duration=300ms",
        "--timeout=200ms",
        "--max-in-flight=1",
    ];
    let report = run(&target, &args).await;
    assert!(!report.passed);
    assert_eq!(kinds(&report), HashSet::from(["timeout", "unsent"]));
    assert_eq!(report.total.unexpected, report.total.count);
    assert!(fake.seen(|seen| seen.me) < 5);
    assert!(report.elapsed < 5.0, "{}", report.elapsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn unexpected_answers_are_counted_by_kind() {
    let fake = Fake::new(Mood::Down);
    let args = [
        "--mix=me=1,login=1",
        "--bad=0.5",
        "--rate=500",
        "--count=100",
        "--seed=1",
    ];
    for (target, kind) in [
        (format!("http://{}", fake.frontend().await), "http 503"),
        (format!("grpc://{}", fake.auth().await), "grpc UNAVAILABLE"),
    ] {
        let report = run(&target, &args).await;
        assert!(!report.passed);
        assert_eq!(kinds(&report), HashSet::from([kind]));
        let of = |journey| -> Vec<(u64, u64)> {
            let rows = report
                .rows
                .iter()
                .filter(|row| row.journey == Some(journey));
            rows.map(|row| (row.count, row.unexpected)).collect()
        };
        assert!(
            of(Journey::Me)
                .iter()
                .all(|(count, unexpected)| count == unexpected)
        );
        assert!(
            of(Journey::Login)
                .iter()
                .all(|(_, unexpected)| *unexpected == 0)
        );
    }
}
