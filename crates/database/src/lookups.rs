//! Lookups on the threads of their callers.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use crate::connection::Connection;

/// Number of lookups that may run at a time.
pub(crate) const LOOKUPS: usize = 2;

/// A lookup that takes longer waits for the disk. Pages in memory take a few microseconds.
pub(crate) const SLOW: Duration = Duration::from_millis(1);

/// The connections for lookups on the workers of a runtime.
///
/// A lookup starts beside another one only while lookups are fast. So when the disk becomes slow, it stops one
/// worker of the runtime. It stops two, until the disk answers once, if both lookups began in the same millisecond.
pub(crate) struct Lookups {
    slots: [Slot; LOOKUPS],
    epoch: Instant,
    /// Whether the last lookup was slow.
    was_slow: AtomicBool,
}

struct Slot {
    connection: Mutex<Connection>,
    /// The start of its lookup, in nanoseconds after the epoch; 0 if it is idle.
    since: AtomicU64,
}

/// A lookup that may run.
pub(crate) struct Lookup<'a> {
    lookups: &'a Lookups,
    connection: MutexGuard<'a, Connection>,
    since: &'a AtomicU64,
    start: Instant,
}

impl Lookups {
    pub(crate) fn new(connections: [Connection; LOOKUPS]) -> Self {
        Self {
            slots: connections.map(|connection| Slot {
                connection: Mutex::new(connection),
                since: AtomicU64::new(0),
            }),
            epoch: Instant::now(),
            was_slow: AtomicBool::new(false),
        }
    }

    /// Starts a lookup on this thread. Returns `None` if no connection is free, or if the lookup could stop the last
    /// worker of the runtime.
    pub(crate) fn start(&self) -> Option<Lookup<'_>> {
        if Handle::try_current().ok()?.metrics().num_workers() < 2 {
            return None;
        }
        let start = Instant::now();
        let (slot, connection) = self
            .slots
            .iter()
            .find_map(|slot| Some((slot, slot.connection.try_lock().ok()?)))?;
        let now = start.duration_since(self.epoch).as_nanos() as u64;
        let is_blocked = self.slots.iter().any(|slot| {
            let since = slot.since.load(Ordering::Relaxed);
            since != 0
                && (self.was_slow.load(Ordering::Relaxed)
                    || now.saturating_sub(since) > SLOW.as_nanos() as u64)
        });
        if is_blocked {
            return None;
        }
        slot.since.store(now.max(1), Ordering::Relaxed);
        Some(Lookup {
            lookups: self,
            connection,
            since: &slot.since,
            start,
        })
    }
}

impl Lookup<'_> {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        let is_slow = self.start.elapsed() > SLOW;
        self.lookups.was_slow.store(is_slow, Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
    }
}
