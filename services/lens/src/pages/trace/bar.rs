//! The bar of a row on the time axis.

use std::ops::Range;

use maud::{Markup, html};

use super::{
    scale::{Scale, text},
    view::View,
};
use crate::{analysis::Node, pages::text as foreign, store::TraceSpan};

/// Maximum number of events on a bar.
const EVENTS: usize = 50;

/// Maximum number of parts of the critical path on a bar.
const SECTIONS: usize = 200;

/// Least width of a bar in percent, so that each span is visible.
const LEAST: f64 = 0.25;

/// The bar of a span, with its events and its part of the critical path.
pub(super) fn span(view: &View<'_>, node: Node, decoded: Option<&TraceSpan>) -> Markup {
    let Some(time) = view.full.time(node) else {
        return html! { svg.track width="100%" height="22" aria-hidden="true" { use href="#grid" {} } };
    };
    let scale = &view.scale;
    let failed = view.full.span(node).is_some_and(|span| span.error);
    let events = decoded.map_or(&[][..], |decoded| &decoded.span.events);
    html! {
        svg.track width="100%" height="22" aria-hidden="true" {
            use href="#grid" {}
            (rect(scale, &time, if failed { "span-bar failed" } else { "span-bar" }, 5, 12))
            @for section in view.critical(node).iter().take(SECTIONS) {
                (rect(scale, section, "critical", 15, 3))
            }
            @for event in events.iter().take(EVENTS) {
                @let place = text(scale.place(event.time_unix_nano));
                line.event x1=(place) x2=(place) y1="2" y2="20" {
                    title { (foreign::line(foreign::split(&event.name, 100).0)) " " (scale.offset(event.time_unix_nano)) }
                }
            }
        }
    }
}

/// The bar of a missing parent, or of a group: the time from the first start to the last end.
pub(super) fn extent(view: &View<'_>, time: Option<&Range<u64>>, class: &str) -> Markup {
    html! {
        svg.track width="100%" height="22" aria-hidden="true" {
            use href="#grid" {}
            @if let Some(time) = time { (rect(&view.scale, time, class, 5, 12)) }
        }
    }
}

/// A log record on the time axis.
pub(super) fn moment(scale: &Scale, time: u64) -> Markup {
    html! {
        svg.track width="100%" height="20" aria-hidden="true" {
            use href="#grid" {}
            @if time != 0 { circle.moment cx=(text(scale.place(time))) cy="10" r="3" {} }
        }
    }
}

fn rect(scale: &Scale, time: &Range<u64>, class: &str, y: u8, height: u8) -> Markup {
    let start = scale.place(time.start).min(100.0 - LEAST);
    let width = (scale.place(time.end) - start).max(LEAST);
    html! { rect class=(class) x=(text(start)) y=(y) width=(text(width)) height=(height) rx="2" {} }
}
