//! Who sends what.

use maud::{Markup, html};

use super::moment;
use crate::{
    Service,
    pages::{format, links, text},
};

pub(super) fn section(services: &[Service]) -> Markup {
    html! {
        section {
            h2 #senders { "Senders" }
            @if services.is_empty() {
                p.aside { "Nothing was received yet. The " a href="/" { "overview" } " tells how to send." }
            } @else {
                div.card.table tabindex="0" role="region" aria-labelledby="senders" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Service" }
                                th scope="col" { "Instance" }
                                th scope="col" { "SDK" }
                                th.number scope="col" { "Spans" }
                                th.number scope="col" { "Log records" }
                                th.number scope="col" { "Data points" }
                                th.number scope="col" { "Last, UTC" }
                            }
                        }
                        tbody { @for service in services { (line(service)) } }
                    }
                }
                p.hint {
                    "Counts are since the start, and include what was evicted. The list keeps the newest 500 instances."
                }
            }
        }
    }
}

fn line(service: &Service) -> Markup {
    let name = text::name(&service.name, "no service.name");
    html! {
        tr {
            th scope="row" {
                @match links::list("/traces", [links::service(&service.name)]) {
                    Some(href) => a href=(href) { (name) },
                    None => (name),
                }
            }
            td.instance { (text::name(&service.instance, "none")) }
            td { (text::name(&service.sdk, "unknown")) }
            td.number { (format::count(service.spans)) }
            td.number { (format::count(service.logs)) }
            td.number { (format::count(service.points)) }
            td.number { (moment(service.last)) }
        }
    }
}
