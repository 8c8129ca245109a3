//! Limits on what may fail: a token bucket for each key.
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

use tokio::sync::Notify;

/// The time in which an empty bucket fills.
const PERIOD: Duration = Duration::from_secs(60);

/// Buckets kept at most; more than that many keys in one period is an attack on memory.
const MAX_BUCKETS: usize = 100_000;

/// A bucket for each key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    capacity: f64,
    buckets: Buckets<K>,
}

/// An attempt that has been let through. It counts as failed unless it is forgiven.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt<K: Eq + Hash> {
    key: K,
    capacity: f64,
    buckets: Buckets<K>,
    failed: bool,
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
    /// Ask again when this has happened.
    Undecided(tokio::sync::futures::OwnedNotified),
    /// There will be one after this long.
    Refused(Duration),
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
    pub(crate) async fn attempt(&self, key: K) -> Result<Attempt<K>, Duration> {
        loop {
            match self.ask(&key, Instant::now()) {
                Answer::Taken(attempt) => return Ok(attempt),
                Answer::Undecided(decided) => decided.await,
                Answer::Refused(wait) => return Err(wait),
            }
        }
    }

    fn ask(&self, key: &K, now: Instant) -> Answer<K> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| bucket.tokens_at(now, self.capacity) < self.capacity);
            if buckets.len() >= MAX_BUCKETS {
                return Answer::Refused(PERIOD);
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert_with(|| Bucket {
            tokens: self.capacity,
            at: now,
            undecided: 0,
            decided: Arc::default(),
        });
        bucket.tokens = bucket.tokens_at(now, self.capacity);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            bucket.undecided += 1;
            return Answer::Taken(Attempt {
                key: key.clone(),
                capacity: self.capacity,
                buckets: Arc::clone(&self.buckets),
                failed: true,
            });
        }
        if bucket.undecided > 0 {
            return Answer::Undecided(Arc::clone(&bucket.decided).notified_owned());
        }
        Answer::Refused(PERIOD.mul_f64((1.0 - bucket.tokens) / self.capacity))
    }
}

impl<K: Eq + Hash> Attempt<K> {
    /// Takes the attempt back: it did not fail.
    pub(crate) fn forgive(mut self) {
        self.failed = false;
    }
}

impl<K: Eq + Hash> Drop for Attempt<K> {
    fn drop(&mut self) {
        let mut buckets = lock(&self.buckets);
        if let Some(bucket) = buckets.get_mut(&self.key) {
            bucket.undecided -= 1;
            if !self.failed {
                bucket.tokens = (bucket.tokens + 1.0).min(self.capacity);
            }
            bucket.decided.notify_waiters();
        }
    }
}

impl Bucket {
    /// A bucket whose tokens are not all there is kept, so one with an attempt under way too.
    fn tokens_at(&self, now: Instant, capacity: f64) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        let full = capacity - f64::from(self.undecided);
        (self.tokens + capacity * elapsed.div_duration_f64(PERIOD)).min(full)
    }
}

/// A panic cannot leave a bucket half changed, so a poisoned lock is as good as new.
fn lock<K>(buckets: &Mutex<HashMap<K, Bucket>>) -> MutexGuard<'_, HashMap<K, Bucket>> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_minute: u32) -> Limiter<&'static str> {
        Limiter::new(NonZeroU32::new(per_minute).unwrap())
    }

    fn take<K: Clone + Eq + Hash>(
        limiter: &Limiter<K>,
        key: &K,
        now: Instant,
    ) -> Result<Attempt<K>, Duration> {
        match limiter.ask(key, now) {
            Answer::Taken(attempt) => Ok(attempt),
            Answer::Undecided(_) => panic!("an attempt is undecided"),
            Answer::Refused(wait) => Err(wait),
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
    fn memory_is_bounded() {
        let limiter = Limiter::new(NonZeroU32::new(1).unwrap());
        let now = Instant::now();
        for key in 0..MAX_BUCKETS {
            fail(&limiter, &key, now);
        }
        assert!(take(&limiter, &MAX_BUCKETS, now).is_err());
        assert!(take(&limiter, &MAX_BUCKETS, now + PERIOD).is_ok());
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
