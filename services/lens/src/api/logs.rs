//! Log records.

use axum::{extract::State, response::Response};

use super::{Api, Error, follow, otlp};
use crate::{
    params::Params,
    state::work,
    store::{LogCursor, LogFilter, Page, Store},
};

/// Number of log records of an answer, and its maximum.
const LIMIT: (usize, usize) = (100, 1000);

/// Size after which an answer has no further log records, in bytes.
const SIZE: usize = 8 << 20;

/// Number of log records that are read at a time.
const STEP: usize = 100;

/// The newest log records that match.
pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, Error> {
    let filter = super::filter(&params, &["before", "follow", "limit"])?;
    let filter = filter
        .to_log_filter()
        .map_err(|terms| Error::filter(&terms))?;
    if super::is_follow(&params)? {
        return follow::logs(&api, filter);
    }
    let limit = super::limit(&params, LIMIT.0, LIMIT.1)?;
    let before = super::parse(&params, "before", "the cursor of a link to the next page")?;
    let _place = api.answer().await?;
    let page = Page { limit, before };
    let (body, next) = work(&api.lens, move |lens| read(&lens.store, &filter, &page)).await;
    let next = next.map(|next| params.with("before", next).href("/api/logs"));
    Ok(super::page(body, next))
}

/// Log records as one export object. Large ones make it shorter than the limit.
fn read(store: &Store, filter: &LogFilter, page: &Page<LogCursor>) -> (Vec<u8>, Option<LogCursor>) {
    let mut body = b"{\"resourceLogs\":[".to_vec();
    let Page {
        limit: mut left,
        mut before,
    } = *page;
    let mut comma = false;
    let next = loop {
        let page = Page {
            limit: left.min(STEP),
            before,
        };
        let list = store.logs(filter, &page);
        left -= list.rows.len();
        let object = otlp::logs(list.rows);
        let elements = otlp::elements(&object);
        if comma && !elements.is_empty() {
            body.push(b',');
        }
        comma |= !elements.is_empty();
        body.extend_from_slice(elements);
        before = list.next;
        if before.is_none() || left == 0 || body.len() > SIZE {
            break before;
        }
    };
    body.extend_from_slice(b"]}\n");
    (body, next)
}
