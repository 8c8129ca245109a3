//! What was refused, and why.

use maud::{Markup, html};

use super::{moment, remedy::remedy};
use crate::{
    Note,
    pages::{format, text},
};

pub(super) fn section(notes: &[Note]) -> Markup {
    html! {
        section {
            h2 #refused { "Refused" }
            @if notes.is_empty() {
                p.aside { "Nothing was refused." }
            } @else {
                div.card.table tabindex="0" role="region" aria-labelledby="refused" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Reason" }
                                th scope="col" { "Signal" }
                                th.number scope="col" { "Requests" }
                                th.number scope="col" { "Refused" }
                                th.number scope="col" { "Records rejected" }
                                th.number scope="col" { "First, UTC" }
                                th.number scope="col" { "Last, UTC" }
                            }
                        }
                        tbody { @for note in notes { (line(note)) } }
                    }
                }
                p.hint {
                    "The reason is what the sender was told last. A reason without refused requests and rejected "
                    "records is a warning. The list keeps the newest 500 reasons."
                }
            }
        }
    }
}

fn line(note: &Note) -> Markup {
    html! {
        tr {
            th.reason scope="row" {
                (text::short(&note.reason, 500))
                @if let Some(remedy) = remedy(&note.reason) { p.hint { (remedy) } }
            }
            td { @match note.signal { Some(signal) => (signal), None => "–" } }
            td.number { (format::count(note.requests)) }
            td.number { (format::count(note.refused)) }
            td.number { (format::count(note.rejected)) }
            td.number { (moment(note.first)) }
            td.number { (moment(note.last)) }
        }
    }
}
