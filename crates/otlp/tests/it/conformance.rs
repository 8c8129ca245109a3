//! The conformance suite against this receiver.

use conformance::{Level, Outcome, Target};
use otlp::Limits;

use crate::server::start;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_passes() {
    let server = start(Limits::default()).await;
    let url = format!("http://{}", server.address);
    let target = Target {
        grpc: Some(url.clone()),
        http: Some(url),
        limit: Target::LIMIT,
    };
    let report = conformance::run(&target, &[]).await.unwrap();
    let document = include_str!("../../../../docs/conformance.md");
    for row in report.rows {
        assert_eq!(row.outcome, Outcome::Passed, "{} {}", row.id, row.what);
        let level = match row.level {
            Level::Required => "required",
            Level::Recommended => "recommended",
            Level::Choice => "our choice",
        };
        let start = format!("\n| {} | {} | {level} | passed |", row.id, row.what);
        assert!(
            document.contains(&start),
            "docs/conformance.md has no {start}"
        );
    }
}
