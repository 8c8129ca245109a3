//! What the pages of a trace read from the store.

use std::{
    cell::OnceCell,
    collections::HashMap,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::scale::Scale;
use crate::{
    Lens,
    analysis::{Node, Waterfall},
    findings::UNDER_WAY,
    pages::{measured::Measured, traces::Palette},
    store::{LogOutline, LogPlace, Outline, SpanId, SpanView, StoredLog, TraceId, TraceSpan},
};

/// One trace, laid out. Only what a page shows is decoded.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) lens: &'a Lens,
    pub(super) id: TraceId,
    pub(super) outline: Option<&'a Outline>,
    pub(super) full: Waterfall<'a>,
    pub(super) palette: Palette<'a>,
    pub(super) scale: Scale,
    logs: Option<&'a LogOutline>,
    places: Vec<LogPlace>,
    /// Numbers of the log records of each stored span.
    logs_of: HashMap<SpanId, Vec<usize>>,
    /// Numbers of the log records without a stored span.
    unplaced: Vec<usize>,
    numbers: HashMap<SpanId, usize>,
    /// The critical path: its sections by span.
    critical: HashMap<Node, Vec<Range<u64>>>,
    /// The root that stands for the trace: the first without a parent, or else the first.
    top: Option<Node>,
    measured: OnceCell<Measured>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        lens: &'a Lens,
        id: TraceId,
        outline: Option<&'a Outline>,
        logs: Option<&'a LogOutline>,
    ) -> Self {
        let full =
            Waterfall::of(outline.map_or_else(Vec::new, |outline| outline.spans().collect()));
        let mut numbers = HashMap::with_capacity(full.spans().len());
        for (number, span) in full.spans().iter().enumerate() {
            numbers.entry(span.span).or_insert(number);
        }
        let places: Vec<LogPlace> = logs.map_or_else(Vec::new, |logs| logs.logs().collect());
        let mut logs_of: HashMap<SpanId, Vec<usize>> = HashMap::new();
        let mut unplaced = Vec::new();
        for (number, log) in places.iter().enumerate() {
            match log.span.filter(|span| numbers.contains_key(span)) {
                Some(span) => logs_of.entry(span).or_default().push(number),
                None => unplaced.push(number),
            }
        }
        let top = top(&full);
        let mut critical: HashMap<Node, Vec<Range<u64>>> = HashMap::new();
        if let Some(top) = top {
            for section in full.critical_path(top) {
                critical.entry(section.node).or_default().push(section.time);
            }
        }
        Self {
            lens,
            id,
            outline,
            palette: Palette::new(full.spans().iter().map(|span| span.service)),
            scale: Scale::new(full.range().or_else(|| times(&places))),
            full,
            logs,
            places,
            logs_of,
            unplaced,
            numbers,
            critical,
            top,
            measured: OnceCell::new(),
        }
    }

    /// What was measured in the trace. Only details show it.
    pub(super) fn measured(&self) -> &Measured {
        self.measured
            .get_or_init(|| Measured::of(self.lens, [self.id]))
    }

    pub(super) fn has_spans(&self) -> bool {
        !self.full.spans().is_empty()
    }

    /// Number of a span in the outline.
    pub(super) fn number(&self, span: SpanId) -> Option<usize> {
        self.numbers.get(&span).copied()
    }

    /// A span by its id.
    pub(super) fn span(&self, id: SpanId) -> Option<&SpanView<'a>> {
        self.full.spans().get(self.number(id)?)
    }

    /// Service and name of the root. Of a missing root, those of its first child.
    pub(super) fn top(&self) -> Option<(&'a str, &'a str)> {
        let node = self.top?;
        let span = self.full.span(node);
        let span = span.or_else(|| self.full.span(*self.full.children(node).first()?))?;
        Some((span.service, span.name))
    }

    /// Duration of the root in nanoseconds, if it is stored.
    pub(super) fn root_duration(&self) -> Option<u64> {
        let root = self.full.span(self.top?)?;
        root.parent.is_none().then_some(root.duration)
    }

    /// Number of parents that are not stored.
    pub(super) fn missing_parents(&self) -> usize {
        let roots = self.full.roots().iter();
        roots
            .filter(|&&node| self.full.span(node).is_none())
            .count()
    }

    /// Whether the trace is so young that spans of it may still be under way. A time ahead of this clock is not young.
    pub(super) fn is_young(&self) -> bool {
        let end = self.full.range().or_else(|| times(&self.places));
        let end = UNIX_EPOCH + Duration::from_nanos(end.map_or(0, |time| time.end));
        match SystemTime::now().duration_since(end) {
            Ok(age) => age < UNDER_WAY,
            Err(ahead) => ahead.duration() < UNDER_WAY,
        }
    }

    /// Whether a span without a parent is stored.
    pub(super) fn has_root(&self) -> bool {
        self.full.spans().iter().any(|span| span.parent.is_none())
    }

    /// The parts of the critical path on a span.
    pub(super) fn critical(&self, node: Node) -> &[Range<u64>] {
        self.critical.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Number of log records.
    pub(super) fn log_count(&self) -> usize {
        self.places.len()
    }

    /// Whether log records of the trace were evicted.
    pub(super) fn evicted_logs(&self) -> bool {
        self.logs.is_some_and(LogOutline::evicted_logs)
    }

    /// Numbers of the log records of a span, in order of time.
    pub(super) fn logs_of(&self, span: SpanId) -> &[usize] {
        self.logs_of.get(&span).map_or(&[], Vec::as_slice)
    }

    /// Numbers of the log records without a stored span, in order of time.
    pub(super) fn unplaced(&self) -> &[usize] {
        &self.unplaced
    }

    /// Severities of all log records.
    pub(super) fn severities(&self) -> impl Iterator<Item = u8> {
        self.places.iter().map(|log| log.severity)
    }

    /// Decodes log records.
    pub(super) fn read_logs(&self, numbers: &[usize]) -> Vec<StoredLog> {
        self.logs
            .map_or_else(Vec::new, |logs| logs.read(numbers.iter().copied()))
    }

    /// Decodes spans. The numbers are sorted, because blocks are unpacked in order.
    pub(super) fn read_spans(&self, mut numbers: Vec<usize>) -> HashMap<SpanId, TraceSpan> {
        numbers.sort_unstable();
        numbers.dedup();
        let spans = self
            .outline
            .map_or_else(Vec::new, |outline| outline.read(numbers));
        let with_ids = spans.into_iter().filter_map(|span| {
            let id = SpanId::from_bytes(&span.span.span_id)?;
            Some((id, span))
        });
        with_ids.collect()
    }
}

/// The times of the first and of the last log record that have one. They are in order.
fn times(logs: &[LogPlace]) -> Option<Range<u64>> {
    let first = logs.iter().find(|log| log.time != 0)?;
    Some(first.time..logs.last()?.time)
}

fn top(waterfall: &Waterfall<'_>) -> Option<Node> {
    let roots = waterfall.roots();
    let root = roots.iter().find(|&&node| {
        waterfall
            .span(node)
            .is_some_and(|span| span.parent.is_none())
    });
    root.or_else(|| roots.first()).copied()
}
