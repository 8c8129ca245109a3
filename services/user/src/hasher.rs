//! Password hashing on blocking threads, with a limit on concurrent hashes.
//!
//! Hashes are expensive by design. Without the limit, a burst of sign-ins would use all processors
//! and memory. The queue is bounded too: if it is full, passwords are refused at once.
//!
//! Registrations and sign-ins have separate lanes and take turns, so that a flood of one does not
//! delay the other.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use telemetry::{
    metrics::{self, Counter, Histogram},
    trace::{Attributes, Span},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Hashing, password::Password};

/// Lanes of Argon2 in one hash.
pub(crate) const PARALLELISM: u32 = 1;

/// Creates and verifies Argon2id hashes.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    sign_ups: Lane,
    sign_ins: Lane,
    /// One rehash at a time. No caller waits for it, and the next sign-in tries again.
    rehashes: Lane,
    /// Held while a password is being hashed.
    turn: Arc<Semaphore>,
    duration: Histogram,
    refused: Counter<u64>,
}

/// The FIFO queue of the passwords of one purpose.
#[derive(Clone, Debug)]
struct Lane {
    places: usize,
    /// Held while a password waits or is being hashed.
    admission: Arc<Semaphore>,
    /// Held by the head of the lane, which has as many passwords as can be hashed concurrently.
    /// Only the heads of the lanes compete for a turn, so a long lane has no advantage.
    first: Arc<Semaphore>,
}

/// Why a password could not be hashed or verified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// The lane is full.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    /// The stored hash is malformed.
    #[error("cannot read a password hash")]
    Malformed(#[source] argon2::password_hash::phc::Error),
    /// The hash could not be computed.
    #[error("cannot hash a password")]
    Failed(#[source] argon2::password_hash::Error),
}

impl Lane {
    fn new(places: usize, concurrency: usize) -> Self {
        Self {
            places,
            admission: Arc::new(Semaphore::new(places)),
            first: Arc::new(Semaphore::new(concurrency)),
        }
    }

    /// The number of passwords that wait or are being hashed.
    fn length(&self) -> usize {
        self.places - self.admission.available_permits()
    }
}

impl Hasher {
    /// A hasher with the costs and limits in `settings`.
    ///
    /// # Errors
    /// When Argon2 does not accept the costs.
    pub(crate) fn new(settings: &Hashing) -> Result<Self, argon2::Error> {
        let (memory, iterations) = (settings.hash_memory, settings.hash_iterations);
        let params = Params::new(memory, iterations, PARALLELISM, None)?;
        let concurrency = settings.concurrency();
        let places = concurrency + usize::from(settings.hash_queue);
        let [sign_ups, sign_ins] = [(); 2].map(|()| Lane::new(places, concurrency));
        let rehashes = Lane::new(1, 1);
        let turn = Arc::new(Semaphore::new(concurrency));

        let scope = env!("CARGO_PKG_NAME");
        metrics::USER_PASSWORD_HASH_QUEUE_LENGTH.observed_up_down_counter(scope, {
            let lanes = [&sign_ups, &sign_ins, &rehashes].map(Lane::clone);
            let turn = Arc::clone(&turn);
            move |passwords| {
                let admitted: usize = lanes.iter().map(Lane::length).sum();
                let running = concurrency - turn.available_permits();
                // The two reads are not atomic, so the difference may be negative.
                passwords.observe(admitted.saturating_sub(running) as i64, &[]);
            }
        });
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            sign_ups,
            sign_ins,
            rehashes,
            turn,
            duration: metrics::USER_PASSWORD_HASH_DURATION.histogram(scope),
            refused: metrics::USER_PASSWORD_HASH_REFUSED.counter(scope),
        })
    }

    /// Hashes the password of a new account with a new salt. Returns a PHC string.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, HashError> {
        let outcome = self.make(&self.sign_ups, "hash password", password).await;
        self.count_refusal(outcome)
    }

    /// Whether a password matches a hash.
    pub(crate) async fn verify(&self, password: Password, hash: String) -> Result<bool, HashError> {
        let outcome = self.in_turn(&self.sign_ins, "verify password", move |argon2| {
            let hash = PasswordHash::new(&hash).map_err(HashError::Malformed)?;
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(HashError::Failed(error)),
            }
        });
        self.count_refusal(outcome.await)
    }

    /// Hashes the password of an existing account with the current costs. Refused while another
    /// rehash is running.
    pub(crate) async fn rehash(&self, password: Password) -> Result<String, HashError> {
        self.make(&self.rehashes, "rehash password", password).await
    }

    /// The costs of new hashes, as the start of their PHC strings.
    pub(crate) fn costs(&self) -> String {
        let params = self.argon2.params();
        let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        format!("$argon2id$v=19$m={memory},t={passes},p={lanes}")
    }

    fn count_refusal<T>(&self, outcome: Result<T, HashError>) -> Result<T, HashError> {
        if matches!(outcome, Err(HashError::Overloaded)) {
            self.refused.add(1, &[]);
        }
        outcome
    }

    async fn make(
        &self,
        lane: &Lane,
        name: &'static str,
        password: Password,
    ) -> Result<String, HashError> {
        self.in_turn(lane, name, move |argon2| {
            argon2
                .hash_password(password.as_bytes())
                .map(|hash: PasswordHash| hash.to_string())
                .map_err(HashError::Failed)
        })
        .await
    }

    async fn in_turn<T, F>(&self, lane: &Lane, name: &'static str, work: F) -> Result<T, HashError>
    where
        F: FnOnce(&Argon2<'static>) -> Result<T, HashError> + Send + 'static,
        T: Send + 'static,
    {
        let place = self.place(lane).await?;
        let (argon2, duration) = (self.argon2.clone(), self.duration.clone());
        telemetry::spawn_blocking(move || {
            // The work holds the place, because the caller may go away before the work is done.
            let _held = place;
            let mut span = Span::internal(name);
            let outcome = work(&argon2);
            let elapsed = span.elapsed();
            duration.record(elapsed.as_secs_f64(), &[]);
            span.end(elapsed, &Attributes::default(), outcome.is_err());
            outcome
        })
        .await
    }

    /// Waits for a turn in a lane.
    async fn place(&self, lane: &Lane) -> Result<[OwnedSemaphorePermit; 3], HashError> {
        let admission = Arc::clone(&lane.admission)
            .try_acquire_owned()
            .or(Err(HashError::Overloaded))?;
        let first = Arc::clone(&lane.first).acquire_owned().await;
        let first = first.or(Err(HashError::Overloaded))?;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.or(Err(HashError::Overloaded))?;
        Ok([admission, first, turn])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::task::JoinHandle;

    use super::*;
    use crate::costs::{self, Costs};

    fn hasher(queue: u16) -> Hasher {
        Hasher::new(&Hashing {
            hash_memory: 8,
            hash_iterations: 1,
            hash_concurrency: 1,
            hash_queue: queue,
        })
        .unwrap()
    }

    fn password(text: &str) -> Password {
        Password::parse(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_hash_matches_only_its_password() {
        let hasher = hasher(1);
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert_eq!(costs::of(&hash), hasher.costs());
        assert!(
            hasher
                .verify(password("correct horse"), hash.clone())
                .await
                .unwrap()
        );
        assert!(!hasher.verify(password("wrong horses"), hash).await.unwrap());
    }

    #[tokio::test]
    async fn a_decoy_is_a_valid_hash_that_matches_no_password() {
        let hasher = hasher(1);
        let decoy = Costs::new(hasher.costs(), []).decoy();
        let outcome = hasher.verify(password("correct horse"), decoy.clone());
        assert!(!outcome.await.unwrap());
        let made = hasher.hash(password("correct horse")).await.unwrap();
        assert_eq!(decoy.len(), made.len(), "output and salt are as long");
    }

    #[tokio::test]
    async fn one_password_at_a_time_is_rehashed() {
        let hasher = hasher(9);
        let running = hasher.turn.clone().acquire_owned().await.unwrap();
        let first = hasher.clone();
        let first = waiting(async move { first.rehash(password("correct horse")).await }).await;
        let outcome = hasher.rehash(password("correct horse")).await;
        assert!(matches!(outcome, Err(HashError::Overloaded)));
        drop(running);
        assert_eq!(costs::of(&first.await.unwrap().unwrap()), hasher.costs());
    }

    #[tokio::test]
    async fn equal_passwords_have_different_hashes() {
        let hasher = hasher(1);
        let one = hasher.hash(password("correct horse")).await.unwrap();
        let two = hasher.hash(password("correct horse")).await.unwrap();
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn hashes_with_other_costs_stay_valid() {
        let settings = Hashing {
            hash_memory: 64,
            hash_iterations: 3,
            hash_concurrency: 1,
            hash_queue: 1,
        };
        let hash = Hasher::new(&settings)
            .unwrap()
            .hash(password("correct horse"))
            .await
            .unwrap();
        assert!(
            hasher(1)
                .verify(password("correct horse"), hash)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_malformed_hash_is_an_error_and_not_a_wrong_password() {
        let outcome = hasher(1)
            .verify(password("correct horse"), "$x$".to_owned())
            .await;
        assert!(matches!(outcome, Err(HashError::Malformed(_))));
    }

    /// Starts a task, and returns when the task waits for a turn.
    async fn waiting<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let handle = tokio::spawn(work);
        tokio::task::yield_now().await;
        handle
    }

    #[tokio::test]
    async fn a_sign_in_waits_only_for_the_first_sign_up() {
        let hasher = hasher(9);
        let running = hasher.turn.clone().acquire_owned().await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut calls = Vec::new();
        for call in [
            "sign-up", "sign-up", "sign-up", "sign-in", "sign-in", "sign-in",
        ] {
            let (hasher, order) = (hasher.clone(), Arc::clone(&order));
            let call = waiting(async move {
                let lane = match call {
                    "sign-up" => &hasher.sign_ups,
                    _ => &hasher.sign_ins,
                };
                let _place = hasher.place(lane).await.unwrap();
                order.lock().unwrap().push(call);
            });
            calls.push(call.await);
        }
        drop(running);
        for call in calls {
            call.await.unwrap();
        }
        let order = order.lock().unwrap().join(" ");
        assert_eq!(order, "sign-up sign-in sign-up sign-in sign-up sign-in");
    }

    #[tokio::test]
    async fn a_full_lane_does_not_take_places_of_the_other() {
        let hasher = hasher(0);
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        let running = hasher.turn.clone().acquire_owned().await.unwrap();
        let sign_up = hasher.clone();
        let sign_up = waiting(async move { sign_up.hash(password("correct horse")).await }).await;
        let outcome = hasher.hash(password("correct horse")).await;
        assert!(matches!(outcome, Err(HashError::Overloaded)));
        let sign_in = hasher.verify(password("correct horse"), hash);
        drop(running);
        assert!(sign_in.await.unwrap());
        sign_up.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn passwords_beyond_the_queue_are_refused_at_once() {
        let hasher = hasher(1);
        let running = hasher.turn.clone().acquire_owned().await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.hash(password("correct horse")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let outcome = hasher.hash(password("correct horse")).await;
        assert!(matches!(outcome, Err(HashError::Overloaded)));
        drop(running);
        for hash in waiting {
            hash.await.unwrap().unwrap();
        }
    }
}
