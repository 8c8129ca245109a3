//! How many traces or log records match, with a line about each: for scripts and tests.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};

use super::{Api, Error};
use crate::{
    Lens,
    archive::Loading,
    pages::{level, plain},
    params::Params,
    query::Filter,
    state::work,
    store::{LogCursor, LogFilter, Page, StoredLog, TraceRow},
};

/// Number of matches of an answer, and its maximum.
const LIMIT: (usize, usize) = (100, 10_000);

/// Number of log records that are read at a time.
const STEP: usize = 200;

/// Longest text of a match, in characters.
const TEXT: usize = 200;

/// The matches of a filter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Matches {
    /// Number of matches, up to the limit.
    pub(crate) count: usize,
    /// Whether there are more than the limit.
    pub(crate) more: bool,
    /// The load of what an earlier run stored, if it is under way: there may be other matches when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loading: Option<Loading>,
    /// The matches, newest first.
    pub(crate) matches: Vec<Match>,
}

/// A trace or a log record.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Match {
    /// The trace. Empty for a log record without one.
    pub(crate) trace_id: String,
    /// The span. Empty for a trace, and for a log record without one.
    pub(crate) span_id: String,
    pub(crate) service: String,
    /// Name of the root span, or a start of the body of the log record.
    pub(crate) text: String,
    /// Start of the trace, or time of the log record, in nanoseconds since 1970.
    pub(crate) time_unix_nano: String,
    /// Duration of the trace, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_nano: Option<String>,
    /// Number of spans of the trace, and of those with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spans: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errors: Option<u32>,
    /// Level of the log record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<String>,
}

/// The traces or log records that match.
pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, Error> {
    let filter = super::filter(&params, &["limit", "signal"])?;
    let limit = super::limit(&params, LIMIT.0, LIMIT.1)?;
    let signal = params.get("signal").unwrap_or("traces");
    let find = find(&filter, signal, limit)?;
    let _place = api.answer().await?;
    // Before the search: what is loaded meanwhile may be missing in it.
    let loading = api.lens.loading();
    let matches = work(&api.lens, find).await;
    Ok(super::json(&Matches { loading, ..matches }))
}

type Find = Box<dyn FnOnce(&Lens) -> Matches + Send>;

fn find(filter: &Filter, signal: &str, limit: usize) -> Result<Find, Error> {
    let find: Find = match signal {
        "traces" => {
            let filter = filter
                .to_trace_filter()
                .map_err(|terms| Error::filter(&terms))?;
            Box::new(move |lens| {
                let page = Page {
                    limit,
                    before: None,
                };
                let list = lens.store.traces(&filter, &page);
                let matches: Vec<_> = list.rows.into_iter().map(of_trace).collect();
                Matches {
                    count: matches.len(),
                    more: list.next.is_some(),
                    loading: None,
                    matches,
                }
            })
        }
        "logs" => {
            let filter = filter
                .to_log_filter()
                .map_err(|terms| Error::filter(&terms))?;
            Box::new(move |lens| find_logs(lens, &filter, limit))
        }
        _ => {
            let text = "`signal` is `traces` or `logs`";
            return Err(Error::BadRequest(text.to_owned()));
        }
    };
    Ok(find)
}

fn find_logs(lens: &Lens, filter: &LogFilter, limit: usize) -> Matches {
    let mut matches = Vec::new();
    let mut before: Option<LogCursor> = None;
    loop {
        let page = Page {
            limit: (limit - matches.len()).min(STEP),
            before,
        };
        let list = lens.store.logs(filter, &page);
        matches.extend(list.rows.iter().map(of_log));
        before = list.next;
        if before.is_none() || matches.len() == limit {
            return Matches {
                count: matches.len(),
                more: before.is_some(),
                loading: None,
                matches,
            };
        }
    }
}

fn of_trace(row: TraceRow) -> Match {
    Match {
        trace_id: row.id.to_string(),
        service: row.service,
        text: row.name.chars().take(TEXT).collect(),
        time_unix_nano: row.start.to_string(),
        duration_nano: Some(row.duration.to_string()),
        spans: Some(row.spans),
        errors: Some(row.errors),
        ..Match::default()
    }
}

fn of_log(log: &StoredLog) -> Match {
    let record = &log.record;
    Match {
        trace_id: hex(&record.trace_id),
        span_id: hex(&record.span_id),
        service: log.source.service.clone(),
        text: plain(record.body.as_ref()).chars().take(TEXT).collect(),
        time_unix_nano: log.time.to_string(),
        level: level(record.severity_number).map(str::to_owned),
        ..Match::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
