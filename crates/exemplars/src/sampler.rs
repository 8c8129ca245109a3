//! The reservoirs of one instrument, by attribute set.

use std::{
    borrow::Cow,
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use opentelemetry::{InstrumentationScope, KeyValue};

use crate::reservoir::{Cell, Origin, Reservoir, Sample};

/// Maximum number of attribute sets of an instrument with reservoirs of their own: the SDK's default
/// limit of data points. Further sets share one reservoir.
pub(crate) const MAX_SETS: usize = 2000;

/// Maximum number of other spellings of known sets (order, duplicates) that are found without sorting.
const MAX_ALIASES: usize = MAX_SETS;

/// Number of collections without a measurement after which a set is still kept.
pub(crate) const MAX_IDLE: u8 = 3;

/// Sampler for the measurements of one instrument.
#[derive(Debug)]
pub(crate) struct Sampler {
    scope: InstrumentationScope,
    name: String,
    reservoir: Reservoir,
    pub(crate) known: RwLock<Known>,
    /// The reservoir of all sets that find no room in `known`.
    rest: Box<[Cell]>,
    /// Samples from after the last collection that were taken together with it.
    late: Mutex<Vec<Candidate>>,
}

/// A sample that may become an exemplar.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) sample: Sample,
    pub(crate) cell: usize,
    /// The number of measurements that this sample represents.
    pub(crate) weight: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The sets by their attributes: sorted, and also in the spellings of their measurements.
    spellings: HashMap<Arc<[KeyValue]>, Arc<Set>, RandomState>,
    sets: Vec<Arc<Set>>,
}

#[derive(Debug)]
pub(crate) struct Set {
    attributes: Arc<[KeyValue]>,
    cells: Box<[Cell]>,
    /// Collections since the last measurement.
    idle: AtomicU8,
    /// The number of bound histograms with this set. If the set were forgotten, their samples would be lost.
    pub(crate) bound: AtomicUsize,
}

impl Sampler {
    pub(crate) fn new(scope: InstrumentationScope, name: &str, reservoir: Reservoir) -> Self {
        Self {
            scope,
            name: name.to_owned(),
            rest: reservoir.cells(),
            reservoir,
            known: RwLock::default(),
            late: Mutex::default(),
        }
    }

    pub(crate) fn scope(&self) -> &InstrumentationScope {
        &self.scope
    }

    /// Whether this is the instrument's name. Case is ignored, as in the SDK.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(crate) fn reservoir(&self) -> &Reservoir {
        &self.reservoir
    }

    /// Offers a measurement to the reservoir of its attribute set.
    #[inline]
    pub(crate) fn offer(&self, value: f64, attributes: &[KeyValue], origin: Origin) {
        // The SDK's aggregations ignore values that are not finite too.
        if !value.is_finite() {
            return;
        }
        let cell = self.reservoir.cell_of(value);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(set) = known.spellings.get(attributes) {
                return self.offer_to(set, cell, value, origin);
            }
        }
        self.offer_new(cell, value, attributes, origin);
    }

    #[inline]
    pub(crate) fn offer_to(&self, set: &Set, cell: usize, value: f64, origin: Origin) {
        set.cells[cell].offer(self.reservoir.capacity(), || {
            Sample::new(set.attributes.clone(), origin, value)
        });
    }

    #[cold]
    fn offer_new(&self, cell: usize, value: f64, attributes: &[KeyValue], origin: Origin) {
        let ordered = ordered(attributes);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let set = known.spellings.get(&*ordered).cloned();
        let has_room = match set {
            Some(_) => known.has_room_for_alias(),
            None => known.has_room_for_set(),
        };
        drop(known);

        let set = if has_room {
            self.known
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .learn(attributes, &ordered, || self.reservoir.cells())
        } else {
            set
        };
        match set {
            Some(set) => self.offer_to(&set, cell, value, origin),
            None => self.rest[cell].offer(self.reservoir.capacity(), || {
                Sample::new(ordered.into(), origin, value)
            }),
        }
    }

    /// Takes the samples until the collection at this time. Keeps later samples for the next call, and
    /// forgets sets that are no longer measured.
    pub(crate) fn take(&self, collected_unix_nano: u64) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        take_cells(&self.rest, &mut candidates);

        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut has_idle = false;
        for set in &known.sets {
            if take_cells(&set.cells, &mut candidates) {
                set.idle.store(0, Ordering::Relaxed);
            } else {
                let idle = set.idle.load(Ordering::Relaxed).saturating_add(1);
                set.idle.store(idle, Ordering::Relaxed);
                has_idle |= set.is_idle();
            }
        }
        drop(known);
        if has_idle {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.sets.retain(|set| !set.is_idle());
            known.spellings.retain(|_, set| !set.is_idle());
        }

        let late = candidates
            .extract_if(.., |candidate| {
                candidate.sample.time_unix_nano > collected_unix_nano
            })
            .collect();
        let mut held = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        candidates.append(&mut mem::replace(&mut *held, late));
        candidates
    }
}

impl Known {
    fn has_room_for_set(&self) -> bool {
        self.sets.len() < MAX_SETS
    }

    fn has_room_for_alias(&self) -> bool {
        self.spellings.len() < self.sets.len() + MAX_ALIASES
    }

    /// The set of these attributes, which is created if there is room.
    pub(crate) fn learn(
        &mut self,
        attributes: &[KeyValue],
        ordered: &[KeyValue],
        cells: impl FnOnce() -> Box<[Cell]>,
    ) -> Option<Arc<Set>> {
        let set = if let Some(set) = self.spellings.get(ordered) {
            set.clone()
        } else if self.has_room_for_set() {
            let set = Arc::new(Set {
                attributes: ordered.into(),
                cells: cells(),
                idle: AtomicU8::new(0),
                bound: AtomicUsize::new(0),
            });
            self.spellings.insert(set.attributes.clone(), set.clone());
            self.sets.push(set.clone());
            set
        } else {
            return None;
        };
        if attributes != ordered && self.has_room_for_alias() {
            self.spellings.insert(attributes.into(), set.clone());
        }
        Some(set)
    }
}

impl Set {
    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > MAX_IDLE && self.bound.load(Ordering::Relaxed) == 0
    }
}

/// Empties the cells, and returns whether they had measurements.
fn take_cells(cells: &[Cell], candidates: &mut Vec<Candidate>) -> bool {
    let mut samples = Vec::new();
    let mut any = false;
    for (cell, kept) in cells.iter().enumerate() {
        let Some(offered) = kept.take(&mut samples) else {
            continue;
        };
        any = true;
        let weight = offered as f64 / samples.len().max(1) as f64;
        candidates.extend(samples.drain(..).map(|sample| Candidate {
            sample,
            cell,
            weight,
        }));
    }
    any
}

/// The attributes sorted by key. Of duplicates, the first one counts, as in the SDK.
pub(crate) fn ordered(attributes: &[KeyValue]) -> Cow<'_, [KeyValue]> {
    if attributes.is_sorted_by(|one, next| one.key < next.key) {
        return attributes.into();
    }
    let mut ordered = attributes.to_vec();
    ordered.sort_by(|one, other| one.key.cmp(&other.key));
    ordered.dedup_by(|later, first| later.key == first.key);
    ordered.into()
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::SpanContext;

    use super::*;

    fn sampler() -> Sampler {
        let scope = InstrumentationScope::default();
        Sampler::new(scope, "duration", Reservoir::Fixed(1))
    }

    fn offer(sampler: &Sampler, attributes: &[KeyValue]) {
        sampler.offer(1.0, attributes, Origin::new(&SpanContext::NONE));
    }

    fn lengths(sampler: &Sampler) -> (usize, usize) {
        let known = sampler.known.read().unwrap();
        (known.sets.len(), known.spellings.len())
    }

    #[test]
    fn sets_are_bounded_and_forgotten() {
        let sampler = sampler();
        for id in 0..3 * MAX_SETS {
            let id = i64::try_from(id).unwrap();
            offer(&sampler, &[KeyValue::new("id", id), KeyValue::new("a", 1)]);
        }
        assert_eq!(lengths(&sampler), (MAX_SETS, 2 * MAX_SETS));
        let candidates = sampler.take(u64::MAX);
        assert_eq!(candidates.len(), MAX_SETS + 1);
        // One sample represents all sets that found no room.
        let rest = candidates.iter().map(|candidate| candidate.weight as usize);
        assert_eq!(rest.max(), Some(2 * MAX_SETS));

        for _ in 0..=MAX_IDLE {
            offer(&sampler, &[KeyValue::new("a", 1), KeyValue::new("id", 7)]);
            assert_eq!(sampler.take(u64::MAX).len(), 1);
        }
        assert_eq!(lengths(&sampler), (1, 2));
    }

    #[test]
    fn a_measurement_resets_the_idle_count() {
        let sampler = sampler();
        for _ in 0..3 {
            offer(&sampler, &[]);
            for _ in 0..=MAX_IDLE {
                sampler.take(u64::MAX);
            }
            assert_eq!(lengths(&sampler), (1, 1));
        }
        sampler.take(u64::MAX);
        assert_eq!(lengths(&sampler), (0, 0));
    }

    #[test]
    fn duplicates_make_no_new_set() {
        let sampler = sampler();
        let [first, second] = [1, 2].map(|value| KeyValue::new("key", value));
        offer(&sampler, &[first.clone(), second]);
        offer(&sampler, &[first]);
        assert_eq!(lengths(&sampler), (1, 2));
    }

    #[test]
    fn spellings_of_one_set_are_bounded() {
        let sampler = sampler();
        let mut attributes =
            ["a", "b", "c", "d", "e", "f", "g", "h"].map(|key| KeyValue::new(key, key));
        let offers = permute(&mut attributes, 8, &mut |order| offer(&sampler, order));
        assert_eq!(offers, 40_320);
        assert_eq!(lengths(&sampler), (1, 1 + MAX_ALIASES));
        let [candidate] = sampler.take(u64::MAX).try_into().unwrap();
        assert_eq!(candidate.weight as usize, offers);
        assert!(
            candidate
                .sample
                .attributes
                .is_sorted_by(|one, next| one.key < next.key)
        );
    }

    /// Heap's algorithm.
    fn permute<T>(items: &mut [T], length: usize, visit: &mut impl FnMut(&[T])) -> usize {
        if length <= 1 {
            visit(items);
            return 1;
        }
        let mut visited = 0;
        for index in 0..length {
            visited += permute(items, length - 1, visit);
            items.swap(if length.is_multiple_of(2) { index } else { 0 }, length - 1);
        }
        visited
    }

    #[test]
    fn a_late_sample_is_held_back_once() {
        let sampler = sampler();
        offer(&sampler, &[]);
        assert!(sampler.take(0).is_empty());
        offer(&sampler, &[]);
        assert_eq!(sampler.take(u64::MAX).len(), 2);
        assert!(sampler.take(u64::MAX).is_empty());
    }
}
