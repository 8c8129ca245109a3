//! What the columns have of all spans and log records in a time range.

use std::{ops::Range, sync::Arc};

use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use super::{
    LogColumns, SpanColumns, Store,
    segment::{Row, Segment},
};
use crate::ids::{SpanId, TraceId};

/// The stored spans that start in a time range.
#[derive(Debug)]
pub struct Spans(InRange<SpanColumns>);

/// The stored log records in a time range.
#[derive(Debug)]
pub struct Logs(InRange<LogColumns>);

/// What the columns have of a span.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpanView<'a> {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// The parent.
    pub parent: Option<SpanId>,
    /// Name of the service. Empty if it has none.
    pub service: &'a str,
    /// Name of the span.
    pub name: &'a str,
    /// The kind. Unspecified if it is unknown.
    pub kind: SpanKind,
    /// Whether the status is an error.
    pub error: bool,
    /// Start, in nanoseconds since 1970.
    pub start: u64,
    /// Duration, in nanoseconds. 0 if the span ends before it starts.
    pub duration: u64,
}

/// What the columns have of a log record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogView<'a> {
    /// Name of the service. Empty if it has none.
    pub service: &'a str,
    /// Time, in nanoseconds since 1970.
    pub time: u64,
    /// Severity number, 1 to 24. 0 if it is unspecified.
    pub severity: u8,
}

#[derive(Debug)]
struct InRange<C> {
    segments: Vec<Arc<Segment<C>>>,
    range: Range<u64>,
}

impl Store {
    /// The spans that start in a range, in nanoseconds since 1970. Order is that of arrival.
    pub fn spans_in(&self, range: Range<u64>) -> Spans {
        let snapshot = self.read(|writer| writer.spans.snapshot());
        Spans(InRange::new(snapshot.0, range))
    }

    /// The log records in a range, in nanoseconds since 1970. Order is that of arrival.
    pub fn logs_in(&self, range: Range<u64>) -> Logs {
        let snapshot = self.read(|writer| writer.logs.snapshot());
        Logs(InRange::new(snapshot.0, range))
    }
}

impl Spans {
    /// The spans.
    pub fn iter(&self) -> impl Iterator<Item = SpanView<'_>> {
        self.0
            .iter()
            .filter_map(|(segment, row)| SpanView::new(segment, row))
    }

    /// The spans from the segment that came last to the first.
    pub fn newest_first(&self) -> impl Iterator<Item = SpanView<'_>> {
        let segments = self.0.segments.iter().rev();
        segments.flat_map(|segment| {
            let rows = segment.rows.iter().rev();
            rows.filter(|row| self.0.range.contains(&row.time))
                .filter_map(|row| SpanView::new(segment, row))
        })
    }

    pub(super) fn segments(&self) -> &[Arc<Segment<SpanColumns>>] {
        &self.0.segments
    }

    pub(super) fn range(&self) -> &Range<u64> {
        &self.0.range
    }
}

impl<'a> SpanView<'a> {
    pub(super) fn new(segment: &'a Segment<SpanColumns>, row: &Row<SpanColumns>) -> Option<Self> {
        let columns = &row.columns;
        Some(Self {
            trace: segment.parts.get(row.part as usize)?.trace,
            span: SpanId::from_number(row.span)?,
            parent: SpanId::from_number(columns.parent),
            service: segment.names.text(row.origin.service),
            name: segment.names.text(row.name),
            kind: SpanKind::try_from(i32::from(columns.kind)).unwrap_or_default(),
            error: columns.status == StatusCode::Error as u8,
            start: row.time,
            duration: columns.duration,
        })
    }
}

impl Logs {
    /// The log records.
    pub fn iter(&self) -> impl Iterator<Item = LogView<'_>> {
        self.0.iter().map(|(segment, row)| LogView {
            service: segment.names.text(row.origin.service),
            time: row.time,
            severity: row.columns.severity,
        })
    }
}

impl<C> InRange<C> {
    fn new(mut segments: Vec<Arc<Segment<C>>>, range: Range<u64>) -> Self {
        // A segment that only has records without a time has no oldest.
        segments.retain(|segment| {
            segment.newest >= range.start && (segment.oldest < range.end || range.start == 0)
        });
        Self { segments, range }
    }

    fn iter(&self) -> impl Iterator<Item = (&Segment<C>, &Row<C>)> {
        // The greatest time has none after it that could end the range.
        let is_last = |time| time == u64::MAX && self.range.end == u64::MAX;
        self.segments.iter().flat_map(move |segment| {
            let rows = segment.rows.iter();
            rows.filter(move |row| self.range.contains(&row.time) || is_last(row.time))
                .map(|row| (&**segment, row))
        })
    }
}
