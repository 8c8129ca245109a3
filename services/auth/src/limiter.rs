//! Limits on what may fail: a token bucket for each key.
//!
//! An attempt takes its token before it is made and gives it back when it did not fail. So
//! attempts made at the same moment cannot all slip through, and whoever knows the password
//! is never held up by having used it often.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The time in which an empty bucket fills.
const PERIOD: Duration = Duration::from_secs(60);

/// Buckets kept at most; more than that many keys in one period is an attack on memory.
const MAX_BUCKETS: usize = 100_000;

/// A bucket for each key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    capacity: f64,
    buckets: Arc<Mutex<HashMap<K, Bucket>>>,
}

/// An attempt that has been let through. It counts as failed unless it is forgiven.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt<K: Eq + Hash> {
    key: K,
    capacity: f64,
    buckets: Arc<Mutex<HashMap<K, Bucket>>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// A limiter that lets this many attempts a minute fail.
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        Self {
            capacity: per_minute.get().into(),
            buckets: Arc::default(),
        }
    }

    /// Lets an attempt through, or says how long to wait until one will be.
    pub(crate) fn attempt(&self, key: K) -> Result<Attempt<K>, Duration> {
        self.attempt_at(key, Instant::now())
    }

    fn attempt_at(&self, key: K, now: Instant) -> Result<Attempt<K>, Duration> {
        // A panic cannot leave a bucket half changed, so a poisoned lock is as good as new.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.tokens_at(now, self.capacity) < self.capacity);
            if buckets.len() >= MAX_BUCKETS {
                return Err(PERIOD);
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket {
            tokens: self.capacity,
            at: now,
        });
        bucket.tokens = bucket.tokens_at(now, self.capacity);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(PERIOD.mul_f64((1.0 - bucket.tokens) / self.capacity));
        }
        bucket.tokens -= 1.0;
        Ok(Attempt {
            key,
            capacity: self.capacity,
            buckets: Arc::clone(&self.buckets),
        })
    }
}

impl<K: Eq + Hash> Attempt<K> {
    /// Takes the attempt back: it did not fail.
    pub(crate) fn forgive(self) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&self.key) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.capacity);
        }
    }
}

impl Bucket {
    fn tokens_at(&self, now: Instant, capacity: f64) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        (self.tokens + capacity * elapsed.div_duration_f64(PERIOD)).min(capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_minute: u32) -> Limiter<&'static str> {
        Limiter::new(NonZeroU32::new(per_minute).unwrap())
    }

    #[test]
    fn as_many_as_allowed_may_fail() {
        let limiter = limiter(3);
        let now = Instant::now();
        for _ in 0..3 {
            let _failed = limiter.attempt_at("a", now).unwrap();
        }
        assert_eq!(
            limiter.attempt_at("a", now).unwrap_err(),
            Duration::from_secs(20)
        );
        assert!(
            limiter.attempt_at("b", now).is_ok(),
            "other keys are not affected"
        );
    }

    #[test]
    fn a_wait_of_the_advised_length_suffices() {
        let limiter = limiter(3);
        let now = Instant::now();
        for _ in 0..3 {
            let _failed = limiter.attempt_at("a", now).unwrap();
        }
        let wait = limiter.attempt_at("a", now).unwrap_err();
        assert!(limiter.attempt_at("a", now + wait / 2).is_err());
        assert!(
            limiter
                .attempt_at("a", now + wait + Duration::from_millis(1))
                .is_ok()
        );
    }

    #[test]
    fn what_succeeds_is_not_counted() {
        let limiter = limiter(1);
        let now = Instant::now();
        for _ in 0..100 {
            limiter.attempt_at("a", now).unwrap().forgive();
        }
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::new(NonZeroU32::new(1).unwrap());
        let now = Instant::now();
        for key in 0..MAX_BUCKETS {
            let _failed = limiter.attempt_at(key, now).unwrap();
        }
        assert!(limiter.attempt_at(MAX_BUCKETS, now).is_err());
        assert!(limiter.attempt_at(MAX_BUCKETS, now + PERIOD).is_ok());
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
