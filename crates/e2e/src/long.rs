//! Tests that take minutes, which run only on request.

use std::env;

use libtest_mimic::{Completion, Trial};

/// The variable that enables them; `.ci/run --long` sets it.
const VARIABLE: &str = "OTELIX_LONG_TESTS";

/// Ignores the tests whose names begin with one of these prefixes, unless `OTELIX_LONG_TESTS` is 1.
///
/// # Panics
/// When no test begins with a prefix.
#[must_use]
pub fn ignore_long(trials: Vec<Trial>, prefixes: &[&str]) -> Vec<Trial> {
    for prefix in prefixes {
        let is_used = trials.iter().any(|trial| trial.name().starts_with(prefix));
        assert!(is_used, "no test begins with {prefix}");
    }
    if env::var_os(VARIABLE).is_some_and(|value| value == "1") {
        return trials;
    }
    let ignore = |trial: Trial| {
        if !prefixes
            .iter()
            .any(|prefix| trial.name().starts_with(prefix))
        {
            return trial;
        }
        Trial::ignorable_test(trial.name().to_owned(), || {
            Ok(Completion::ignored_with(format!(
                "takes minutes: `.ci/run --long`, or {VARIABLE}=1"
            )))
        })
    };
    trials.into_iter().map(ignore).collect()
}
