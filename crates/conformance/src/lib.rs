//! Checks that a receiver keeps the contract of OTLP, against any URL.
//!
//! The suite sends requests over gRPC and HTTP and judges the answers by the
//! [OTLP specification](https://opentelemetry.io/docs/specs/otlp/), version 1.11. Each case has a
//! [`Level`], which says how binding its expectation is. Only required cases decide over a pass.
//!
//! A case sees the answers of the receiver and nothing else. "Accepted" means that the receiver
//! acknowledged every record. Whether the receiver stores the records unchanged needs a look into
//! its store. Two more things need a test beside the receiver and have no case here: the answer of
//! a saturated store, and a stop while requests run.
//!
//! The ids of the cases begin with T for transport, J for the JSON encoding or D for data.

mod answer;
mod case;
mod cases;
mod grpc;
mod http;
mod report;
mod sample;
mod target;

pub use crate::{
    case::{Level, Outcome},
    report::{Report, Row},
    target::{MIB, Target},
};

/// Runs the cases that match one of the filters, or all cases if there are no filters.
///
/// A filter is the id of a case such as `T5b`, the common part of several ids such as `T5`, or a
/// topic: `transport`, `encoding`, `limits`, `json` or `data`.
///
/// # Errors
/// If a filter matches no case.
pub async fn run(target: &Target, filters: &[String]) -> anyhow::Result<Report> {
    for filter in filters {
        anyhow::ensure!(
            cases::ALL.iter().any(|case| case.matches(filter)),
            "no case has the id or the topic {filter}"
        );
    }
    let mut rows = Vec::new();
    for case in cases::ALL {
        if filters.is_empty() || filters.iter().any(|filter| case.matches(filter)) {
            rows.push(Row {
                id: case.id,
                what: case.what,
                level: case.level,
                outcome: case.run(target).await,
            });
        }
    }
    Ok(Report { rows })
}
