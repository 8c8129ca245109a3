//! Limits on attempts: a token bucket for each key.
//!
//! An attempt takes a token before the password is checked, and returns it unless the attempt
//! counts. So concurrent attempts cannot exceed the limit, and successful attempts never reach it.
//! If pending attempts hold the last tokens, further attempts wait for their outcomes. An attempt is
//! refused only if failures have used up all tokens.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// Limit of buckets. It bounds the memory that an attacker with many keys can use.
const MAX_BUCKETS: usize = 100_000;

/// Delay before the next attempt after a refusal because of [`MAX_BUCKETS`].
const MEMORY_WAIT: Duration = Duration::from_secs(60);

/// Limit of attempts that wait at one key for pending ones. Each holds a stream of the connection
/// that all calls of a frontend share, so a flood must not occupy all streams.
const MAX_WAITING: usize = 128;

/// A bucket for each key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    capacity: f64,
    /// The time in which an empty bucket becomes full.
    period: Duration,
    buckets: Buckets<K>,
}

/// A permitted attempt. If it does not count, its token is returned when it is dropped.
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
    /// Pending attempts, each of which holds a token.
    undecided: u32,
    decided: Arc<Notify>,
}

/// The answer to a request for a token.
enum Answer<K: Eq + Hash> {
    Taken(Attempt<K>),
    Refused {
        /// The time until the bucket has a token again.
        wait: Duration,
        /// Notified when a pending attempt ends and may return its token.
        undecided: Option<OwnedNotified>,
    },
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// A limiter that permits `count` failures in `period`.
    pub(crate) fn new(count: NonZeroU32, period: Duration) -> Self {
        Self {
            capacity: count.get().into(),
            period,
            buckets: Arc::default(),
        }
    }

    /// Permits an attempt, or returns the delay before the next one. Waits for pending attempts,
    /// because they may return their tokens.
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

    /// Like [`Limiter::attempt`], but does not wait. For attempts that rarely return their tokens.
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
                counts: false,
            });
        }
        // The bucket holds one reference, and each waiting attempt holds another one.
        let may_wait = bucket.undecided > 0 && Arc::strong_count(&bucket.decided) <= MAX_WAITING;
        Answer::Refused {
            wait: self.period.mul_f64((1.0 - bucket.tokens) / self.capacity),
            undecided: may_wait.then(|| Arc::clone(&bucket.decided).notified_owned()),
        }
    }
}

impl<K: Eq + Hash> Attempt<K> {
    /// Keeps the token of the attempt, unless it is forgiven later.
    pub(crate) fn count(&mut self) {
        self.counts = true;
    }

    /// Returns the token, so that the attempt does not count.
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
    /// The tokens at a time. A pending attempt keeps the bucket below full, and only full buckets
    /// are removed.
    fn tokens_at<K>(&self, now: Instant, limiter: &Limiter<K>) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        let full = limiter.capacity - f64::from(self.undecided);
        (self.tokens + limiter.capacity * elapsed.div_duration_f64(limiter.period)).min(full)
    }
}

/// Locks the buckets. Poisoning is ignored, because a panic cannot leave a bucket half changed.
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
        take(limiter, key, now).unwrap().count();
    }

    #[test]
    fn failures_beyond_the_limit_are_refused() {
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
    fn an_attempt_is_permitted_after_the_returned_delay() {
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
    fn forgiven_attempts_do_not_count() {
        let limiter = limiter(1);
        let now = Instant::now();
        for _ in 0..100 {
            take(&limiter, &"a", now).unwrap().forgive();
        }
    }

    #[test]
    fn an_attempt_that_is_given_up_does_not_count_unless_it_was_counted_before() {
        let limiter = limiter(1);
        let now = Instant::now();
        drop(take(&limiter, &"a", now).unwrap());
        let mut attempt = take(&limiter, &"a", now).unwrap();
        attempt.count();
        drop(attempt);
        assert!(take(&limiter, &"a", now).is_err());
    }

    #[test]
    fn a_long_attempt_returns_only_one_token() {
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
    async fn a_hundred_concurrent_successes_all_pass() {
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
    async fn of_a_hundred_concurrent_failures_only_the_limit_is_permitted() {
        let limiter = Arc::new(limiter(3));
        let attempts: Vec<_> = (0..100)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    let mut attempt = limiter.attempt("a").await;
                    tokio::task::yield_now().await;
                    attempt.as_mut().map(Attempt::count).is_ok()
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
    fn an_attempt_at_once_does_not_wait_for_pending_attempts() {
        let limiter = limiter(2);
        let attempts = [(); 2].map(|()| limiter.attempt_at_once(&"a").unwrap());
        let wait = limiter.attempt_at_once(&"a").unwrap_err();
        assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(30));
        attempts.into_iter().next().unwrap().forgive();
        assert!(limiter.attempt_at_once(&"a").is_ok());
    }

    #[tokio::test]
    async fn the_number_of_waiting_attempts_is_bounded() {
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
