//! The series that were admitted, and the limits of their number.
//!
//! Prometheus has no limit. A sender that puts ids into a label would take its memory, and with it the metrics of all
//! others.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Limits,
    batch::{Described, Request},
};

/// How long a series counts after its last data point. Prometheus removes it from memory when its head block is written,
/// at most three hours later.
const KEPT: Duration = Duration::from_secs(3 * 60 * 60);

/// The service whose metrics say what was dropped. They are needed most when a limit is reached, and are new series then.
const OWN: &str = env!("CARGO_PKG_NAME");

/// The series of this service that are admitted beyond all limits.
const RESERVED: u64 = 10_000;

/// How often series that no longer count are removed.
const SWEEP: Duration = Duration::from_secs(60);

/// Why a data point is dropped: a value of the attribute `reason`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    /// All services together have too many series.
    Series,
    /// The service has too many series.
    SeriesOfService,
    /// There are too many services.
    Services,
    /// Prometheus refuses it.
    Refused,
}

impl Reason {
    /// The value of the attribute.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Series => "max_series",
            Self::SeriesOfService => "max_series_per_service",
            Self::Services => "max_services",
            Self::Refused => "refused",
        }
    }
}

/// Numbers of dropped data points, by service and reason.
pub(crate) type Dropped = BTreeMap<(String, Reason), u64>;

/// The series that count. A series is known by a hash with a secret key, so that no sender can choose one that another
/// has.
#[derive(Debug)]
pub(crate) struct Series {
    limits: Limits,
    keys: Keys,
    known: HashMap<u64, Entry>,
    services: HashMap<String, Service>,
    /// The names of services by number.
    names: HashMap<u32, String>,
    /// The number of the next service.
    next: u32,
    total: u64,
    start: Instant,
    swept: Instant,
}

/// Makes the keys of series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(RandomState);

/// The keys of a request, in the order of its data points.
#[derive(Debug)]
pub(crate) struct Keyed(Vec<OfResource>);

#[derive(Debug)]
struct OfResource {
    service: String,
    /// That of the metric `target_info`.
    key: u64,
    points: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    service: u32,
    /// The series of Prometheus that it becomes. A histogram with explicit bounds becomes one for each bucket.
    weight: u32,
    /// In seconds since the start.
    seen: u32,
}

#[derive(Clone, Copy, Debug)]
struct Service {
    number: u32,
    series: u64,
}

impl Keys {
    /// The keys of a request's series.
    pub(crate) fn of(&self, request: &Request) -> Keyed {
        let mut groups: Vec<OfResource> = Vec::new();
        let (mut last, mut resource) = (None, 0);
        for point in request.points() {
            if last != Some(point.resource()) {
                last = Some(point.resource());
                resource = self.attributes(point.resource_attributes());
                groups.push(OfResource {
                    service: point.service().to_owned(),
                    key: self.0.hash_one(("target_info", resource)),
                    points: Vec::new(),
                });
            }
            if let Some(group) = groups.last_mut() {
                group
                    .points
                    .push((self.point(resource, point), point.series()));
            }
        }
        Keyed(groups)
    }

    fn point(&self, resource: u64, point: Described<'_>) -> u64 {
        let attributes = self.attributes(point.attributes());
        let parts = self.attributes(point.parts());
        self.0
            .hash_one((resource, point.metric(), attributes, parts))
    }

    /// The hash of attributes, whatever their order.
    fn attributes<'a>(&self, attributes: impl Iterator<Item = &'a [u8]>) -> u64 {
        let hashes = attributes.map(|attribute| self.0.hash_one(attribute));
        hashes.fold(0, u64::wrapping_add)
    }
}

impl Series {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            keys: Keys::default(),
            known: HashMap::new(),
            services: HashMap::new(),
            names: HashMap::new(),
            next: 0,
            total: 0,
            start: now,
            swept: now,
        }
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// The number of series that count.
    pub(crate) const fn len(&self) -> u64 {
        self.total
    }

    /// Admits the series of a request that fit into the limits. Returns for each data point why it is dropped, if it is;
    /// `None` if all are admitted.
    pub(crate) fn admit(&mut self, request: &Keyed, now: Instant) -> Option<Arc<[Option<Reason>]>> {
        if now.duration_since(self.swept) >= SWEEP {
            self.sweep(now);
        }
        let now = self.seconds(now);
        let mut reasons = Vec::new();
        let mut is_dropped = false;
        for group in &request.0 {
            // Prometheus stores the attributes of a resource as a series of their own.
            let refused = self.admit_one(&group.service, group.key, 1, now);
            for &(key, weight) in &group.points {
                let reason = refused.or_else(|| self.admit_one(&group.service, key, weight, now));
                is_dropped |= reason.is_some();
                reasons.push(reason);
            }
        }
        is_dropped.then(|| reasons.into())
    }

    fn admit_one(&mut self, service: &str, key: u64, weight: u32, now: u32) -> Option<Reason> {
        if let Some(entry) = self.known.get_mut(&key) {
            entry.seen = now;
            return None;
        }
        let more = u64::from(weight);
        let held = self.services.get(service).copied();
        let refusal = self.refusal(held, more);
        let is_reserved = service == OWN && held.map_or(0, |held| held.series) + more <= RESERVED;
        if refusal.is_some() && !is_reserved {
            return refusal;
        }
        let number = match self.services.get_mut(service) {
            Some(held) => {
                held.series += more;
                held.number
            }
            None => self.add_service(service, more),
        };
        self.total += more;
        let entry = Entry {
            service: number,
            weight,
            seen: now,
        };
        self.known.insert(key, entry);
        None
    }

    /// Why a service gets no more series, if it does not.
    fn refusal(&self, held: Option<Service>, more: u64) -> Option<Reason> {
        let limits = self.limits;
        if held.is_none() && self.services.len() as u64 >= limits.max_services {
            return Some(Reason::Services);
        }
        if held.map_or(0, |held| held.series) + more > limits.max_series_per_service {
            return Some(Reason::SeriesOfService);
        }
        (self.total + more > limits.max_series).then_some(Reason::Series)
    }

    fn add_service(&mut self, name: &str, series: u64) -> u32 {
        while self.names.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.names.insert(number, name.to_owned());
        self.services
            .insert(name.to_owned(), Service { number, series });
        number
    }

    /// Removes the series that no longer count.
    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        let Some(oldest) = now.duration_since(self.start).checked_sub(KEPT) else {
            return;
        };
        let oldest = oldest.as_secs();
        let Self {
            known,
            services,
            names,
            total,
            ..
        } = self;
        known.retain(|_, entry| {
            let stays = u64::from(entry.seen) >= oldest;
            if !stays {
                let weight = u64::from(entry.weight);
                *total -= weight;
                let name = names.get(&entry.service);
                if let Some(service) = name.and_then(|name| services.get_mut(name)) {
                    service.series -= weight;
                }
            }
            stays
        });
        known.shrink_to(known.len() * 2);
        services.retain(|_, service| {
            let stays = service.series > 0;
            if !stays {
                names.remove(&service.number);
            }
            stays
        });
    }

    fn seconds(&self, now: Instant) -> u32 {
        let seconds = now.duration_since(self.start).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
