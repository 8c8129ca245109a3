//! What the overview shows: services, the newest errors, and the map of services.
//!
//! All of it is computed from the stored spans that start in a window of time. The number of spans that are read is
//! limited, and so is the number of services and calls.

mod durations;
mod errors;
mod layout;
mod map;
mod names;
mod services;
mod shape;
#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

pub(crate) use self::{
    errors::{Error, Errors},
    layout::{Arrow, Drawing, NODE},
    map::{Calls, Kind, Map, Node},
    services::{Row, Services, What},
};
use crate::{Lens, clock, store::Store};

/// Time for which a result is used again, so that many readers cost no more than one.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) const SECOND: u64 = 1_000_000_000;

/// The time that the overview shows, in nanoseconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    pub(crate) range: Range<u64>,
    /// Whether it ends now. Otherwise it ends with the newest data.
    pub(crate) is_live: bool,
}

/// What the overview shows.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) window: Window,
    pub(crate) services: Services,
    pub(crate) errors: Errors,
    pub(crate) map: Map,
    /// `None` if there is nothing to draw.
    pub(crate) drawing: Option<Arc<Drawing>>,
}

/// The last result, and the last drawing.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    last: Mutex<Option<Last>>,
    drawing: Mutex<Option<Arc<Drawing>>>,
}

#[derive(Debug)]
struct Last {
    /// Length of the window, in nanoseconds.
    length: u64,
    computed: Instant,
    overview: Arc<Overview>,
}

impl Window {
    /// The last time of this length, or the time before the newest data if that is older. `None` without any spans and
    /// log records.
    fn new(store: &Store, length: u64) -> Option<Self> {
        let now = clock::now();
        // Spans of the future do not move the window.
        let newest = store
            .newest(clock::future())
            .or_else(|| store.newest(u64::MAX))?;
        let is_live = newest >= now.saturating_sub(length);
        let end = newest.saturating_add(1);
        let end = if is_live { end.max(now) } else { end };
        Some(Self {
            range: end.saturating_sub(length)..end,
            is_live,
        })
    }
}

impl Overview {
    /// The overview of the last time of this length in nanoseconds. `None` without any spans and log records.
    pub(crate) fn of(lens: &Lens, length: u64) -> Option<Arc<Self>> {
        let cache = &lens.overview;
        // Others wait for the result instead of computing the same.
        let mut last = cache.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.length == length
            && last.computed.elapsed() < FRESH
        {
            return Some(Arc::clone(&last.overview));
        }
        let overview = Window::new(&lens.store, length)
            .map(|window| Arc::new(Self::compute(&lens.store, window, &cache.drawing)));
        // Without data there is nothing to keep, and the first span is seen at once.
        *last = overview.clone().map(|overview| Last {
            length,
            computed: Instant::now(),
            overview,
        });
        overview
    }

    fn compute(store: &Store, window: Window, drawing: &Mutex<Option<Arc<Drawing>>>) -> Self {
        let spans = store.spans_in(window.range.clone());
        let services = Services::new(&spans, &window.range);
        let errors = errors::newest(store, &spans, &services, &window.range);
        let map = Map::new(&spans);
        let mut last = drawing.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| !last.is_of(&map)) {
            *last = Drawing::new(&map).map(Arc::new);
        }
        Self {
            window,
            services,
            errors,
            map,
            drawing: last.clone(),
        }
    }
}
