//! Password hashes, off the runtime's workers and bounded in number.
//!
//! A hash is meant to be expensive: without a bound, a burst of sign-ins would take all
//! processors and memory. What cannot wait any more is refused at once.

use std::{sync::Arc, thread::available_parallelism};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use telemetry::{
    metrics::{self, Counter, Histogram},
    trace::{Attributes, Span},
};
use tokio::sync::Semaphore;

use crate::{config::Hashing, password::Password};

/// Makes and checks Argon2id hashes.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// Held while a password waits or is being hashed.
    admission: Arc<Semaphore>,
    /// Held while a password is being hashed.
    turn: Arc<Semaphore>,
    duration: Histogram,
    refused: Counter<u64>,
}

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// Too many are waiting.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    /// The stored hash is not one.
    #[error("cannot read a password hash")]
    Malformed(#[source] argon2::password_hash::phc::Error),
    /// The hash could not be computed.
    #[error("cannot hash a password")]
    Failed(#[source] argon2::password_hash::Error),
}

impl Hasher {
    /// A hasher of the given costs.
    ///
    /// # Errors
    /// When Argon2 does not accept the costs.
    pub(crate) fn new(settings: &Hashing) -> Result<Self, argon2::Error> {
        let params = Params::new(settings.hash_memory, settings.hash_iterations, 1, None)?;
        let concurrency = match settings.hash_concurrency {
            0 => available_parallelism().map_or(1, usize::from),
            count => usize::from(count),
        };
        let places = concurrency + usize::from(settings.hash_queue);
        let admission = Arc::new(Semaphore::new(places));
        let turn = Arc::new(Semaphore::new(concurrency));

        let scope = env!("CARGO_PKG_NAME");
        metrics::USER_PASSWORD_HASH_QUEUE_LENGTH.observed_up_down_counter(scope, {
            let (admission, turn) = (Arc::clone(&admission), Arc::clone(&turn));
            move |passwords| {
                let admitted = places - admission.available_permits();
                let running = concurrency - turn.available_permits();
                // A password that comes between the two is seen as running only.
                passwords.observe(admitted.saturating_sub(running) as i64, &[]);
            }
        });
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            admission,
            turn,
            duration: metrics::USER_PASSWORD_HASH_DURATION.histogram(scope),
            refused: metrics::USER_PASSWORD_HASH_REFUSED.counter(scope),
        })
    }

    /// Hashes a password with a new salt, into a PHC string.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, HashError> {
        self.in_turn("hash password", move |argon2| {
            argon2
                .hash_password(password.as_bytes())
                .map(|hash: PasswordHash| hash.to_string())
                .map_err(HashError::Failed)
        })
        .await
    }

    /// Whether a password is the one that was hashed.
    ///
    /// Without a hash the answer is no, after the same work: how long it took must not tell
    /// whether an account exists.
    pub(crate) async fn verify(
        &self,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, HashError> {
        self.in_turn("verify password", move |argon2| {
            let Some(hash) = hash else {
                let unwanted: PasswordHash = argon2
                    .hash_password(password.as_bytes())
                    .map_err(HashError::Failed)?;
                std::hint::black_box(unwanted);
                return Ok(false);
            };
            let hash = PasswordHash::new(&hash).map_err(HashError::Malformed)?;
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(HashError::Failed(error)),
            }
        })
        .await
    }

    async fn in_turn<T, F>(&self, name: &'static str, work: F) -> Result<T, HashError>
    where
        F: FnOnce(&Argon2<'static>) -> Result<T, HashError> + Send + 'static,
        T: Send + 'static,
    {
        let admission = Arc::clone(&self.admission)
            .try_acquire_owned()
            .map_err(|_full| {
                self.refused.add(1, &[]);
                HashError::Overloaded
            })?;
        let turn = Arc::clone(&self.turn)
            .acquire_owned()
            .await
            .or(Err(HashError::Overloaded))?;
        let (argon2, duration) = (self.argon2.clone(), self.duration.clone());
        telemetry::spawn_blocking(move || {
            // Held by the work and not by the caller, who may go away before it is done.
            let _held = (admission, turn);
            let mut span = Span::internal(name);
            let outcome = work(&argon2);
            let elapsed = span.elapsed();
            duration.record(elapsed.as_secs_f64(), &[]);
            span.end(elapsed, &Attributes::default(), outcome.is_err());
            outcome
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    async fn a_hash_fits_its_password_only() {
        let hasher = hasher(1);
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(
            hasher
                .verify(password("correct horse"), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(password("wrong horses"), Some(hash))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(password("correct horse"), None)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn equal_passwords_have_different_hashes() {
        let hasher = hasher(1);
        let one = hasher.hash(password("correct horse")).await.unwrap();
        let two = hasher.hash(password("correct horse")).await.unwrap();
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn hashes_of_other_costs_stay_valid() {
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
                .verify(password("correct horse"), Some(hash))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error_and_not_a_no() {
        let outcome = hasher(1)
            .verify(password("correct horse"), Some("$x$".to_owned()))
            .await;
        assert!(matches!(outcome, Err(HashError::Malformed(_))));
    }

    #[tokio::test]
    async fn what_cannot_wait_is_refused_at_once() {
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
