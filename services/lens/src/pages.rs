//! The pages as HTML.
//!
//! A page is a function of its URL and of what is stored. It works without a script, and shows attributes as text
//! only. The module of a page has its handler, which reads the store, and functions that render what was read.

mod chart;
mod compare;
mod doctor;
mod filter;
mod format;
mod frame;
mod links;
mod live;
mod logs;
mod measured;
mod metrics;
mod overview;
mod problem;
mod saved;
#[cfg(test)]
mod testing;
mod text;
mod trace;
mod traces;
mod unfinished;
mod value;

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use rust_embed::Embed;

pub(crate) use self::{
    format::{clock, duration, level},
    problem::Problem,
    text::line,
};
use crate::Lens;

/// Time after which a search for a page ends. The next page has what is left.
const SEARCH: Duration = Duration::from_millis(250);

/// The files that only pages of lens load.
#[derive(Embed)]
#[folder = "assets/"]
pub(crate) struct Files;

/// The routes of all pages.
pub(crate) fn routes() -> Router<Arc<Lens>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/doctor", get(doctor::show))
        .route("/traces", get(traces::list))
        .route("/traces/events", get(traces::events))
        .route("/logs", get(logs::list))
        .route("/logs/events", get(logs::events))
        .route("/traces/{id}", get(trace::show))
        .route("/metrics", get(metrics::list))
        .route("/metrics/{name}", get(metrics::one))
}

/// A value as plain text: a string without quotes, and anything else as JSON.
pub(crate) fn plain(value: Option<&AnyValue>) -> String {
    value::plain(value)
}
