//! The doctor: what is missing or wrong, and what to do about it.

mod full;
mod problems;
mod refused;
mod remedy;
mod senders;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{
    format,
    frame::{self, Place},
};
use crate::{Lens, findings::Findings, state};

pub(super) async fn show(State(lens): State<Arc<Lens>>) -> Response {
    let content = state::work(&lens, content).await;
    frame::page(&lens, "Doctor", Place::Doctor, content).into_response()
}

fn content(lens: &Lens) -> Markup {
    let findings = Findings::new(&lens.store);
    html! {
        h1 { "Doctor" }
        p.lead { "What lens refused, what is missing, and what to do about it." }
        (problems::section(lens, &findings))
        (refused::section(&lens.doctor.notes()))
        (senders::section(&lens.doctor.services()))
        (full::section(lens))
    }
}

/// A time to the millisecond.
fn moment(time: SystemTime) -> Markup {
    let nanos = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    format::time(u64::try_from(nanos).unwrap_or_default())
}
