//! Limits on attempts: a token bucket for each key.
//!
//! A key is a plain value, so that replicas could keep the buckets together in a database.
//!
//! An attempt takes its token before it is made and gives it back when it did not fail. So
//! attempts made at the same moment cannot all slip through, and whoever knows the password
//! is never held up by having used it often: while attempts that hold the last tokens are
//! undecided, further ones wait for them, and are refused only when failures have used up all.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// Buckets kept at most; more keys than that at a time are an attack on memory.
const MAX_BUCKETS: usize = 100_000;

/// When to try again after a refusal for want of memory.
const MEMORY_WAIT: Duration = Duration::from_secs(60);

/// Attempts that may wait at one key for others to be decided. Each holds a stream of the
/// connection that all calls of a frontend share, so that a flood must not wait without bound.
const MAX_WAITING: usize = 128;

/// A bucket for each key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    capacity: f64,
    /// The time in which an empty bucket fills.
    period: Duration,
    buckets: Buckets<K>,
}

/// An attempt that has been let through. It counts unless it is forgiven.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt<K: Eq + Hash> {
    key: K,
    capacity: f64,
    buckets: Buckets<K>,
    counts: bool,
}

type Buckets<K> = Arc<Mutex<HashMap<K, Bucket>>>;

#[derive(Clone, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    /// Attempts under way, each of which holds a token.
    undecided: u32,
    decided: Arc<Notify>,
}

/// What comes of asking for a token.
enum Answer<K: Eq + Hash> {
    Taken(Attempt<K>),
    Refused {
        /// There will be one after this long.
        wait: Duration,
        /// There may be one when this has happened.
        undecided: Option<OwnedNotified>,
    },
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// A limiter that lets this many attempts in a period count.
    pub(crate) fn new(count: NonZeroU32, period: Duration) -> Self {
        Self {
            capacity: count.get().into(),
            period,
            buckets: Arc::default(),
        }
    }

    /// Lets an attempt through, or says how long to wait until one will be. Waits for attempts
    /// that may be forgiven.
    pub(crate) async fn attempt(&self, key: K) -> Result<Attempt<K>, Duration> {
        loop {
            match self.ask(&key, Instant::now()) {
                Answer::Taken(attempt) => return Ok(attempt),
                Answer::Refused {
                    undecided: Some(decided),
                    ..
                } => decided.await,
                Answer::Refused {
                    wait,
                    undecided: None,
                } => return Err(wait),
            }
        }
    }

    /// The same without waiting, for attempts that are forgiven by exception only.
    pub(crate) fn attempt_at_once(&self, key: &K) -> Result<Attempt<K>, Duration> {
        match self.ask(key, Instant::now()) {
            Answer::Taken(attempt) => Ok(attempt),
            Answer::Refused { wait, .. } => Err(wait),
        }
    }

    fn ask(&self, key: &K, now: Instant) -> Answer<K> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| bucket.tokens_at(now, self) < self.capacity);
            if buckets.len() >= MAX_BUCKETS {
                return Answer::Refused {
                    wait: MEMORY_WAIT,
                    undecided: None,
                };
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert_with(|| Bucket {
            tokens: self.capacity,
            at: now,
            undecided: 0,
            decided: Arc::default(),
        });
        bucket.tokens = bucket.tokens_at(now, self);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            bucket.undecided += 1;
            return Answer::Taken(Attempt {
                key: key.clone(),
                capacity: self.capacity,
                buckets: Arc::clone(&self.buckets),
                counts: true,
            });
        }
        // The bucket holds one reference, and each attempt that waits another one.
        let may_wait = bucket.undecided > 0 && Arc::strong_count(&bucket.decided) <= MAX_WAITING;
        Answer::Refused {
            wait: self.period.mul_f64((1.0 - bucket.tokens) / self.capacity),
            undecided: may_wait.then(|| Arc::clone(&bucket.decided).notified_owned()),
        }
    }
}

impl<K: Eq + Hash> Attempt<K> {
    /// Takes the attempt back: it does not count.
    pub(crate) fn forgive(mut self) {
        self.counts = false;
    }
}

impl<K: Eq + Hash> Drop for Attempt<K> {
    fn drop(&mut self) {
        let mut buckets = lock(&self.buckets);
        if let Some(bucket) = buckets.get_mut(&self.key) {
            bucket.undecided -= 1;
            if !self.counts {
                bucket.tokens = (bucket.tokens + 1.0).min(self.capacity);
            }
            bucket.decided.notify_waiters();
        }
    }
}

impl Bucket {
    /// A bucket whose tokens are not all there is kept, so one with an attempt under way too.
    fn tokens_at<K>(&self, now: Instant, limiter: &Limiter<K>) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        let full = limiter.capacity - f64::from(self.undecided);
        (self.tokens + limiter.capacity * elapsed.div_duration_f64(limiter.period)).min(full)
    }
}

/// A panic cannot leave a bucket half changed, so a poisoned lock is as good as new.
fn lock<K>(buckets: &Mutex<HashMap<K, Bucket>>) -> MutexGuard<'_, HashMap<K, Bucket>> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    fn limiter(per_minute: u32) -> Limiter<&'static str> {
        Limiter::new(NonZeroU32::new(per_minute).unwrap(), PERIOD)
    }

    fn take<K: Clone + Eq + Hash>(
        limiter: &Limiter<K>,
        key: &K,
        now: Instant,
    ) -> Result<Attempt<K>, Duration> {
        match limiter.ask(key, now) {
            Answer::Taken(attempt) => Ok(attempt),
            Answer::Refused { wait, undecided } => {
                assert!(undecided.is_none(), "an attempt is undecided");
                Err(wait)
            }
        }
    }

    fn fail<K: Clone + Eq + Hash>(limiter: &Limiter<K>, key: &K, now: Instant) {
        drop(take(limiter, key, now).unwrap());
    }

    #[test]
    fn as_many_as_allowed_may_fail() {
        let limiter = limiter(3);
        let now = Instant::now();
        for _ in 0..3 {
            fail(&limiter, &"a", now);
        }
        assert_eq!(
            take(&limiter, &"a", now).unwrap_err(),
            Duration::from_secs(20)
        );
        assert!(
            take(&limiter, &"b", now).is_ok(),
            "other keys are not affected"
        );
    }

    #[test]
    fn a_wait_of_the_advised_length_suffices() {
        let limiter = limiter(3);
        let now = Instant::now();
        for _ in 0..3 {
            fail(&limiter, &"a", now);
        }
        let wait = take(&limiter, &"a", now).unwrap_err();
        assert!(take(&limiter, &"a", now + wait / 2).is_err());
        assert!(take(&limiter, &"a", now + wait + Duration::from_millis(1)).is_ok());
    }

    #[test]
    fn what_succeeds_is_not_counted() {
        let limiter = limiter(1);
        let now = Instant::now();
        for _ in 0..100 {
            take(&limiter, &"a", now).unwrap().forgive();
        }
    }

    #[test]
    fn an_attempt_that_takes_long_gets_back_no_more_than_it_took() {
        let limiter = limiter(2);
        let now = Instant::now();
        let attempt = take(&limiter, &"a", now).unwrap();
        let later = now + 10 * PERIOD;
        fail(&limiter, &"a", later);
        attempt.forgive();
        fail(&limiter, &"a", later);
        assert!(take(&limiter, &"a", later).is_err());
    }

    #[tokio::test]
    async fn a_hundred_that_succeed_at_the_same_moment_all_pass() {
        let limiter = Arc::new(limiter(3));
        let attempts: Vec<_> = (0..100)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    let attempt = limiter.attempt("a").await?;
                    tokio::task::yield_now().await;
                    attempt.forgive();
                    Ok::<_, Duration>(())
                })
            })
            .collect();
        for attempt in attempts {
            attempt.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn of_a_hundred_that_fail_at_the_same_moment_few_are_made() {
        let limiter = Arc::new(limiter(3));
        let attempts: Vec<_> = (0..100)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    let attempt = limiter.attempt("a").await;
                    tokio::task::yield_now().await;
                    attempt.is_ok()
                })
            })
            .collect();
        let mut made = 0;
        for attempt in attempts {
            made += usize::from(attempt.await.unwrap());
        }
        assert_eq!(made, 3);
    }

    #[test]
    fn an_attempt_without_patience_is_refused_while_others_are_undecided() {
        let limiter = limiter(2);
        let attempts = [(); 2].map(|()| limiter.attempt_at_once(&"a").unwrap());
        let wait = limiter.attempt_at_once(&"a").unwrap_err();
        assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(30));
        attempts.into_iter().next().unwrap().forgive();
        assert!(limiter.attempt_at_once(&"a").is_ok());
    }

    #[tokio::test]
    async fn no_more_than_a_bounded_number_waits_for_what_is_undecided() {
        let limiter = Arc::new(limiter(1));
        let undecided = limiter.attempt("a").await.unwrap();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move { limiter.attempt("a").await.map(Attempt::forgive) })
            })
            .collect();
        while Arc::strong_count(&lock(&limiter.buckets)["a"].decided) <= MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert!(limiter.attempt("a").await.is_err());
        undecided.forgive();
        for attempt in waiting {
            attempt.await.unwrap().unwrap();
        }
        assert!(limiter.attempt("a").await.is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::new(NonZeroU32::new(1).unwrap(), PERIOD);
        let now = Instant::now();
        for key in 0..MAX_BUCKETS {
            fail(&limiter, &key, now);
        }
        assert!(take(&limiter, &MAX_BUCKETS, now).is_err());
        assert!(take(&limiter, &MAX_BUCKETS, now + PERIOD).is_ok());
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
