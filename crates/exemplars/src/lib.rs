#![doc = include_str!("../README.md")]

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::{InstrumentationScope, metrics};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

mod attach;
#[cfg(feature = "bound")]
mod bound;
mod filter;
mod histogram;
mod reservoir;
mod sampler;

#[cfg(feature = "bound")]
pub use bound::BoundHistogram;
pub use filter::{Filter, UnknownFilter};
pub use histogram::{Histogram, Number};
pub use reservoir::Reservoir;

use sampler::Sampler;

/// The exemplars of one meter provider's histograms. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Exemplars {
    filter: Filter,
    samplers: Arc<Mutex<Vec<Arc<Sampler>>>>,
}

impl Exemplars {
    /// An empty collection of exemplars with this filter.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            samplers: Arc::default(),
        }
    }

    /// Wraps a histogram so that it offers its measurements as exemplars.
    ///
    /// `scope` is that of the histogram's meter. `name` is the name in exports: the histogram's own
    /// name, unless a view changes it. Histograms with the same scope and name share the reservoirs of
    /// the first.
    pub fn histogram<T: Number>(
        &self,
        scope: &InstrumentationScope,
        name: &str,
        instrument: metrics::Histogram<T>,
        reservoir: Reservoir,
    ) -> Histogram<T> {
        let mut samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = samplers
            .iter()
            .find(|sampler| sampler.scope() == scope && sampler.is_named(name));
        let sampler = known.cloned().unwrap_or_else(|| {
            let sampler = Arc::new(Sampler::new(scope.clone(), name, reservoir));
            samplers.push(sampler.clone());
            sampler
        });
        Histogram::new(instrument, self.filter, sampler)
    }

    /// Moves the exemplars since the last call into their data points.
    ///
    /// Call it once for each collection, before its message is sent. A histogram that is not in the
    /// message keeps its exemplars.
    pub fn attach(&self, request: &mut ExportMetricsServiceRequest) {
        let samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock is not held during the work, so that histograms can be created meanwhile.
        let samplers = samplers.clone();
        for sampler in samplers {
            attach::attach(&sampler, request);
        }
    }
}
