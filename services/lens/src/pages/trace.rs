//! The page of one trace: its waterfall, and what is known of a selected span.

mod absent;
mod bar;
mod cell;
mod detail;
mod head;
mod json;
mod links;
mod logs;
mod markdown;
mod marks;
mod neighbors;
mod rows;
mod scale;
mod shown;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use axum::{
    extract::{Path, State as Shared, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use pages::assets::href;

pub(super) use self::absent::page as absent;
use self::{shown::Shown, state::State, view::View};
use super::{
    Files, Problem, compare,
    frame::{self, Place},
    text,
};
use crate::{Lens, params::Params, state as shared, store::TraceId};

/// `/traces/ID`, `/traces/ID.md` and `/traces/ID.json`.
pub(super) async fn show(
    Shared(lens): Shared<Arc<Lens>>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Response {
    let Ok(Path(name)) = name else {
        return Problem::NotFound.into_response();
    };
    let (id, form) = match name.split_once('.') {
        None => (&*name, ""),
        Some((id, form)) => (id, form),
    };
    let Ok(id) = id.parse::<TraceId>() else {
        return absent::not_an_id(&name);
    };
    let other = params.get("with").map(str::to_owned);
    match (form, other) {
        ("", None) => shared::work(&lens, move |lens| page(lens, id, &params)).await,
        ("", Some(other)) => {
            shared::work(&lens, move |lens| compare::page(lens, id, &other, &params)).await
        }
        ("md", _) => shared::work(&lens, move |lens| document(lens, id)).await,
        ("json", _) => shared::work(&lens, move |lens| file(lens, id)).await,
        _ => absent::not_an_id(&name),
    }
}

fn page(lens: &Lens, id: TraceId, params: &Params) -> Response {
    let outline = lens.store.outline(id);
    let logs = lens.store.log_outline(id);
    if outline.is_none() && logs.is_none() {
        return absent::page(lens, id);
    }
    let mut state = State::new(id, params);
    let view = View::new(lens, id, outline.as_ref(), logs.as_ref());
    let shown = Shown::new(&view, &state);
    state.reveal(&view, &shown);
    let content = html! {
        (head::head(&view, &state))
        @if view.has_spans() {
            (rows::table(&view, &state, &shown))
        }
        (logs::unplaced(&view))
        script type="module" src=(href::<Files>("trace.js")) {}
    };
    let title = match view.top() {
        Some((service, name)) => format!("{}: {}", text::line(service), text::line(name)),
        None => format!("Trace {id}"),
    };
    // As for a trace id of the wrong form.
    let status = match state.no_span_id {
        Some(_) => StatusCode::NOT_FOUND,
        None => StatusCode::OK,
    };
    let page = frame::page(lens, &title, Place::Traces, content);
    (status, page).into_response()
}

fn document(lens: &Lens, id: TraceId) -> Response {
    let outline = lens.store.outline(id);
    let logs = lens.store.log_outline(id);
    if outline.is_none() && logs.is_none() {
        return absent::page(lens, id);
    }
    let view = View::new(lens, id, outline.as_ref(), logs.as_ref());
    let media_type = HeaderValue::from_static("text/markdown; charset=utf-8");
    ([(header::CONTENT_TYPE, media_type)], markdown::write(&view)).into_response()
}

fn file(lens: &Lens, id: TraceId) -> Response {
    let Some(trace) = lens.store.trace(id) else {
        return absent::page(lens, id);
    };
    let name = format!("attachment; filename=\"trace-{id}.json\"");
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    (headers, json::encode(trace)).into_response()
}

/// The link to a trace, or to a span of it.
pub(super) fn path(trace: TraceId, span: Option<crate::store::SpanId>) -> String {
    match span {
        Some(span) => format!("/traces/{trace}?span={span}#s-{span}"),
        None => format!("/traces/{trace}"),
    }
}

/// A service and a name, as everywhere in the pages of traces.
fn named(class: &str, service: &str, name: &str) -> Markup {
    html! {
        span.swatch.(class) aria-hidden="true" {}
        span.service { (text::name(service, "no service.name")) } " "
        (text::name(name, "no name"))
    }
}
