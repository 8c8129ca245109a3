//! Histograms of either type, and populations of many of them.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use foldhash::fast::RandomState;

use crate::metrics::{
    bucket::{self, Bucket, Estimate},
    explicit::Explicit,
    exponential::Exponential,
    point::Value,
    window::Cumulative,
};

/// A histogram of either type.
#[derive(Clone, Debug)]
pub(super) enum Distribution<'a> {
    Explicit(Cow<'a, Explicit>),
    Exponential(Cow<'a, Exponential>),
}

impl<'a> Distribution<'a> {
    /// The histogram of a value that is one.
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Explicit(histogram) => Some(Self::Explicit(Cow::Borrowed(histogram))),
            Value::Exponential(histogram) => Some(Self::Exponential(Cow::Borrowed(histogram))),
            Value::Gap | Value::Number(_) | Value::Summary(_) => None,
        }
    }
}

impl Cumulative for Distribution<'_> {
    fn since(&self, earlier: &Self) -> Option<Self> {
        match (self, earlier) {
            (Self::Explicit(one), Self::Explicit(earlier)) => {
                Some(Self::Explicit(Cow::Owned(one.since(earlier)?)))
            }
            (Self::Exponential(one), Self::Exponential(earlier)) => {
                Some(Self::Exponential(Cow::Owned(one.since(earlier)?)))
            }
            _ => None,
        }
    }
}

/// The union of histograms.
///
/// Exponential ones are merged into one, and explicit ones into one for each set of bounds, so nothing
/// is approximated.
#[derive(Debug, Default)]
pub(super) struct Population {
    exponential: Option<Exponential>,
    explicit: HashMap<Bounds, Explicit, RandomState>,
}

impl Population {
    pub(super) fn add(&mut self, distribution: &Distribution<'_>) {
        match distribution {
            Distribution::Exponential(more) => match &mut self.exponential {
                Some(merged) => merged.merge(more),
                None => self.exponential = Some(more.clone().into_owned()),
            },
            Distribution::Explicit(more) => {
                let bounds = Bounds(Arc::clone(&more.bounds));
                match self.explicit.get_mut(&bounds) {
                    Some(merged) => {
                        // Their bounds are equal, so it is merged.
                        let _ = merged.merge(more);
                    }
                    None => {
                        self.explicit.insert(bounds, more.clone().into_owned());
                    }
                }
            }
        }
    }

    /// The buckets with values of all histograms, in ascending order.
    pub(super) fn buckets(&self) -> Vec<Bucket> {
        let exponential = self.exponential.iter().flat_map(Exponential::buckets);
        let explicit = self.explicit.values().flat_map(Explicit::buckets);
        let mut buckets: Vec<_> = exponential.chain(explicit).collect();
        buckets.sort_by(|one, other| {
            let uppers = one.upper.total_cmp(&other.upper);
            uppers.then_with(|| one.lower.total_cmp(&other.lower))
        });
        buckets
    }

    /// The number of values.
    pub(super) fn count(&self) -> u64 {
        let exponential = self.exponential.iter().map(|one| one.count);
        bucket::sum(exponential.chain(self.explicit.values().map(|one| one.count)))
    }

    /// The estimate of each quantile (0 to 1), or `None` without values.
    pub(super) fn quantiles(&self, quantiles: &[f64]) -> Vec<Option<Estimate>> {
        let buckets = self.buckets();
        let quantiles = quantiles.iter();
        quantiles
            .map(|one| bucket::quantile(&buckets, *one))
            .collect()
    }
}

/// Bounds as a key.
#[derive(Debug)]
struct Bounds(Arc<[f64]>);

impl PartialEq for Bounds {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

// Bounds have no NaN.
impl Eq for Bounds {}

impl Hash for Bounds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for bound in &*self.0 {
            // Adding 0 makes -0 equal to 0, as for `==`.
            (bound + 0.0).to_bits().hash(state);
        }
    }
}
