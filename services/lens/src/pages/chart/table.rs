//! The values of a chart as a table.

use maud::{Markup, html};

/// The head of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'a> {
    Text(&'a str),
    Number(&'a str),
}

/// A table that can be opened, for those who cannot see the chart, with the links that the chart has. The first cell of
/// each row is its name.
pub(crate) fn table(
    summary: &str,
    head: &[Head<'_>],
    rows: impl IntoIterator<Item = Vec<Markup>>,
) -> Markup {
    let is_number = |column: usize| matches!(head.get(column), Some(Head::Number(_)));
    html! {
        details.data {
            summary { (summary) }
            div.table tabindex="0" role="region" aria-label=(summary) {
                table {
                    thead {
                        tr {
                            @for head in head {
                                @match head {
                                    Head::Text(text) => th scope="col" { (text) },
                                    Head::Number(text) => th.number scope="col" { (text) },
                                }
                            }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                @for (column, cell) in row.into_iter().enumerate() {
                                    @if column == 0 {
                                        th scope="row" { (cell) }
                                    } @else {
                                        td.number[is_number(column)] { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
