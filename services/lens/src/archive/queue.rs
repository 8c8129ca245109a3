//! The chunks that wait for the disk.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use otlp::Signal;

/// Age at which a chunk is written. With the write, telemetry is at most 2 s old when it is on disk.
const AGE: Duration = Duration::from_millis(1500);

/// Requests of one signal. Their concatenation is a valid request: in protobuf, repeated fields add up.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) signal: Signal,
    /// Number of spans, data points or log records.
    pub(super) records: u64,
    pub(super) message: Vec<u8>,
    /// The time of the first request.
    since: Instant,
}

/// The chunks that wait for the disk, in bounded memory.
#[derive(Debug)]
pub(super) struct Queue {
    /// The chunks that take requests.
    open: [Option<Chunk>; 3],
    /// Full chunks, oldest first.
    sealed: VecDeque<Chunk>,
    /// Size of all messages, in bytes.
    size: usize,
    /// Size of a full chunk, in bytes.
    full: usize,
    /// Maximum size of all messages, in bytes.
    limit: usize,
    /// Number of records that were dropped because of the limit.
    pub(super) dropped: u64,
}

impl Queue {
    /// A queue of up to `limit` bytes, or one chunk if that is larger.
    pub(super) fn new(full: usize, limit: usize) -> Self {
        Self {
            open: [None, None, None],
            sealed: VecDeque::new(),
            size: 0,
            full,
            limit,
            dropped: 0,
        }
    }

    /// Adds a request. Returns whether the writer has to know: of a chunk that is full, or of one that will be due.
    pub(super) fn append(
        &mut self,
        signal: Signal,
        records: u64,
        message: &[u8],
        now: Instant,
    ) -> bool {
        let slot = &mut self.open[signal as usize];
        let is_new = slot.is_none();
        let chunk = slot.get_or_insert_with(|| Chunk {
            signal,
            records: 0,
            message: Vec::new(),
            since: now,
        });
        chunk.records += records;
        chunk.message.extend_from_slice(message);
        self.size += message.len();
        let is_full = chunk.message.len() >= self.full;
        if is_full {
            self.sealed.extend(slot.take());
        }
        while self.size > self.limit
            && self.sealed.len() > 1
            && let Some(oldest) = self.sealed.pop_front()
        {
            self.size -= oldest.message.len();
            self.dropped += oldest.records;
        }
        is_new || is_full
    }

    /// Takes the oldest chunk that is full or due. With `all`, every chunk is due.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Option<Chunk> {
        if self.sealed.is_empty() {
            let is_due = |chunk: &mut Chunk| all || now >= chunk.since + AGE;
            let due = self.open.iter_mut();
            self.sealed
                .extend(due.filter_map(|slot| slot.take_if(is_due)));
        }
        let chunk = self.sealed.pop_front()?;
        self.size -= chunk.message.len();
        Some(chunk)
    }

    /// The time at which an open chunk is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let open = self.open.iter().flatten();
        open.map(|chunk| chunk.since + AGE).min()
    }

    /// Size of all messages, in bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Drops all chunks. Returns the number of their records.
    pub(super) fn clear(&mut self) -> u64 {
        let chunks = mem::take(&mut self.sealed).into_iter();
        let open = self.open.iter_mut().filter_map(Option::take);
        let lost = chunks.chain(open).map(|chunk| chunk.records).sum();
        self.size = 0;
        self.dropped += lost;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_due_when_it_is_full_or_old() {
        let mut queue = Queue::new(10, 1000);
        let start = Instant::now();
        assert!(queue.append(Signal::Logs, 2, b"12345", start));
        assert!(!queue.append(Signal::Logs, 1, b"678", start));
        assert!(queue.append(Signal::Traces, 1, b"trace", start + AGE / 2));
        assert_eq!(queue.due(), Some(start + AGE));
        assert!(queue.take(start + AGE / 2, false).is_none());

        let due = queue.take(start + AGE, false).unwrap();
        assert_eq!((due.signal, due.records), (Signal::Logs, 3));
        assert_eq!(due.message, b"12345678");
        assert!(queue.append(Signal::Traces, 1, b"is full", start + AGE));
        let full = queue.take(start + AGE, false).unwrap();
        assert_eq!((full.records, &*full.message), (2, &b"traceis full"[..]));
        assert_eq!((queue.size, queue.due()), (0, None));

        queue.append(Signal::Metrics, 1, b"point", start);
        assert!(queue.take(start, true).is_some());
        assert!(queue.take(start, true).is_none());
    }

    #[test]
    fn the_oldest_chunks_are_dropped_at_the_limit() {
        let mut queue = Queue::new(10, 35);
        let now = Instant::now();
        for number in 0..9 {
            queue.append(Signal::Traces, 1, &[number; 10], now);
        }
        assert_eq!((queue.size, queue.dropped), (30, 6));
        assert_eq!(queue.take(now, false).unwrap().message, [6; 10]);
        // One chunk may be larger than the limit.
        queue.append(Signal::Traces, 1, &[9; 100], now);
        assert_eq!((queue.size, queue.dropped), (100, 8));
        assert_eq!((queue.clear(), queue.dropped, queue.size), (1, 9, 0));
    }
}
