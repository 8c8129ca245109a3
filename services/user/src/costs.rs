//! The costs of the stored hashes. A decoy with the most frequent costs is used for unknown emails.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Salt and output of the decoy: 16 and 32 bytes of zeros, in the base64 of PHC strings. No known
/// password has this output.
const NO_PASSWORD: &str = "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The number of stored hashes by costs.
#[derive(Debug)]
pub(crate) struct Costs {
    /// The costs of new hashes.
    current: String,
    counts: Mutex<HashMap<String, i64>>,
}

impl Costs {
    /// `current` are the costs of new hashes. `stored` is the number of stored hashes by costs.
    pub(crate) fn new(current: String, stored: impl IntoIterator<Item = (String, i64)>) -> Self {
        Self {
            current,
            counts: Mutex::new(
                stored
                    .into_iter()
                    // A malformed hash has no costs.
                    .filter(|(costs, _)| costs.starts_with("$argon2"))
                    .collect(),
            ),
        }
    }

    /// Whether a hash has the costs of new hashes.
    pub(crate) fn are_current(&self, hash: &str) -> bool {
        of(hash) == self.current
    }

    /// Counts a stored hash, and the one that it replaces.
    pub(crate) fn stored(&self, hash: &str, instead_of: Option<&str>) {
        let mut counts = self.lock();
        *counts.entry(of(hash).to_owned()).or_default() += 1;
        if let Some(count) = instead_of.and_then(|hash| counts.get_mut(of(hash))) {
            *count -= 1;
        }
    }

    /// A hash of the most frequent costs that matches no password.
    pub(crate) fn decoy(&self) -> String {
        let counts = self.lock();
        let frequent = counts
            .iter()
            // If two costs are equally frequent, the current ones, whose number grows.
            .max_by_key(|(costs, count)| (**count, **costs == self.current))
            .map_or(&self.current, |(costs, _)| costs);
        format!("{frequent}${NO_PASSWORD}")
    }

    /// Locks the counts. Poisoning is ignored: after a panic, a count is off by one at most.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a PHC string before salt and output: algorithm, version and costs.
pub(crate) fn of(hash: &str) -> &str {
    hash.rsplitn(3, '$').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "$argon2id$v=19$m=8,t=1,p=1";
    const NEW: &str = "$argon2id$v=19$m=16,t=2,p=1";

    fn hash(costs: &str) -> String {
        format!("{costs}$c2FsdHNhbHRzYWx0$aGFzaGhhc2g")
    }

    #[test]
    fn a_decoy_has_the_most_frequent_costs() {
        let costs = Costs::new(NEW.to_owned(), [(OLD.to_owned(), 2), (NEW.to_owned(), 1)]);
        assert_eq!(of(&costs.decoy()), OLD);
        costs.stored(&hash(NEW), None);
        assert_eq!(of(&costs.decoy()), NEW, "the current costs win a tie");
        costs.stored(&hash(OLD), None);
        assert_eq!(of(&costs.decoy()), OLD);
        costs.stored(&hash(NEW), Some(&hash(OLD)));
        assert_eq!(of(&costs.decoy()), NEW);
    }

    #[test]
    fn without_accounts_a_decoy_has_the_costs_of_a_new_hash() {
        assert_eq!(of(&Costs::new(NEW.to_owned(), []).decoy()), NEW);
    }

    #[test]
    fn hashes_with_other_costs_are_detected() {
        let costs = Costs::new(NEW.to_owned(), []);
        assert!(costs.are_current(&hash(NEW)));
        assert!(!costs.are_current(&hash(OLD)));
        assert!(!costs.are_current("$x$"));
    }
}
