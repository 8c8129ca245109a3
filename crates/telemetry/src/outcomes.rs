//! The ways in which operations of one kind end.
//!
//! An operation of a kind, such as an RPC, ends in one of few ways, and each way has its
//! attributes. They are made once for each, and its durations are not sorted out again.

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

/// What is known of the ways in which operations end, which have keys of type `K`. There must
/// be few keys: they are kept for ever.
#[derive(Debug)]
pub struct Outcomes<K> {
    duration: Histogram,
    known: RwLock<HashMap<K, Arc<Outcome>, RandomState>>,
}

/// How an operation ended.
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
    /// Outcomes of operations whose durations are recorded here.
    #[must_use]
    pub fn new(duration: Histogram) -> Self {
        Self {
            duration,
            known: RwLock::default(),
        }
    }

    /// Ends an operation and its span. `describe` is asked once for each key.
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
