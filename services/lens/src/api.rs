//! The API for programs. Telemetry is OTLP JSON, and errors are `{"error": "..."}`.
//!
//! docs/lens-api.md describes it.

mod error;
mod export;
mod follow;
mod import;
mod logs;
mod matches;
mod metrics;
pub(crate) mod otlp;
mod status;
mod stream;
mod traces;

use std::{str::FromStr, sync::Arc};

use ::otlp::Receiver;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::stream::InTurn;
pub(crate) use self::{
    error::Error,
    import::Report,
    matches::{Match, Matches},
};
use crate::{Lens, intake::Intake, params::Params, query::Filter};

/// Number of answers, or parts of answers, that are made at the same time. Each has about a MiB of telemetry in memory.
const ANSWERS: usize = 8;

/// Number of files that are imported at the same time. Each may have a request in memory.
const IMPORTS: usize = 2;

/// The header of answers while lens loads what an earlier run stored: the numbers of loaded and of all records.
pub(crate) const LOADING: &str = "lens-loading";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// What the handlers share.
#[derive(Clone, Debug)]
struct Api {
    lens: Arc<Lens>,
    receiver: Receiver<Intake>,
    answers: Arc<Semaphore>,
    imports: Arc<Semaphore>,
}

/// A place among those that do the same. It is returned when this is dropped.
type Place = OwnedSemaphorePermit;

/// The routes under `/api`.
pub(crate) fn routes<S>(lens: Arc<Lens>, receiver: Receiver<Intake>) -> Router<S> {
    let api = Api {
        lens,
        receiver,
        answers: Arc::new(Semaphore::new(ANSWERS)),
        imports: Arc::new(Semaphore::new(IMPORTS)),
    };
    Router::new()
        .route("/traces", get(traces::list))
        .route("/traces/{id}", get(traces::one))
        .route("/logs", get(logs::list))
        .route("/metrics", get(metrics::list))
        .route("/matches", get(matches::list))
        .route("/status", get(status::show))
        .route("/import", post(import::import))
        .route("/export", get(export::export))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&api.lens),
            mark_incomplete,
        ))
        .with_state(api)
}

/// Adds a header to answers that may lack telemetry, because lens still loads what an earlier run stored.
async fn mark_incomplete(State(lens): State<Arc<Lens>>, request: Request, next: Next) -> Response {
    // Before the answer is made: a load that ends meanwhile may be missing in it.
    let loading = lens.loading();
    let mut response = next.run(request).await;
    let value = loading.and_then(|loading| HeaderValue::try_from(loading.to_string()).ok());
    if let Some(value) = value {
        response.headers_mut().insert(LOADING, value);
    }
    response
}

/// Whether a path belongs to the API. `/api/` itself is none of its routes.
pub(crate) fn is_path(path: &str) -> bool {
    let rest = path.strip_prefix("/api");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The answer to a request for a resource that does not exist.
pub(crate) fn not_found() -> Error {
    Error::NotFound("there is no such resource: see docs/lens-api.md".to_owned())
}

impl Api {
    /// Waits for a place to make an answer.
    async fn answer(&self) -> Result<Place, Error> {
        match Arc::clone(&self.answers).acquire_owned().await {
            Ok(place) => Ok(place),
            Err(_) => Err(Error::Busy("lens is about to stop")),
        }
    }

    /// A place for a stream.
    fn stream(&self) -> Result<Place, Error> {
        let place = self.lens.stream();
        place.ok_or(Error::Busy("too many streams are open"))
    }
}

/// The filter of the URL. Parameters other than `q` and these are refused, because a filter that has no effect would
/// give a wrong answer.
fn filter(params: &Params, others: &[&str]) -> Result<Filter, Error> {
    let known = |name: &str| name == "q" || others.contains(&name);
    if let Some((name, _)) = params.pairs().find(|(name, _)| !known(name)) {
        return Err(Error::BadRequest(format!(
            "there is no parameter {name:?}; those of this resource are q, {}",
            others.join(", ")
        )));
    }
    for name in others.iter().chain(&["q"]) {
        if params.pairs().filter(|(key, _)| key == name).count() > 1 {
            let text = format!("`{name}` is there twice: one value of it would have no effect");
            return Err(Error::BadRequest(text));
        }
    }
    if params.is_malformed() {
        let text = "the query of the URL is not valid UTF-8";
        return Err(Error::BadRequest(text.to_owned()));
    }
    let text = params.get("q").unwrap_or_default();
    text.parse()
        .map_err(|errors: crate::query::Errors| Error::filter(&errors.0))
}

/// The maximum number of records of the URL.
fn limit(params: &Params, default: usize, most: usize) -> Result<usize, Error> {
    match params.get("limit").map(str::parse) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::BadRequest(format!(
            "`limit` is a number from 1 to {most}"
        ))),
    }
}

/// A parameter of the URL, if it is there.
fn parse<T: FromStr>(params: &Params, name: &str, form: &str) -> Result<Option<T>, Error> {
    match params.get(name).map(str::parse) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(Error::BadRequest(format!("`{name}` is {form}"))),
    }
}

/// Whether the URL asks for a stream.
fn is_follow(params: &Params) -> Result<bool, Error> {
    let follow = parse(params, "follow", "`true` or `false`")?;
    Ok(follow.unwrap_or(false))
}

/// A body that is made while it is sent.
fn body(api: &Api, parts: impl stream::Parts) -> Body {
    stream::body(&api.lens, InTurn::new(api, parts))
}

/// An answer of another kind than OTLP.
fn json(value: &impl Serialize) -> Response {
    // All values can be written.
    let body = serde_json::to_vec(value).unwrap_or_default();
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// An answer with a link to the next page.
fn page(body: impl Into<Body>, next: Option<String>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, JSON)], body.into()).into_response();
    // A URL has only characters that a header may have.
    let next = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, next);
    }
    response
}

/// An answer of lines.
fn lines(body: Body) -> Response {
    // Otherwise nginx would buffer a stream.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    ([(header::CONTENT_TYPE, LINES), unbuffered], body).into_response()
}
