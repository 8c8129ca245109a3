//! The command line of a process.

use std::time::Duration;

use clap::{
    Arg, Args, FromArgMatches as _, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::console;

/// The command line of a process: its settings and an optional subcommand.
#[derive(Args, Debug)]
#[command(subcommand_negates_reqs = true)]
pub struct Cli<C: Args> {
    /// The subcommand; without one, the process runs.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The process's own settings.
    #[command(flatten)]
    pub config: C,
}

/// The subcommands of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Subcommand)]
pub enum Command {
    /// Checks whether the running process is ready: exits with 0 if it is, else with 1
    Health(Health),
}

/// The options of a health check.
#[derive(Args, Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// Time to wait for the process to become ready, such as 1s; the check is retried until then
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
}

/// Reads the command line and the environment into settings.
///
/// If a setting is missing or wrong, ends the process with exit code 2 and one line that names the
/// setting. After `--help` and `--version`, ends it with exit code 0.
#[must_use]
pub fn parse<C: Args>(command: clap::Command) -> Cli<C> {
    let mut command = telemetry::specified(complete::<C>(command));
    let outcome = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|matches| Cli::from_arg_matches(&matches));
    match outcome {
        Ok(cli) => cli,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => {
                console::print_error(&explain(error, &command));
                #[expect(clippy::exit, reason = "nothing is running yet that must be stopped")]
                std::process::exit(2)
            }
        },
    }
}

/// The command with the settings of `C`, without variables that are service links. It keeps its own
/// description, which Clap would replace by that of [`Cli`].
fn complete<C: Args>(command: clap::Command) -> clap::Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let command = setup::without_service_links(Cli::<C>::augment_args(command)).about(about);
    let examples = command.get_after_long_help();
    let examples = examples.map(ToString::to_string);
    let has_telemetry = command
        .get_arguments()
        .any(|argument| argument.get_id() == "service_name");
    let standard = has_telemetry.then(|| telemetry::STANDARD_VARIABLES.to_owned());
    let texts: Vec<_> = standard.into_iter().chain(examples).collect();
    command.after_long_help(texts.join("\n\n"))
}

/// A usage error as one line. It includes the environment variable of the setting, because the value
/// may come from there.
fn explain(mut error: clap::Error, command: &clap::Command) -> String {
    let named: Vec<String> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        _ => Vec::new(),
    };
    let is_named = |argument: &Arg| {
        argument.get_long().is_some_and(|long| {
            named
                .iter()
                .flat_map(|name| name.split([' ', '=', '|']))
                .any(|part| part == format!("--{long}"))
        })
    };

    // The message is stored in the journal and in log files, so it must not show a secret or a URL with a
    // password.
    let hides_value = |argument: &Arg| argument.is_hide_env_values_set() && is_named(argument);
    let has_password = matches!(error.get(ContextKind::InvalidValue),
        Some(ContextValue::String(value)) if value.contains('@'));
    if has_password || command.get_arguments().any(hides_value) {
        let hidden = ContextValue::String("...".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }

    let rendered = error.render().to_string();
    let mut line = rendered
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");

    for argument in command.get_arguments() {
        let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        // Clap does not say which value is not UTF-8.
        let is_no_text = || {
            error.kind() == ErrorKind::InvalidUtf8
                && std::env::var_os(variable).is_some_and(|value| value.to_str().is_none())
        };
        if is_named(argument) || is_no_text() {
            line = format!("{line} (environment: {variable})");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Args, Debug)]
    #[group(id = "config")]
    struct Config {
        /// A port
        #[arg(long, env = "CHASSIS_TEST_PORT", default_value_t = 1)]
        port: u16,
        /// A secret
        #[arg(long, env = "CHASSIS_TEST_SECRET", required = true, hide_env_values = true,
            value_parser = long)]
        secret: Option<String>,
    }

    fn long(text: &str) -> Result<String, &'static str> {
        if text.len() < 4 {
            return Err("too short");
        }
        Ok(text.to_owned())
    }

    fn explained(args: &[&str]) -> String {
        let mut command = complete::<Config>(clap::Command::new("x"));
        let error = command
            .try_get_matches_from_mut([&["x"], args].concat())
            .unwrap_err();
        explain(error, &command)
    }

    #[test]
    fn a_wrong_value_is_one_line_with_both_names() {
        let line = explained(&["--port=70000", "--secret=long"]);
        assert!(!line.contains('\n'));
        assert!(line.contains("--port") && line.contains("70000"), "{line}");
        assert!(line.ends_with("(environment: CHASSIS_TEST_PORT)"), "{line}");
    }

    #[test]
    fn a_wrong_secret_is_not_printed() {
        for value in ["xyz", "", "x\ny", "\u{1b}"] {
            let line = explained(&[&format!("--secret={value}")]);
            assert!(
                line.ends_with("too short (environment: CHASSIS_TEST_SECRET)"),
                "{line}"
            );
            assert!(value.is_empty() || !line.contains(value), "{line}");
        }
        // A repeated option is a different kind of error.
        let line = explained(&["--secret=abcd", "--secret=efgh"]);
        assert!(line.contains("--secret"), "{line}");
        assert!(!line.contains("abcd") && !line.contains("efgh"), "{line}");
    }

    #[test]
    fn a_password_in_a_url_is_not_printed() {
        let line = explained(&["--secret=long", "--port=http://ann:s3cr3t@host"]);
        assert!(!line.contains("s3cr3t") && !line.contains("ann"), "{line}");
        assert!(line.contains("'...' for '--port <PORT>'"), "{line}");
    }

    #[test]
    fn a_missing_value_is_one_line_with_both_names() {
        let line = explained(&[]);
        assert!(!line.contains('\n'));
        assert!(line.contains("--secret"), "{line}");
        assert!(
            line.ends_with("(environment: CHASSIS_TEST_SECRET)"),
            "{line}"
        );
    }

    #[test]
    fn a_subcommand_needs_no_secret() {
        let mut command = complete::<Config>(clap::Command::new("x"));
        let matches = command
            .try_get_matches_from_mut(["x", "--port=2", "health"])
            .unwrap();
        let cli = Cli::<Config>::from_arg_matches(&matches).unwrap();
        assert_eq!(cli.command, Some(Command::Health(Health::default())));
        assert_eq!(cli.config.port, 2);
        assert_eq!(cli.config.secret, None);
    }
}
