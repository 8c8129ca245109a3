//! Reservoirs of samples: the specification's `ExemplarReservoir`.
//!
//! A reservoir consists of cells. Each cell keeps a uniform sample of the measurements that it was
//! offered (Algorithm R). Few of them are kept, so most offers cost a count and a random number, and
//! neither a lock nor a clock.

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

/// The number and choice of exemplars for each attribute set of an instrument.
#[derive(Clone, Debug, PartialEq)]
pub enum Reservoir {
    /// At most one for each bucket of a histogram with these boundaries: the specification's
    /// `AlignedHistogramBucketExemplarReservoir`.
    ///
    /// All measurements of a bucket are equally likely to be kept. (The specification also allows the
    /// last one, but then a burst just before the collection would hide the others.)
    Aligned(Vec<f64>),
    /// At most this number, whatever their values: the specification's
    /// `SimpleFixedSizeExemplarReservoir`. All measurements are equally likely to be kept.
    Fixed(usize),
}

impl Reservoir {
    /// The specification's default for exponential histograms with at most `max_size` buckets: one
    /// exemplar for each bucket, but at most 20. The SDK's default of `max_size` is 160.
    #[must_use]
    pub const fn exponential(max_size: usize) -> Self {
        Self::Fixed(if max_size < 20 { max_size } else { 20 })
    }

    /// The number of samples that a cell keeps.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Aligned(_) => 1,
            Self::Fixed(size) => *size,
        }
    }

    /// The index of the cell for a value.
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
    /// Aligned with the SDK's default boundaries.
    fn default() -> Self {
        Self::Aligned(vec![
            0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0,
            7500.0, 10000.0,
        ])
    }
}

/// The index of the bucket for a value. A boundary belongs to the bucket below it.
pub(crate) fn bucket(boundaries: &[f64], value: f64) -> usize {
    boundaries.partition_point(|boundary| *boundary < value)
}

/// The span of a measurement.
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

/// A kept measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// All attributes, sorted by key and without duplicates.
    pub(crate) attributes: Arc<[KeyValue]>,
    pub(crate) origin: Origin,
    pub(crate) time_unix_nano: u64,
    pub(crate) value: f64,
}

impl Sample {
    /// A sample with the current time.
    pub(crate) fn new(attributes: Arc<[KeyValue]>, origin: Origin, value: f64) -> Self {
        // The same clock as the SDK uses for the times of collections.
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

/// A uniform sample of the measurements that were offered since the last [`Cell::take`].
#[derive(Debug, Default)]
pub(crate) struct Cell {
    offered: AtomicUsize,
    kept: Mutex<Vec<Sample>>,
}

impl Cell {
    /// Keeps the measurement at random, with the probability of a uniform sample.
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
        // Threads may arrive here in another order than the counter has seen them, or after a `take`
        // that has reset the counter.
        if kept.len() < capacity {
            kept.push(sample);
        } else if let Some(slot) = kept.get_mut(place) {
            *slot = sample;
        }
    }

    /// Moves the samples out, and returns the number of offers; `None` if there were none.
    pub(crate) fn take(&self, into: &mut Vec<Sample>) -> Option<usize> {
        // Most cells are empty, so this saves most locks.
        if self.offered.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut kept = self.kept();
        into.extend(kept.drain(..));
        Some(self.offered.swap(0, Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Sample>> {
        // A panic under the lock leaves only complete samples.
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

    /// How often each of `offers` measurements is kept in `rounds` rounds.
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

    /// Asserts that counts are within six standard deviations of a binomial distribution. By chance, they are outside
    /// once in a hundred million runs.
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
    fn a_boundary_belongs_to_the_bucket_below_it() {
        let reservoir = Reservoir::Aligned(vec![0.0, 5.0]);
        let cells = [-1.0, 0.0, 0.1, 5.0, 5.1].map(|value| reservoir.cell_of(value));
        assert_eq!(cells, [0, 0, 1, 1, 2]);
        assert_eq!(reservoir.cells().len(), 3);
        assert_eq!(Reservoir::Aligned(vec![]).cells().len(), 1);
        assert_eq!(Reservoir::Fixed(9).cells().len(), 1);
    }

    #[test]
    fn exponential_histograms_keep_twenty_at_most() {
        assert_eq!(Reservoir::exponential(160), Reservoir::Fixed(20));
        assert_eq!(Reservoir::exponential(8), Reservoir::Fixed(8));
    }

    #[test]
    fn a_poisoned_lock_can_be_used() {
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
