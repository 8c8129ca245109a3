//! Settings of a service that runs in the process of a test.

use clap::{Args, Command};

/// Settings from these arguments alone, without the environment of the tests.
#[must_use]
pub fn settings<C: Args>(arguments: &[&str]) -> C {
    let command = C::augment_args(Command::new("service"));
    let command = command.mut_args(|argument| argument.env(None::<&str>));
    let arguments = [&["service"], arguments].concat();
    let matches = command.try_get_matches_from(arguments).unwrap();
    C::from_arg_matches(&matches).unwrap()
}
