//! What keeps samples of measurements: the specification's `ExemplarReservoir`.
//!
//! A reservoir is made of cells, each of which keeps a uniform sample of what it was offered
//! (Algorithm R). Few offers are kept, so that most cost a count and a random number: neither
//! lock nor clock.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::UNIX_EPOCH,
};

use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, TraceId},
};

/// How many exemplars an instrument keeps for each attribute set, and which.
#[derive(Clone, Debug, PartialEq)]
pub enum Reservoir {
    /// At most one for each bucket of a histogram with these boundaries: the specification's
    /// `AlignedHistogramBucketExemplarReservoir`.
    ///
    /// A bucket's measurements are all equally likely to be kept. (The last would be simpler, and
    /// is allowed too, but then a burst just before the collection hides the rest.)
    Aligned(Vec<f64>),
    /// At most this many, whatever their values, all measurements being equally likely: the
    /// specification's `SimpleFixedSizeExemplarReservoir`.
    Fixed(usize),
}

impl Reservoir {
    /// What the specification has for exponential histograms of at most so many buckets (the
    /// SDK's default is 160): one exemplar for each, but at most 20.
    #[must_use]
    pub const fn exponential(max_size: usize) -> Self {
        Self::Fixed(if max_size < 20 { max_size } else { 20 })
    }

    /// How many samples a cell keeps.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Aligned(_) => 1,
            Self::Fixed(size) => *size,
        }
    }

    /// The place of the cell that a value belongs to.
    pub(crate) fn cell_of(&self, value: f64) -> usize {
        match self {
            Self::Aligned(boundaries) => bucket(boundaries, value),
            Self::Fixed(_) => 0,
        }
    }

    /// Empty cells, for one attribute set.
    pub(crate) fn cells(&self) -> Box<[Cell]> {
        let count = match self {
            Self::Aligned(boundaries) => boundaries.len() + 1,
            Self::Fixed(_) => 1,
        };
        (0..count).map(|_| Cell::default()).collect()
    }
}

impl Default for Reservoir {
    /// Aligned with the buckets of histograms for which no boundaries are given.
    fn default() -> Self {
        Self::Aligned(vec![
            0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0,
            7500.0, 10000.0,
        ])
    }
}

/// The place of the bucket that a value belongs to: a boundary is the last value of its bucket.
pub(crate) fn bucket(boundaries: &[f64], value: f64) -> usize {
    boundaries.partition_point(|boundary| *boundary < value)
}

/// The span that a measurement was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
}

impl Origin {
    #[inline]
    pub(crate) fn new(span: &SpanContext) -> Self {
        Self {
            trace_id: span.trace_id(),
            span_id: span.span_id(),
        }
    }
}

/// A measurement that was kept.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// All of them, in order and without duplicates.
    pub(crate) attributes: Arc<[KeyValue]>,
    pub(crate) origin: Origin,
    pub(crate) time_unix_nano: u64,
    pub(crate) value: f64,
}

impl Sample {
    /// A sample of now.
    pub(crate) fn new(attributes: Arc<[KeyValue]>, origin: Origin, value: f64) -> Self {
        // The SDK's clock, which says when a collection was.
        let time = opentelemetry::time::now().duration_since(UNIX_EPOCH);
        Self {
            attributes,
            origin,
            time_unix_nano: time
                .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            value,
        }
    }
}

/// A uniform sample of the measurements that were offered since it was last taken.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    offered: AtomicUsize,
    kept: Mutex<Vec<Sample>>,
}

impl Cell {
    /// Keeps the measurement if chance has it.
    #[inline]
    pub(crate) fn offer(&self, capacity: usize, sample: impl FnOnce() -> Sample) {
        let earlier = self.offered.fetch_add(1, Ordering::Relaxed);
        let place = if earlier < capacity {
            earlier
        } else {
            fastrand::usize(..=earlier)
        };
        if place < capacity {
            self.keep(capacity, place, sample());
        }
    }

    #[cold]
    fn keep(&self, capacity: usize, place: usize, sample: Sample) {
        let mut kept = self.kept();
        // Threads may come here in another order than they were counted in, and after what they
        // were counted with was taken.
        if kept.len() < capacity {
            kept.push(sample);
        } else if let Some(slot) = kept.get_mut(place) {
            *slot = sample;
        }
    }

    /// Moves out what was kept, and says how many were offered; `None` where nothing was.
    pub(crate) fn take(&self, into: &mut Vec<Sample>) -> Option<usize> {
        // Most cells of most sets: not worth a lock.
        if self.offered.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut kept = self.kept();
        into.extend(kept.drain(..));
        Some(self.offered.swap(0, Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Sample>> {
        // Whoever panicked while it was held left whole samples.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn sample(value: usize) -> Sample {
        let origin = Origin::new(&SpanContext::NONE);
        Sample::new(Arc::default(), origin, value as f64)
    }

    /// How often each of some measurements is kept.
    fn kept(capacity: usize, offers: usize, rounds: usize) -> Vec<usize> {
        let cell = Cell::default();
        let mut counts = vec![0; offers];
        for _ in 0..rounds {
            for value in 0..offers {
                cell.offer(capacity, || sample(value));
            }
            let mut samples = Vec::new();
            assert_eq!(cell.take(&mut samples), Some(offers));
            assert_eq!(samples.len(), capacity.min(offers));
            for sample in samples {
                counts[sample.value as usize] += 1;
            }
        }
        counts
    }

    /// Six deviations of a binomial distribution: once in a hundred million runs it is outside.
    fn assert_uniform(counts: &[usize], rounds: usize, chance: f64) {
        let expected = rounds as f64 * chance;
        let bound = 6.0 * (expected * (1.0 - chance)).sqrt();
        for count in counts {
            let off = (*count as f64 - expected).abs();
            assert!(off <= bound, "{off} > {bound}: {counts:?}");
        }
    }

    #[test]
    fn all_measurements_are_equally_likely() {
        assert_uniform(&kept(4, 20, 20_000), 20_000, 0.2);
        assert_uniform(&kept(1, 10, 20_000), 20_000, 0.1);
        assert_eq!(kept(4, 3, 2), [2, 2, 2]);
        assert_eq!(kept(0, 3, 2), [0, 0, 0]);
    }

    #[test]
    fn a_boundary_is_the_last_value_of_its_bucket() {
        let reservoir = Reservoir::Aligned(vec![0.0, 5.0]);
        let cells = [-1.0, 0.0, 0.1, 5.0, 5.1].map(|value| reservoir.cell_of(value));
        assert_eq!(cells, [0, 0, 1, 1, 2]);
        assert_eq!(reservoir.cells().len(), 3);
        assert_eq!(Reservoir::Aligned(vec![]).cells().len(), 1);
        assert_eq!(Reservoir::Fixed(9).cells().len(), 1);
    }

    #[test]
    fn exponential_histograms_have_twenty_at_most() {
        assert_eq!(Reservoir::exponential(160), Reservoir::Fixed(20));
        assert_eq!(Reservoir::exponential(8), Reservoir::Fixed(8));
    }

    #[test]
    fn a_poisoned_lock_is_as_good_as_another() {
        let cell = Cell::default();
        thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _kept = cell.kept.lock().unwrap();
                panic!("poisons the lock");
            });
            assert!(holder.join().is_err());
        });
        assert!(cell.kept.is_poisoned());
        cell.offer(1, || sample(7));
        let mut samples = Vec::new();
        assert_eq!(cell.take(&mut samples), Some(1));
        assert_eq!(samples[0].value, 7.0);
    }
}
