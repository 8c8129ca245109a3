//! How full lens is, and who sends.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{extract::State, response::Response};
use serde_json::{Value, json};

use super::Api;
use crate::store::SignalStats;

/// How full lens is, and who sends.
pub(super) async fn show(State(api): State<Api>) -> Response {
    let lens = &api.lens;
    let stats = lens.store.stats();
    let usage = lens.metrics.usage();
    let services = lens.doctor.services().into_iter().map(|service| {
        json!({
            "name": service.name,
            "instance": service.instance,
            "sdk": service.sdk,
            "spans": service.spans,
            "points": service.points,
            "logs": service.logs,
            "lastUnixNano": nanos(service.last).to_string(),
        })
    });
    super::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "loading": lens.loading(),
        "memory": {
            "bytes": stats.bytes + usage.bytes,
            "limit": lens.memory,
        },
        "spans": signal(&stats.spans),
        "logs": signal(&stats.logs),
        "metrics": {
            "series": usage.series,
            "seriesLimit": usage.series_limit,
            "points": usage.points,
            "bytes": usage.bytes,
            "limit": usage.limit,
            "evictedPoints": usage.evicted_points,
            "evictedSeries": usage.evicted_series,
            "rejectedPoints": usage.rejected_points,
        },
        "services": services.collect::<Vec<_>>(),
    }))
}

fn signal(stats: &SignalStats) -> Value {
    json!({
        "records": stats.records,
        "evicted": stats.evicted,
        // 64-bit integers are text, as in OTLP.
        "oldestUnixNano": stats.oldest.map(|oldest| oldest.to_string()),
    })
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos())
}
