//! The list of log records.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

use super::{
    LogColumns, Snapshot, Store,
    chains::Place,
    fields::{self, Texts},
    filter::{Deadline, List, Page, Terms},
    insert::{ERROR, log_time},
    search::{Columns, Sink},
    segment::Segment,
    source::Sources,
    timeline::{Count, Cuts, Timeline},
    trace::StoredLog,
};
use crate::{clock, query::LogFilter};

/// A place between two log records of a list.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LogCursor {
    /// Time of the log record before it, in nanoseconds since 1970.
    pub time: u64,
    /// Number of its segment.
    pub segment: u32,
    /// Number of it in the segment.
    pub row: u32,
}

impl LogCursor {
    /// The place in a list after the log records of this time and later.
    pub(crate) const fn after(time: u64) -> Self {
        Self {
            time,
            segment: 0,
            row: 0,
        }
    }
}

impl Store {
    /// The log records that match a filter, newest first.
    pub fn logs(&self, filter: &LogFilter, page: &Page<LogCursor>) -> List<StoredLog, LogCursor> {
        self.logs_since(filter, page, 0)
    }

    /// The log records that match a filter and are not before a time in nanoseconds since 1970, newest first.
    pub fn logs_since(
        &self,
        filter: &LogFilter,
        page: &Page<LogCursor>,
        since: u64,
    ) -> List<StoredLog, LogCursor> {
        let search = Search::new(self, filter);
        let mut newest = Newest::new(page, page.before, since);
        search.run(Some(&mut newest), None, Deadline::NONE);
        newest.list(&search.snapshot, None)
    }

    /// The log records of a time range that match a filter, newest first, and how many of each level there are over
    /// time. The range is in nanoseconds since 1970.
    ///
    /// A search ends early after the time `within`. There are two of them on later pages.
    pub fn logs_over_time(
        &self,
        filter: &LogFilter,
        page: &Page<LogCursor>,
        range: Range<u64>,
        within: Duration,
    ) -> (List<StoredLog, LogCursor>, Timeline) {
        let search = Search::new(self, filter);
        let end = (range.end != u64::MAX).then_some(LogCursor::after(range.end));
        let before = [page.before, end].into_iter().flatten().min();
        let mut newest = Newest::new(page, before, range.start);
        // A range of the URL is shown as it is.
        let cuts = (range == (0..u64::MAX)).then(|| {
            let since = self.read(|writer| writer.logs.stats().since);
            Cuts::new(since, clock::future())
        });
        let mut count = Count::new(range, cuts);
        let deadline = Deadline::after(within);
        let (stopped, since) = if page.before.is_none() {
            let stopped = search.run(Some(&mut newest), Some(&mut count), deadline);
            (stopped, stopped)
        } else {
            // What is newer than the page would take the time that the page needs.
            let stopped = search.run(Some(&mut newest), None, deadline);
            let deadline = Deadline::after(within);
            (stopped, search.run(None, Some(&mut count), deadline))
        };
        (
            newest.list(&search.snapshot, stopped),
            count.timeline(since),
        )
    }
}

/// A search in the segments of one moment.
struct Search {
    terms: Terms,
    snapshot: Snapshot<LogColumns>,
    /// The newest part of the only trace that matches, if there is one such trace.
    part: Option<Option<Place>>,
}

impl Search {
    fn new(store: &Store, filter: &LogFilter) -> Self {
        let terms = Terms::new(&filter.0);
        let (snapshot, part) = store.read(|writer| {
            let part = terms.trace().map(|trace| writer.logs.newest_part(trace));
            (writer.logs.snapshot(), part)
        });
        Self {
            terms,
            snapshot,
            part,
        }
    }

    /// Fills a list and a timeline. If it ends early, they lack log records up to the time that it returns, in
    /// nanoseconds since 1970.
    fn run(
        &self,
        mut newest: Option<&mut Newest>,
        mut count: Option<&mut Count>,
        deadline: Deadline,
    ) -> Option<u64> {
        let segments = self.snapshot.newest_first(self.part);
        for (number, segment) in segments.into_iter().enumerate() {
            let is_listed = newest
                .as_ref()
                .is_none_or(|newest| newest.is_complete_without(segment));
            let is_counted = count
                .as_ref()
                .is_none_or(|count| count.is_complete_without(segment));
            if is_listed && is_counted {
                break;
            }
            let can_stop = newest
                .as_ref()
                .is_none_or(|newest| newest.can_stop(segment));
            if number > 0 && can_stop && deadline.is_over() {
                return Some(segment.newest);
            }
            let mut sink = Both {
                newest: newest.as_deref_mut(),
                count: count.as_deref_mut(),
                segment,
            };
            self.terms.search(segment, &mut sink);
        }
        None
    }
}

/// The newest matches so far.
struct Newest {
    before: Option<LogCursor>,
    /// Least time, in nanoseconds since 1970.
    since: u64,
    limit: usize,
    /// One more than the limit tells whether there is a next page.
    found: BTreeSet<LogCursor>,
}

impl Newest {
    fn new(page: &Page<LogCursor>, before: Option<LogCursor>, since: u64) -> Self {
        Self {
            before,
            since,
            limit: page.limit.max(1),
            found: BTreeSet::new(),
        }
    }

    /// Time of the oldest record of a full page, or else the least time. Older records are not in the list.
    fn least(&self) -> u64 {
        let first = self.found.first();
        let first = first.filter(|_| self.found.len() > self.limit);
        first.map_or(self.since, |first| first.time)
    }

    /// Whether the list is complete without this segment and those after it.
    fn is_complete_without(&self, segment: &Segment<LogColumns>) -> bool {
        segment.newest < self.least()
    }

    /// Whether the next page can begin at this segment: it must be after the begin of this page.
    fn can_stop(&self, segment: &Segment<LogColumns>) -> bool {
        let next = segment.newest.checked_add(1).map(LogCursor::after);
        next.is_some_and(|next| self.before.is_none_or(|before| next < before))
    }

    fn wants(&self, cursor: LogCursor) -> bool {
        cursor.time >= self.least() && self.before.is_none_or(|before| cursor < before)
    }

    fn add(&mut self, cursor: LogCursor) {
        self.found.insert(cursor);
        if self.found.len() > self.limit + 1 {
            self.found.pop_first();
        }
    }

    /// The list. Without the records up to the time `stopped`, because others of that time may be missing.
    fn list(
        mut self,
        snapshot: &Snapshot<LogColumns>,
        stopped: Option<u64>,
    ) -> List<StoredLog, LogCursor> {
        if let Some(stopped) = stopped {
            self.found.retain(|cursor| cursor.time > stopped);
        }
        let stopped = stopped.filter(|_| self.found.len() <= self.limit);
        let more = self.found.len() > self.limit;
        let found: Vec<LogCursor> = self.found.into_iter().rev().take(self.limit).collect();
        let next = match stopped {
            Some(stopped) => Some(LogCursor::after(stopped + 1)),
            None => found.last().copied().filter(|_| more),
        };
        List {
            rows: decode(snapshot, &found),
            next,
            stopped,
        }
    }
}

/// Takes the matches of a segment for a list and a timeline.
struct Both<'a> {
    newest: Option<&'a mut Newest>,
    count: Option<&'a mut Count>,
    segment: &'a Segment<LogColumns>,
}

impl Sink for Both<'_> {
    fn wants(&self, row: usize) -> bool {
        let cursor = cursor(self.segment, row);
        let newest = self.newest.as_ref();
        let count = self.count.as_ref();
        newest.is_some_and(|newest| newest.wants(cursor))
            || count.is_some_and(|count| count.wants(cursor.time))
    }

    fn found(&mut self, row: usize) {
        let cursor = cursor(self.segment, row);
        if let Some(newest) = &mut self.newest
            && newest.wants(cursor)
        {
            newest.add(cursor);
        }
        if let Some(count) = &mut self.count
            && count.wants(cursor.time)
        {
            count.add(cursor.time, self.segment.rows[row].columns.severity);
        }
    }
}

fn cursor(segment: &Segment<LogColumns>, row: usize) -> LogCursor {
    LogCursor {
        time: segment.rows[row].time,
        segment: segment.number,
        row: row as u32,
    }
}

impl Columns for LogColumns {
    const ATTRIBUTES: u32 = 6;

    fn texts() -> &'static Texts {
        &fields::LOG_RECORD
    }

    fn match_terms(&self, terms: &Terms) -> bool {
        terms.match_severity(self.severity)
    }

    fn need_errors(terms: &Terms) -> bool {
        (0..ERROR).all(|severity| !terms.match_severity(severity))
    }
}

fn decode(snapshot: &Snapshot<LogColumns>, found: &[LogCursor]) -> Vec<StoredLog> {
    let mut sources = Sources::default();
    let mut rows = Vec::with_capacity(found.len());
    let mut reader = None;
    let mut unpacked = None;
    for cursor in found {
        let Some(segment) = snapshot.get(cursor.segment) else {
            continue;
        };
        // Neighbours in the list are often neighbours in the segment.
        if unpacked != Some(cursor.segment) {
            reader = Some(segment.reader());
            unpacked = Some(cursor.segment);
        }
        let Some(reader) = &mut reader else {
            continue;
        };
        let number = cursor.row as usize;
        let Ok(record) = LogRecord::decode(reader.read(segment.place(number))) else {
            continue;
        };
        rows.push(StoredLog {
            source: sources.get(segment, segment.rows[number].origin),
            time: log_time(&record),
            record,
        });
    }
    rows
}
