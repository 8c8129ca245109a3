//! The list of metrics, and the page of one metric.

mod attributes;
mod charts;
mod exemplars;
mod histogram;
mod lines;
mod list;
mod page;
mod read;
mod select;
mod series;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::Markup;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::select::Variant;
use super::{
    Problem,
    frame::{self, Place},
};
use crate::{
    Lens,
    metrics::{Kind, Measurement},
    params::Params,
    state,
};

/// What a name keeps in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// Longest name with a page of its own, in bytes. Servers limit URLs.
const LONGEST_NAME: usize = 2_000;

pub(super) async fn list(State(lens): State<Arc<Lens>>, params: Params) -> Response {
    let content = state::work(&lens, move |lens| list::page(lens, &params)).await;
    frame::page(&lens, "Metrics", Place::Metrics, content).into_response()
}

pub(super) async fn one(
    State(lens): State<Arc<Lens>>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Response {
    // The name is no UTF-8.
    let Ok(Path(name)) = name else {
        return Problem::NotFound.into_response();
    };
    let name = params.get("name").map_or(name, str::to_owned);
    let title = attributes::shown(&name);
    let content = state::work(&lens, move |lens| page::of(lens, &name, &params)).await;
    let (status, content) = match content {
        Ok(content) => (StatusCode::OK, content),
        Err(content) => (StatusCode::NOT_FOUND, content),
    };
    let page = frame::page(&lens, &title, Place::Metrics, content);
    (status, page).into_response()
}

/// The path of a metric's page. `None` if the name is too long for a URL.
fn path(name: &str) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    Some(match is_no_path(name) {
        true => "/metrics/-".to_owned(),
        false => format!("/metrics/{}", utf8_percent_encode(name, PLAIN)),
    })
}

/// Whether no path has a part of this name: browsers take it for a parent.
fn is_no_path(name: &str) -> bool {
    matches!(name, "." | "..")
}

/// The page of a metric with these parameters. `None` if the name is too long for a URL.
fn href(name: &str, params: &Params) -> Option<String> {
    let path = path(name)?;
    Some(match is_no_path(name) {
        true => params.with("name", name).href(&path),
        false => params.href(&path),
    })
}

/// The name of a metric, which may break after its separators.
pub(super) fn shown(name: &str) -> Markup {
    attributes::metric_name(name)
}

/// The page of a series with a measurement. `None` if the name is too long for a URL.
pub(super) fn series_href(measurement: &Measurement) -> Option<String> {
    let variant = Variant {
        kind: measurement.kind,
        unit: measurement.unit.clone(),
    };
    let params = Params::default()
        .with("type", variant.parameter())
        .with("unit", &variant.unit)
        .with("series", read::id_text(measurement.series))
        .with("range", select::ALL);
    href(&measurement.name, &params)
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "Gauge",
        Kind::Sum => "Up-down counter",
        Kind::Counter => "Counter",
        Kind::Histogram => "Histogram",
        Kind::ExponentialHistogram => "Exponential histogram",
        Kind::Summary => "Summary",
    }
}
