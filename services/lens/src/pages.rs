//! The pages as HTML.
//!
//! A page is a function of its URL and of what is stored. It works without a script, and shows attributes as text
//! only. The module of a page has its handler, which reads the store, and functions that render what was read.

mod chart;
mod doctor;
mod filter;
mod format;
mod frame;
mod links;
mod overview;
mod problem;
mod text;
mod traces;

use std::sync::Arc;

use axum::{Router, routing::get};
use rust_embed::Embed;

pub(crate) use self::problem::Problem;
use crate::Lens;

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
}
