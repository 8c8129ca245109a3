//! Streams of new records: one export object a line.
//!
//! The store is the buffer of a slow reader. What is evicted before the reader gets it is counted, and the reader is
//! told.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use tokio::{sync::watch, time::sleep};

use super::{
    Api, Error, Place, otlp,
    stream::{self, Parts},
};
use crate::{
    Lens,
    query::{Condition, LogFilter, Term, TraceFilter},
    state::work,
};

/// The shortest time between two reads of the store.
const PACE: Duration = Duration::from_millis(100);

/// Interval of empty lines in a stream without records. So it is noticed that a reader has gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Maximum number of records of a line.
const RECORDS: usize = 500;

/// What a stream has of the store.
#[derive(Clone, Debug)]
enum Wanted {
    Spans(TraceFilter),
    Logs(LogFilter),
}

struct Stream {
    lens: Arc<Lens>,
    wanted: Wanted,
    position: u64,
    version: watch::Receiver<u64>,
    /// Whether there may be more records to read at once.
    more: bool,
    _place: Place,
}

/// New spans that match.
pub(super) fn traces(api: &Api, filter: TraceFilter) -> Result<Response, Error> {
    let is_of_traces = |term: &Term| matches!(term.condition, Condition::TraceDuration(..));
    if filter.0.iter().any(is_of_traces) {
        return Err(Error::BadRequest(
            "a stream has single spans, so it cannot filter by `trace.duration`".to_owned(),
        ));
    }
    let position = api.lens.store.positions().spans;
    Stream::open(api, Wanted::Spans(filter), position)
}

/// New log records that match.
pub(super) fn logs(api: &Api, filter: LogFilter) -> Result<Response, Error> {
    let position = api.lens.store.positions().logs;
    Stream::open(api, Wanted::Logs(filter), position)
}

impl Stream {
    fn open(api: &Api, wanted: Wanted, position: u64) -> Result<Response, Error> {
        let stream = Self {
            lens: Arc::clone(&api.lens),
            wanted,
            position,
            version: api.lens.store.subscribe(),
            // Records may have come between the two reads of the store.
            more: true,
            _place: api.stream()?,
        };
        Ok(super::lines(stream::body(&api.lens, stream)))
    }

    /// The next lines.
    async fn lines(&mut self) -> Bytes {
        loop {
            if !self.more {
                tokio::select! {
                    // The store outlives the stream.
                    _ = self.version.changed() => sleep(PACE).await,
                    () = sleep(HEARTBEAT) => return Bytes::from_static(b"\n"),
                }
                self.version.mark_unchanged();
            }
            let (wanted, position) = (self.wanted.clone(), self.position);
            let (lines, next, more) =
                work(&self.lens, move |lens| wanted.read(lens, position)).await;
            (self.position, self.more) = (next, more);
            if !lines.is_empty() {
                return lines.into();
            }
        }
    }
}

impl Parts for Stream {
    async fn next(&mut self) -> Option<Bytes> {
        let lens = Arc::clone(&self.lens);
        tokio::select! {
            lines = self.lines() => Some(lines),
            () = lens.stopped() => None,
        }
    }
}

impl Wanted {
    /// The lines after a position, the next position, and whether there may be more.
    fn read(&self, lens: &Lens, position: u64) -> (Vec<u8>, u64, bool) {
        let (object, missed, next, more) = match self {
            Self::Spans(filter) => {
                let arrived = lens.store.spans_after(filter, position, RECORDS);
                let object = (!arrived.records.is_empty()).then(|| otlp::spans(arrived.records));
                (object, arrived.missed, arrived.next, arrived.more)
            }
            Self::Logs(filter) => {
                let arrived = lens.store.logs_after(filter, position, RECORDS);
                let object = (!arrived.records.is_empty()).then(|| otlp::logs(arrived.records));
                (object, arrived.missed, arrived.next, arrived.more)
            }
        };
        let mut lines = Vec::new();
        if missed > 0 {
            lines.extend_from_slice(format!("{{\"missed\":{missed}}}\n").as_bytes());
        }
        if let Some(object) = object {
            lines.extend_from_slice(&object);
            lines.push(b'\n');
        }
        (lines, next, more)
    }
}
