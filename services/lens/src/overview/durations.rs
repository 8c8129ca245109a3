//! Quantiles of durations in constant memory.

use hdrhistogram::Histogram;

/// Counts of durations in buckets: at most 4 KiB, and quantiles that are exact to 1/32 of their value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations(Option<Histogram<u32>>);

impl Durations {
    /// Adds a duration in nanoseconds.
    pub(crate) fn add(&mut self, nanos: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new(1).ok();
        }
        // A histogram that grows by itself has room for all but the largest numbers.
        if let Some(histogram) = &mut self.0 {
            let _ = histogram.record(nanos.min(u64::MAX >> 1));
        }
    }

    /// Adds the durations of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Some(all), Some(more)) => {
                let _ = all.add(more);
            }
            (None, Some(_)) => *self = other.clone(),
            (_, None) => {}
        }
    }

    /// A quantile (0 to 1), in nanoseconds. 0 without durations.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| {
            let value = histogram.value_at_quantile(quantile);
            histogram.median_equivalent(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_a_32nd() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(0.5), 0);
        let all: Vec<u64> = (0..10_000u64).map(|number| number.pow(3) + 5).collect();
        let (first, second) = all.split_at(3_000);
        first.iter().for_each(|&nanos| durations.add(nanos));
        let mut more = Durations::default();
        second.iter().for_each(|&nanos| more.add(nanos));
        durations.merge(&more);
        for quantile in [0.0, 0.01, 0.5, 0.95, 1.0] {
            let place = (all.len() as f64 * quantile).ceil().max(1.0) as usize - 1;
            let exact = all[place];
            let error = durations.quantile(quantile).abs_diff(exact);
            assert!(error <= exact / 32 + 1, "{quantile}: {error} of {exact}");
        }
        durations.add(u64::MAX);
        assert!(durations.quantile(1.0) > u64::MAX / 2 / 32 * 31);
    }
}
