//! Everything that is stored, as lines that can be imported.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;

use super::{Api, otlp, stream::Parts};
use crate::{
    Lens,
    metrics::Place,
    query::{LogFilter, TraceFilter},
    state::work,
    store::Positions,
};

/// Maximum number of records of a line.
const RECORDS: usize = 500;

/// What is left to write.
#[derive(Clone, Debug)]
enum Rest {
    /// Spans after a position.
    Spans(u64),
    /// Log records after a position.
    Logs(u64),
    Metrics(Place),
    Nothing,
}

/// All spans, log records and series: one export object a line. It has what is stored when it begins, without what is
/// evicted before its turn.
pub(super) async fn export(State(api): State<Api>) -> Response {
    let export = Export {
        lens: Arc::clone(&api.lens),
        rest: Rest::Spans(0),
        end: api.lens.store.positions(),
    };
    super::lines(super::body(&api, export))
}

struct Export {
    lens: Arc<Lens>,
    rest: Rest,
    end: Positions,
}

impl Parts for Export {
    async fn next(&mut self) -> Option<Bytes> {
        while !matches!(self.rest, Rest::Nothing) {
            let (rest, end) = (self.rest.clone(), self.end);
            let (line, rest) = work(&self.lens, move |lens| rest.line(lens, end)).await;
            self.rest = rest;
            if let Some(mut line) = line {
                line.push(b'\n');
                return Some(line.into());
            }
        }
        None
    }
}

impl Rest {
    /// The next line, if there is one, and what is left then.
    fn line(self, lens: &Lens, end: Positions) -> (Option<Vec<u8>>, Self) {
        match self {
            Self::Spans(position) if position >= end.spans => (None, Self::Logs(0)),
            Self::Spans(position) => {
                let limit = left(position, end.spans);
                let filter = TraceFilter::default();
                let arrived = lens.store.spans_after(&filter, position, limit);
                let line = (!arrived.records.is_empty()).then(|| otlp::spans(arrived.records));
                (line, Self::Spans(arrived.next))
            }
            Self::Logs(position) if position >= end.logs => (None, Self::Metrics(Place::default())),
            Self::Logs(position) => {
                let limit = left(position, end.logs);
                let filter = LogFilter::default();
                let arrived = lens.store.logs_after(&filter, position, limit);
                let line = (!arrived.records.is_empty()).then(|| otlp::logs(arrived.records));
                (line, Self::Logs(arrived.next))
            }
            Self::Metrics(place) => {
                let part = lens.metrics.part(&place, RECORDS);
                let line = (!part.metrics.is_empty()).then(|| otlp::metrics(part.metrics));
                (line, part.next.map_or(Self::Nothing, Self::Metrics))
            }
            Self::Nothing => (None, Self::Nothing),
        }
    }
}

fn left(position: u64, end: u64) -> usize {
    usize::try_from(end - position).map_or(RECORDS, |left| left.min(RECORDS))
}
