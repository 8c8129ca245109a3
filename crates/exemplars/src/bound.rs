//! Histograms for one attribute set.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use opentelemetry::{KeyValue, metrics, trace::SpanContext};

use crate::{
    Filter, Histogram, Number,
    reservoir::Origin,
    sampler::{Sampler, Set, ordered},
};

/// A [`Histogram`] for one attribute set, which is not forgotten as long as this value exists.
#[derive(Debug)]
pub struct BoundHistogram<T> {
    instrument: metrics::BoundHistogram<T>,
    filter: Filter,
    set: BoundSet,
}

impl<T: Number> Histogram<T> {
    /// A handle for one attribute set, which saves a lookup for each value.
    pub fn bind(&self, attributes: &[KeyValue]) -> BoundHistogram<T> {
        BoundHistogram {
            instrument: self.instrument.bind(attributes),
            filter: self.filter,
            set: BoundSet::new(&self.sampler, attributes),
        }
    }
}

impl<T: Number> BoundHistogram<T> {
    /// Records a value in the SDK's histogram, and offers it as an exemplar with this span.
    pub fn record_in(&self, span: &SpanContext, value: T) {
        self.instrument.record(value);
        if self.filter.admits(span) {
            self.set.offer(value.to_f64(), Origin::new(span));
        }
    }
}

/// An attribute set that needs no lookup.
#[derive(Debug)]
struct BoundSet {
    sampler: Arc<Sampler>,
    /// `None` if the instrument had no room for the set.
    set: Option<Arc<Set>>,
    attributes: Arc<[KeyValue]>,
}

impl BoundSet {
    fn new(sampler: &Arc<Sampler>, attributes: &[KeyValue]) -> Self {
        let ordered = ordered(attributes);
        let mut known = sampler
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let set = known.learn(attributes, &ordered, || sampler.reservoir().cells());
        if let Some(set) = &set {
            // Done under the lock, because a collection may be about to forget the set.
            set.bound.fetch_add(1, Ordering::Relaxed);
        }
        drop(known);
        Self {
            sampler: sampler.clone(),
            set,
            attributes: ordered.into(),
        }
    }

    #[inline]
    fn offer(&self, value: f64, origin: Origin) {
        let Some(set) = &self.set else {
            return self.sampler.offer(value, &self.attributes, origin);
        };
        // The SDK's aggregations ignore values that are not finite too.
        if value.is_finite() {
            let cell = self.sampler.reservoir().cell_of(value);
            self.sampler.offer_to(set, cell, value, origin);
        }
    }
}

impl Drop for BoundSet {
    fn drop(&mut self) {
        if let Some(set) = &self.set {
            set.bound.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::InstrumentationScope;

    use super::*;
    use crate::{
        Reservoir,
        sampler::{MAX_IDLE, MAX_SETS},
    };

    fn sampler() -> Arc<Sampler> {
        let scope = InstrumentationScope::default();
        Arc::new(Sampler::new(scope, "duration", Reservoir::Fixed(1)))
    }

    fn origin() -> Origin {
        Origin::new(&SpanContext::NONE)
    }

    fn attributes(id: usize) -> [KeyValue; 2] {
        let id = i64::try_from(id).unwrap();
        [KeyValue::new("id", id), KeyValue::new("a", 1)]
    }

    #[test]
    fn a_bound_set_is_not_forgotten() {
        let sampler = sampler();
        let bound = BoundSet::new(&sampler, &attributes(7));
        for _ in 0..3 {
            for _ in 0..=MAX_IDLE {
                assert!(sampler.take(u64::MAX).is_empty());
            }
            bound.offer(1.0, origin());
            bound.offer(f64::NAN, origin());
            sampler.offer(1.0, &attributes(7), origin());
            let [candidate] = sampler.take(u64::MAX).try_into().unwrap();
            assert_eq!(
                candidate.weight as usize, 2,
                "both measurements belong to one set"
            );
        }

        // The copies of the lookup are dropped with it.
        let kept = Arc::downgrade(bound.set.as_ref().unwrap());
        drop(bound);
        for _ in 0..=MAX_IDLE {
            assert!(kept.upgrade().is_some());
            sampler.take(u64::MAX);
        }
        assert!(kept.upgrade().is_none());
    }

    #[test]
    fn a_set_without_room_shares_the_rest() {
        let sampler = sampler();
        for id in 0..MAX_SETS {
            sampler.offer(1.0, &attributes(id), origin());
        }
        let bound = BoundSet::new(&sampler, &attributes(MAX_SETS));
        bound.offer(1.0, origin());
        assert_eq!(sampler.take(u64::MAX).len(), MAX_SETS + 1);
    }
}
