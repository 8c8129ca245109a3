//! What the URL says of the page of a trace.

use std::collections::HashSet;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{shown::Shown, view::View};
use crate::{
    analysis::{Collapsed, Item},
    params::Params,
    store::{SpanId, TraceId},
};

/// Number of rows on a page.
pub(super) const ROWS: usize = 300;

/// Maximum number of rows that are opened to show a selected span.
const REVEALED: usize = 64;

/// What the URL says of the page of a trace.
#[derive(Clone, Debug)]
pub(super) struct State {
    id: TraceId,
    /// The selected span.
    pub(super) span: Option<SpanId>,
    /// A text in place of the id of the selected span.
    pub(super) no_span_id: Option<String>,
    /// Number of the first row. `None` for the page with the selected span.
    from: Option<usize>,
    pub(super) collapsed: Collapsed,
    /// The only service to show.
    pub(super) only: Option<String>,
    /// A kind of spans to hide.
    pub(super) hidden: Option<SpanKind>,
    /// Whether log records are below their spans.
    pub(super) logs: bool,
}

impl State {
    pub(super) fn new(id: TraceId, params: &Params) -> Self {
        Self {
            id,
            span: params.parse("span"),
            no_span_id: params
                .get("span")
                .filter(|text| text.parse::<SpanId>().is_err())
                .map(str::to_owned),
            from: params.parse("from"),
            collapsed: Collapsed {
                nodes: ids(params, "close"),
                opened: ids(params, "open"),
            },
            only: params.get("only").map(str::to_owned),
            hidden: match params.get("hide") {
                Some("client") => Some(SpanKind::Client),
                Some("internal") => Some(SpanKind::Internal),
                _ => None,
            },
            logs: params.get("logs") != Some("off"),
        }
    }

    /// Opens what hides the selected span, and finds the page with its row.
    pub(super) fn reveal<'a>(&mut self, view: &View<'a>, shown: &Shown<'a>) {
        let Some(selected) = self.span else {
            return;
        };
        let waterfall = shown.waterfall(view);
        let Some(node) = shown.node(view, selected) else {
            return;
        };
        let mut above = waterfall.parent(node);
        while let Some(parent) = above {
            self.collapsed.nodes.remove(&waterfall.id(parent));
            above = waterfall.parent(parent);
        }
        for _ in 0..REVEALED {
            let Some(row) = waterfall.row_of(node, &self.collapsed) else {
                return;
            };
            let rows = waterfall.rows(row, 1, &self.collapsed).rows;
            let Some(Item::Group(group)) = rows.first().map(|row| row.item) else {
                self.from.get_or_insert(row / ROWS * ROWS);
                return;
            };
            self.collapsed.opened.insert(waterfall.id(group.first));
        }
    }

    pub(super) fn first_row(&self) -> usize {
        self.from.unwrap_or(0)
    }

    /// The URL of this state.
    pub(super) fn href(&self) -> String {
        let mut params = Params::default();
        if let Some(span) = self.span {
            params = params.with("span", span);
        }
        if let Some(from) = self.from {
            params = params.with("from", from);
        }
        for (name, ids) in [
            ("close", &self.collapsed.nodes),
            ("open", &self.collapsed.opened),
        ] {
            if !ids.is_empty() {
                params = params.with(name, joined(ids));
            }
        }
        if let Some(only) = &self.only {
            params = params.with("only", only);
        }
        match self.hidden {
            Some(SpanKind::Client) => params = params.with("hide", "client"),
            Some(SpanKind::Internal) => params = params.with("hide", "internal"),
            _ => {}
        }
        if !self.logs {
            params = params.with("logs", "off");
        }
        params.href(&format!("/traces/{}", self.id))
    }

    /// The URL of a state that differs.
    pub(super) fn change(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut state = self.clone();
        change(&mut state);
        state.href()
    }

    /// The URL of the rows from a number.
    pub(super) fn page(&self, from: usize) -> String {
        self.change(|state| {
            state.from = Some(from);
            state.span = None;
        })
    }

    /// Forgets the page, because other rows are on it now.
    pub(super) fn drop_page(&mut self) {
        self.from = None;
    }

    /// Whether something is closed, opened or hidden.
    pub(super) fn is_arranged(&self) -> bool {
        let Collapsed { nodes, opened } = &self.collapsed;
        !nodes.is_empty()
            || !opened.is_empty()
            || self.only.is_some()
            || self.hidden.is_some()
            || !self.logs
    }

    /// The URL of the trace as it is at first.
    pub(super) fn reset(&self) -> String {
        format!("/traces/{}", self.id)
    }

    /// The URL at which a span is selected, on the page that has its row.
    pub(super) fn select(&self, span: SpanId) -> String {
        let href = self.change(|state| {
            state.span = Some(span);
            state.from = None;
        });
        format!("{href}#s-{span}")
    }

    /// The URL at which the span of a row is selected, or no longer selected.
    pub(super) fn toggle_selected(&self, span: SpanId) -> String {
        let href = self.change(|state| {
            state.span = (state.span != Some(span)).then_some(span);
        });
        format!("{href}#s-{span}")
    }

    /// The URL at which the rows below a row are hidden, or shown.
    pub(super) fn toggle_closed(&self, span: SpanId) -> String {
        let href = self.change(|state| toggle(&mut state.collapsed.nodes, span));
        format!("{href}#s-{span}")
    }

    /// The URL at which the spans of a group are shown, or hidden. `first` is its first span.
    pub(super) fn toggle_group(&self, first: SpanId) -> String {
        let href = self.change(|state| toggle(&mut state.collapsed.opened, first));
        format!("{href}#g-{first}")
    }
}

fn toggle(ids: &mut HashSet<SpanId>, id: SpanId) {
    if !ids.remove(&id) {
        ids.insert(id);
    }
}

fn ids(params: &Params, name: &str) -> HashSet<SpanId> {
    let text = params.get(name).unwrap_or_default();
    text.split('.').filter_map(|id| id.parse().ok()).collect()
}

/// The ids in the same order for the same set, so that equal states have equal URLs.
fn joined(ids: &HashSet<SpanId>) -> String {
    let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.sort_unstable();
    ids.join(".")
}
