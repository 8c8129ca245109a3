//! Histograms that sample their measurements.

use std::sync::Arc;

use opentelemetry::{
    Context, KeyValue, metrics,
    trace::{SpanContext, TraceContextExt as _},
};

use crate::{Filter, reservoir::Origin, sampler::Sampler};

/// A histogram that offers its measurements as exemplars. Clones share the reservoirs.
#[derive(Clone, Debug)]
pub struct Histogram<T> {
    pub(crate) instrument: metrics::Histogram<T>,
    pub(crate) filter: Filter,
    pub(crate) sampler: Arc<Sampler>,
}

/// The types of a histogram's values.
pub trait Number: Copy {
    /// The nearest value that an exemplar can hold.
    fn to_f64(self) -> f64;
}

impl Number for f64 {
    fn to_f64(self) -> f64 {
        self
    }
}

impl Number for u64 {
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl<T: Number> Histogram<T> {
    pub(crate) fn new(
        instrument: metrics::Histogram<T>,
        filter: Filter,
        sampler: Arc<Sampler>,
    ) -> Self {
        Self {
            instrument,
            filter,
            sampler,
        }
    }

    /// Records a value in the SDK's histogram, and offers it as an exemplar with the span of the
    /// current [`Context`].
    pub fn record(&self, value: T, attributes: &[KeyValue]) {
        self.instrument.record(value, attributes);
        if self.filter == Filter::AlwaysOff {
            return;
        }
        let origin = Context::map_current(|context| self.origin(context.span().span_context()));
        if let Some(origin) = origin {
            self.sampler.offer(value.to_f64(), attributes, origin);
        }
    }

    /// Records a value in the SDK's histogram, and offers it as an exemplar with this span. For
    /// callers that have the span, or that measure outside its context.
    pub fn record_in(&self, span: &SpanContext, value: T, attributes: &[KeyValue]) {
        self.instrument.record(value, attributes);
        if let Some(origin) = self.origin(span) {
            self.sampler.offer(value.to_f64(), attributes, origin);
        }
    }

    #[inline]
    fn origin(&self, span: &SpanContext) -> Option<Origin> {
        self.filter.admits(span).then(|| Origin::new(span))
    }
}
