//! Series of metrics.

use std::{sync::Arc, vec};

use axum::{extract::State, response::Response};

use super::{
    Api, Error, otlp,
    stream::{Joined, Objects},
};
use crate::{
    Lens,
    metrics::{Range, SeriesId},
    params::Params,
    state::work,
};

/// Number of series of an answer, and its maximum.
const LIMIT: (usize, usize) = (100, 1000);

/// The series that match, with their points.
pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, Error> {
    let filter = super::filter(&params, &["after", "from", "limit", "to"])?;
    let filter = filter
        .to_series_filter()
        .map_err(|terms| Error::filter(&terms))?;
    let limit = super::limit(&params, LIMIT.0, LIMIT.1)?;
    let after = params.get("after").map(cursor).transpose()?;
    let time = |name| super::parse::<u64>(&params, name, "a time in nanoseconds since 1970");
    let range = Range {
        from: time("from")?.map_or(0, |from| from.saturating_sub(1)),
        to: time("to")?.map_or(u64::MAX, |to| to.saturating_sub(1)),
    };
    let place = api.answer().await?;
    let mut series = work(&api.lens, move |lens| {
        let after = after.as_ref().map(|(name, id)| (name.as_str(), *id));
        // One more tells whether there is a next page.
        lens.metrics
            .find_series(after, limit + 1, |labels| filter.matches(labels))
    })
    .await;
    drop(place);
    let more = series.len() > limit;
    series.truncate(limit);
    let last = series.last().filter(|_| more);
    let next = last.map(|(name, id)| {
        let cursor = format!("{:016x}-{name}", id.0);
        params.with("after", cursor).href("/api/metrics")
    });

    let rest = Rest {
        lens: Arc::clone(&api.lens),
        series: series.into_iter(),
        range,
    };
    let body = super::body(&api, Joined::new("resourceMetrics", rest));
    Ok(super::page(body, next))
}

/// The series that are left to write: one at a time, because each may have many points.
struct Rest {
    lens: Arc<Lens>,
    series: vec::IntoIter<(String, SeriesId)>,
    range: Range,
}

impl Objects for Rest {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let (_, id) = self.series.next()?;
        let range = self.range;
        let read = move |lens: &Lens| otlp::metrics(lens.metrics.otlp(&[id], range));
        Some(work(&self.lens, read).await)
    }
}

fn cursor(text: &str) -> Result<(String, u64), Error> {
    let parse = || {
        let (id, name) = text.split_once('-')?;
        Some((name.to_owned(), u64::from_str_radix(id, 16).ok()?))
    };
    parse().ok_or_else(|| {
        Error::BadRequest("`after` is the cursor of a link to the next page".to_owned())
    })
}
