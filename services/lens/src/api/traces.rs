//! Traces.

use std::{sync::Arc, vec};

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};

use super::{
    Api, Error, follow, otlp,
    stream::{Joined, Objects},
};
use crate::{
    Lens,
    params::Params,
    state::work,
    store::{Page, TraceCursor, TraceId},
};

/// Number of traces of an answer, and its maximum.
const LIMIT: (usize, usize) = (20, 1000);

/// Number of spans after which an answer has no further trace.
const SPANS: u32 = 10_000;

/// Number of spans that are read at a time.
const WINDOW: usize = 500;

/// The newest traces that match, each with all of its spans.
pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, Error> {
    let filter = super::filter(&params, &["before", "follow", "limit"])?;
    let filter = filter
        .to_trace_filter()
        .map_err(|terms| Error::filter(&terms))?;
    if super::is_follow(&params)? {
        return follow::traces(&api, filter);
    }
    let limit = super::limit(&params, LIMIT.0, LIMIT.1)?;
    let before = super::parse(&params, "before", "the cursor of a link to the next page")?;
    let place = api.answer().await?;
    let page = Page { limit, before };
    let list = work(&api.lens, move |lens| lens.store.traces(&filter, &page)).await;
    drop(place);
    let mut next = list.next;
    let mut spans = 0;
    let mut ids = Vec::new();
    let mut last = None;
    for row in list.rows {
        spans += row.spans;
        if last.is_some() && spans > SPANS {
            next = last;
            break;
        }
        ids.push(row.id);
        last = Some(TraceCursor {
            start: row.start,
            trace: row.id,
        });
    }
    let next = next.map(|next| params.with("before", next).href("/api/traces"));
    Ok(super::page(body(&api, ids), next))
}

/// All spans of a trace.
pub(super) async fn one(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let Path(id) = id.map_err(|error| Error::BadRequest(error.body_text()))?;
    let id: TraceId = id
        .parse()
        .map_err(|error| Error::BadRequest(format!("{error}")))?;
    let place = api.answer().await?;
    let outline = work(&api.lens, move |lens| lens.store.outline(id)).await;
    drop(place);
    if outline.is_none() {
        return Err(Error::NotFound(format!(
            "no span of the trace {id} is stored; /api/logs?q=trace:{id} has its log records"
        )));
    }
    // The body reads it again.
    drop(outline);
    Ok(super::page(body(&api, vec![id]), None))
}

/// The spans that are left to write.
struct Rest {
    lens: Arc<Lens>,
    ids: vec::IntoIter<TraceId>,
    /// The trace that is being written, and the number of its next span.
    current: Option<(TraceId, usize)>,
}

/// Traces as one export object.
fn body(api: &Api, ids: Vec<TraceId>) -> Body {
    let rest = Rest {
        lens: Arc::clone(&api.lens),
        ids: ids.into_iter(),
        current: None,
    };
    super::body(api, Joined::new("resourceSpans", rest))
}

impl Objects for Rest {
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let (id, from) = match self.current.take() {
                Some(current) => current,
                None => (self.ids.next()?, 0),
            };
            // The outline is read again each time, because a slow reader must not keep evicted segments in memory.
            let read = move |lens: &Lens| {
                let outline = lens.store.outline(id)?;
                let end = outline.len().min(from + WINDOW);
                let rest = (end < outline.len()).then_some((id, end));
                Some((otlp::spans(outline.read(from..end)), rest))
            };
            // A trace can be evicted in the meantime.
            if let Some((object, rest)) = work(&self.lens, read).await {
                self.current = rest;
                return Some(object);
            }
        }
    }
}
