//! The spans of one trace by their columns.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::{
    Snapshot, SpanColumns, Store, chains::Place, columns::SpanView, ids::TraceId, segment::Segment,
    source::Sources, trace::TraceSpan,
};

/// The spans of one trace by their columns.
///
/// A page of a large trace is laid out from the columns, and only its visible spans are decoded.
#[derive(Debug)]
pub struct Outline {
    segments: Vec<Arc<Segment<SpanColumns>>>,
    /// Number in `segments`, and row, of each span.
    rows: Vec<(u32, u32)>,
    evicted: bool,
}

impl Store {
    /// The spans of a trace by their columns. `None` if none is stored.
    pub fn outline(&self, id: TraceId) -> Option<Outline> {
        let (snapshot, place) =
            self.read(|writer| (writer.spans.snapshot(), writer.spans.newest_part(id)));
        Some(Outline::new(&snapshot, place?))
    }
}

impl Outline {
    pub(super) fn new(snapshot: &Snapshot<SpanColumns>, place: Place) -> Self {
        let (parts, evicted) = snapshot.chain(place);
        let mut segments = Vec::with_capacity(parts.len());
        let mut rows = Vec::new();
        for (segment, slot) in parts {
            let number = segments.len() as u32;
            rows.extend(segment.rows_of(slot).map(|(row, _)| (number, row as u32)));
            segments.extend(snapshot.get(segment.number).cloned());
        }
        Self {
            segments,
            rows,
            evicted,
        }
    }

    /// Number of spans.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether spans of the trace were evicted.
    pub fn evicted_spans(&self) -> bool {
        self.evicted
    }

    /// The spans, in the order in which they came.
    pub fn spans(&self) -> impl Iterator<Item = SpanView<'_>> {
        self.rows.iter().filter_map(|&(number, row)| {
            let segment = self.segments.get(number as usize)?;
            SpanView::new(segment, segment.rows.get(row as usize)?)
        })
    }

    /// Decodes spans by their numbers in [`Self::spans`]. It is fastest in ascending order.
    ///
    /// Leaves out numbers without a span, and spans with values that are nested more deeply than OTLP allows.
    pub fn read(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<TraceSpan> {
        let mut sources = Sources::default();
        let mut reader = None;
        let mut unpacked = None;
        let mut spans = Vec::new();
        for &(number, row) in numbers
            .into_iter()
            .filter_map(|number| self.rows.get(number))
        {
            let segment = &self.segments[number as usize];
            if unpacked != Some(number) {
                unpacked = Some(number);
                reader = Some(segment.reader());
            }
            let row = row as usize;
            if let Some(reader) = &mut reader
                && let Ok(span) = Span::decode(reader.read(segment.place(row)))
            {
                let source = sources.get(segment, segment.rows[row].origin);
                spans.push(TraceSpan { source, span });
            }
        }
        spans
    }
}
