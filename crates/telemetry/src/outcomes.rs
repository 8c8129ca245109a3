//! Cache of the data that all operations with the same outcome share.
//!
//! Operations such as RPCs have few different outcomes, for example a method with a status. The
//! encoded attributes and the histogram handle of each outcome are made once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use opentelemetry::{KeyValue, trace::TraceContextExt as _};

use crate::{
    metrics::{BoundHistogram, Histogram},
    trace::{Attributes, Span},
};

/// The outcomes of operations, by keys of type `K`. There must be few keys: they are never evicted.
#[derive(Debug)]
pub struct Outcomes<K> {
    duration: Histogram,
    known: RwLock<HashMap<K, Arc<Outcome>, RandomState>>,
}

/// The outcome of an operation.
#[derive(Debug, Default)]
pub struct Description {
    /// Attributes of its span and of its duration.
    pub attributes: Vec<KeyValue>,
    /// Further attributes of its span.
    pub of_span: Vec<KeyValue>,
    /// Whether its span is marked as failed.
    pub failed: bool,
}

#[derive(Debug)]
struct Outcome {
    attributes: Attributes,
    failed: bool,
    duration: BoundHistogram,
}

impl<K: Eq + Hash> Outcomes<K> {
    /// An empty cache for operations whose durations go to this histogram.
    #[must_use]
    pub fn new(duration: Histogram) -> Self {
        Self {
            duration,
            known: RwLock::default(),
        }
    }

    /// Ends an operation and its span. `describe` is called once for each key.
    pub fn end(&self, span: &mut Span, key: K, describe: impl FnOnce(&K) -> Description) {
        let elapsed = span.elapsed();
        let outcome = self.outcome(key, describe);
        outcome
            .duration
            .record_in(span.context().span().span_context(), elapsed.as_secs_f64());
        span.end(elapsed, &outcome.attributes, outcome.failed);
    }

    fn outcome(&self, key: K, describe: impl FnOnce(&K) -> Description) -> Arc<Outcome> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = known.get(&key) {
            return Arc::clone(outcome);
        }
        drop(known);
        let Description {
            mut attributes,
            of_span,
            failed,
        } = describe(&key);
        let duration = self.duration.bind(&attributes);
        attributes.extend(of_span);
        let outcome = Arc::new(Outcome {
            attributes: Attributes::new(attributes),
            failed,
            duration,
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(key).or_insert(outcome))
    }
}
