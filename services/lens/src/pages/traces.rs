//! The list of traces.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::html;

use super::{
    filter,
    frame::{self, Place},
};
use crate::{Lens, params::Params};

const EXAMPLE: &str = "service:auth duration>200ms status:error";

pub(super) async fn list(State(lens): State<Arc<Lens>>, params: Params) -> Response {
    let problems = filter::read(&params).err().unwrap_or_default();
    let content = html! {
        h1 { "Traces" }
        (filter::form("/traces", &params, EXAMPLE, &problems))
    };
    frame::page(&lens, "Traces", Place::Traces, content).into_response()
}
