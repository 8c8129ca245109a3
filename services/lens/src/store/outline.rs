//! One trace by the columns of its spans and log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use prost::Message;

use super::{
    LogColumns, Snapshot, SpanColumns, Store,
    chains::Place,
    columns::SpanView,
    insert::log_time,
    segment::Segment,
    source::{Source, Sources},
    trace::{StoredLog, TraceSpan},
};
use crate::ids::{SpanId, TraceId};

/// The spans of one trace by their columns.
///
/// A page of a large trace is laid out from the columns, and only its visible spans are decoded.
#[derive(Debug)]
pub struct Outline(Records<SpanColumns>);

/// The log records of one trace by their columns, in order of time.
#[derive(Debug)]
pub struct LogOutline(Records<LogColumns>);

/// What the columns have of a log record in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogPlace {
    /// The span that wrote it, if it names one.
    pub span: Option<SpanId>,
    /// Time, in nanoseconds since 1970.
    pub time: u64,
    /// Severity number, 1 to 24. 0 if it is unspecified.
    pub severity: u8,
}

/// A link of a span.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkTo {
    /// Number of the span with the link in [`Outline::spans`].
    pub from: usize,
    /// The linked trace.
    pub trace: TraceId,
    /// The linked span. `None` if the link has no valid id.
    pub span: Option<SpanId>,
}

#[derive(Debug)]
struct Records<C> {
    segments: Vec<Arc<Segment<C>>>,
    /// Number in `segments`, and row, of each record.
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

    /// The log records of a trace by their columns. `None` if none is stored.
    pub fn log_outline(&self, id: TraceId) -> Option<LogOutline> {
        let (snapshot, place) =
            self.read(|writer| (writer.logs.snapshot(), writer.logs.newest_part(id)));
        Some(LogOutline::new(&snapshot, place?))
    }

    /// Whether a span is stored.
    pub fn has_span(&self, trace: TraceId, span: SpanId) -> bool {
        self.read(|writer| writer.spans.find(trace, span).is_some())
    }
}

impl Outline {
    pub(super) fn new(snapshot: &Snapshot<SpanColumns>, place: Place) -> Self {
        Self(Records::new(snapshot, place))
    }

    /// Number of spans.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Whether spans of the trace were evicted.
    pub fn evicted_spans(&self) -> bool {
        self.0.evicted
    }

    /// The spans, in the order in which they came.
    pub fn spans(&self) -> impl Iterator<Item = SpanView<'_>> {
        self.0.rows.iter().filter_map(|&(number, row)| {
            let segment = self.0.segments.get(number as usize)?;
            SpanView::new(segment, segment.rows.get(row as usize)?)
        })
    }

    /// The links of all spans that name a trace.
    pub fn links(&self) -> Vec<LinkTo> {
        let mut links = Vec::new();
        for (number, segment) in self.0.segments.iter().enumerate() {
            for link in &segment.links {
                // The rows are in ascending order.
                if let Ok(from) = self.0.rows.binary_search(&(number as u32, link.row)) {
                    links.push(LinkTo {
                        from,
                        trace: link.trace,
                        span: SpanId::from_number(link.span),
                    });
                }
            }
        }
        links
    }

    /// Decodes spans by their numbers in [`Self::spans`]. It is fastest in ascending order.
    ///
    /// Leaves out numbers without a span, and spans with values that are nested more deeply than OTLP allows.
    pub fn read(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<TraceSpan> {
        self.0
            .read(numbers, |source, span: Span| TraceSpan { source, span })
    }
}

impl LogOutline {
    pub(super) fn new(snapshot: &Snapshot<LogColumns>, place: Place) -> Self {
        let mut records = Records::new(snapshot, place);
        let Records { segments, rows, .. } = &mut records;
        rows.sort_by_key(|&(number, row)| segments[number as usize].rows[row as usize].time);
        Self(records)
    }

    /// Number of log records.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether there are no log records.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Whether log records of the trace were evicted.
    pub fn evicted_logs(&self) -> bool {
        self.0.evicted
    }

    /// The log records.
    pub fn logs(&self) -> impl Iterator<Item = LogPlace> {
        self.0.rows.iter().filter_map(|&(number, row)| {
            let segment = self.0.segments.get(number as usize)?;
            let row = segment.rows.get(row as usize)?;
            Some(LogPlace {
                span: SpanId::from_number(row.span),
                time: row.time,
                severity: row.columns.severity,
            })
        })
    }

    /// Decodes log records by their numbers in [`Self::logs`], as [`Outline::read`] does spans.
    pub fn read(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<StoredLog> {
        self.0.read(numbers, |source, record: LogRecord| StoredLog {
            source,
            time: log_time(&record),
            record,
        })
    }
}

impl<C> Records<C> {
    fn new(snapshot: &Snapshot<C>, place: Place) -> Self {
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

    fn read<M: Message + Default, T>(
        &self,
        numbers: impl IntoIterator<Item = usize>,
        build: impl Fn(Arc<Source>, M) -> T,
    ) -> Vec<T> {
        let mut sources = Sources::default();
        let mut reader = None;
        let mut unpacked = None;
        let mut records = Vec::new();
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
            // Only values that are nested more deeply than OTLP allows are not decoded.
            if let Some(reader) = &mut reader
                && let Ok(record) = M::decode(reader.read(segment.place(row)))
            {
                let source = sources.get(segment, segment.rows[row].origin);
                records.push(build(source, record));
            }
        }
        records
    }
}
