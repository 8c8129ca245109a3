//! `wait` and `assert`: how many traces or log records match.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use reqwest::Method;
use tokio::time::{Instant, sleep_until};

use super::{Client, Failure, PACE, Target};
use crate::{
    api::{Match, Matches},
    archive::Loading,
    pages::{clock, duration, line},
    params::Params,
    query::Filter,
};

/// Number of matches that are printed.
const SHOWN: usize = 100;

/// Largest number of matches that can be expected: the API counts one more.
const MOST: u64 = 9_999;

/// Longest time of a check.
const DAY: Duration = Duration::from_hours(24);

/// Time for lens to load what an earlier run stored, for an `assert` without `--within`.
const LOAD: Duration = Duration::from_mins(1);

/// Time limit of a check. A search of a full store takes less than a second.
const CHECK: Duration = Duration::from_secs(30);

/// The arguments of `lens wait`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 lens wait service:checkout\n\
\x20 lens wait 'service:checkout status:error' --count 3 --within 1m\n\
\x20 lens wait 'level>=warn \"out of memory\"' --signal logs")]
pub(super) struct Wait {
    #[command(flatten)]
    query: Query,

    /// Number of matches to wait for
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    count: u64,

    /// Time for the matches to appear, such as 30s or 2m; 24h at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    within: Duration,
}

/// The arguments of `lens assert`.
///
/// Without an expectation, at least one has to match.
#[derive(Args, Clone, Debug)]
#[command(
    after_long_help = "Without --within, what is stored now decides. While lens loads what an earlier run stored, nothing \
is decided: assert waits up to 1 minute for the end of that. With --within:\n\
\x20 --at-least N  succeeds as soon as N match, and fails at the end of the time\n\
\x20 --count N     fails as soon as more than N match, and decides at the end of the time\n\
\x20 --none        fails as soon as one matches, and succeeds at the end of the time\n\n\
Examples:\n\
\x20 lens assert service:checkout\n\
\x20 lens assert 'service:checkout status:error' --none --within 30s\n\
\x20 lens assert 'service:mailer name:send' --count 2 --within 10s"
)]
pub(super) struct Assert {
    #[command(flatten)]
    query: Query,

    /// Expects that nothing matches
    #[arg(long, group = "expected")]
    none: bool,

    /// Expects exactly this number of matches
    #[arg(long, group = "expected", value_name = "N", value_parser = clap::value_parser!(u64).range(0..=MOST))]
    count: Option<u64>,

    /// Expects this number of matches or more
    #[arg(long, group = "expected", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    at_least: Option<u64>,

    /// Time for the expectation to be met, such as 30s or 2m; 24h at most
    #[arg(long, value_name = "TIME", value_parser = time)]
    within: Option<Duration>,
}

#[derive(Args, Clone, Debug)]
struct Query {
    /// The filter, as in the pages of lens, such as 'service:auth status:error'
    // It may begin with a negated term.
    #[arg(allow_hyphen_values = true)]
    filter: String,

    /// What to look for
    #[arg(long, value_name = "SIGNAL", default_value = "traces")]
    signal: Signal,

    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Signal {
    Traces,
    Logs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    AtLeast(usize),
    Exactly(usize),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Met,
    NotMet,
    /// More matches cannot change this.
    Never,
}

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= DAY => Ok(time),
        Ok(_) => Err("it is longer than 24h".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Wait {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let expected = Expected::AtLeast(self.count as usize);
        self.query.check(expected, Some(self.within)).await
    }
}

impl Assert {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let expected = match (self.none, self.count) {
            (true, _) => Expected::Exactly(0),
            (false, Some(count)) => Expected::Exactly(count as usize),
            (false, None) => Expected::AtLeast(self.at_least.unwrap_or(1) as usize),
        };
        self.query.check(expected, self.within).await
    }
}

impl Query {
    /// Checks until it is certain whether the expectation is met, or until the end of the time. Without a time, the
    /// first check decides that has everything that an earlier run stored.
    async fn check(
        self,
        expected: Expected,
        within: Option<Duration>,
    ) -> Result<ExitCode, Failure> {
        self.filter
            .parse::<Filter>()
            .map_err(|errors| Failure::Usage(format!("the filter is wrong: {errors}")))?;
        let client = Client::new(&self.target)?;
        // As written, because errors quote it.
        let params = Params::default().with("q", &self.filter);
        let page = client.url(&format!("/{}", self.signal.name()), &params);
        let limit = expected.limit().max(SHOWN);
        let params = params
            .with("signal", self.signal.name())
            .with("limit", limit);
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let request = client.request(Method::GET, "/api/matches", &params);
            let found = client.json::<Matches>(request.timeout(CHECK)).await;
            let loading = found.as_ref().ok().and_then(|found| found.loading);
            let end = match loading {
                Some(_) => began + within.unwrap_or(LOAD),
                None => began + within.unwrap_or_default(),
            };
            let is_last = asked >= end;
            let verdict = match &found {
                // The rest may match, or evict what matches now.
                Ok(_) if loading.is_some() => Verdict::NotMet,
                Ok(found) => expected.verdict(found.count, is_last),
                Err(Failure::Usage(_)) => Verdict::Never,
                // The lens may still be starting.
                Err(Failure::Other(_)) => Verdict::NotMet,
            };
            if verdict == Verdict::NotMet && !is_last {
                // A search of a large store must not take all of its time.
                let pause = PACE.max(2 * asked.elapsed());
                sleep_until(end.min(Instant::now() + pause)).await;
                continue;
            }
            let found = found?;
            self.signal.print(&found);
            let count = match found.more {
                true => format!("more than {}", found.count),
                false => found.count.to_string(),
            };
            let what = self.signal.noun(found.count);
            let verb = if found.count == 1 { "matches" } else { "match" };
            let text = format!("{count} {what} {verb}, and {expected} expected: {page}");
            if verdict == Verdict::Met {
                chassis::print_error(&text);
                return Ok(ExitCode::SUCCESS);
            }
            let loading = loading.map(still_loading).unwrap_or_default();
            chassis::print_error(&format!("failed: {loading}{text}"));
            return Ok(ExitCode::FAILURE);
        }
    }
}

impl Expected {
    /// Number of matches to ask for.
    fn limit(self) -> usize {
        match self {
            Self::AtLeast(count) => count,
            Self::Exactly(count) => count + 1,
        }
    }

    fn verdict(self, count: usize, is_last: bool) -> Verdict {
        match self {
            Self::AtLeast(least) if count >= least => Verdict::Met,
            Self::Exactly(exactly) if count > exactly => Verdict::Never,
            Self::Exactly(exactly) if count == exactly && is_last => Verdict::Met,
            _ => Verdict::NotMet,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(1) => f.write_str("at least 1 is"),
            Self::AtLeast(count) => write!(f, "at least {count} are"),
            Self::Exactly(0) => f.write_str("none is"),
            Self::Exactly(1) => f.write_str("exactly 1 is"),
            Self::Exactly(count) => write!(f, "exactly {count} are"),
        }
    }
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    const fn noun(self, count: usize) -> &'static str {
        match (self, count) {
            (Self::Traces, 1) => "trace",
            (Self::Traces, _) => "traces",
            (Self::Logs, 1) => "log record",
            (Self::Logs, _) => "log records",
        }
    }

    /// Prints the matches, one a line.
    fn print(self, found: &Matches) {
        let mut text = String::new();
        for one in found.matches.iter().take(SHOWN) {
            text.push_str(&match self {
                Self::Traces => trace(one),
                Self::Logs => log(one),
            });
            text.push('\n');
        }
        // A reader that has seen enough may close the pipe.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

/// Why a check has failed whatever matches.
fn still_loading(loading: Loading) -> String {
    let Loading { done, total } = loading;
    format!("lens has loaded {done} of {total} records that an earlier run stored; so far, ")
}

fn trace(one: &Match) -> String {
    let nanos = one.duration_nano.as_deref().unwrap_or_default();
    let errors = match one.errors.unwrap_or_default() {
        0 => String::new(),
        1 => ", 1 error".to_owned(),
        errors => format!(", {errors} errors"),
    };
    format!(
        "{} {}: {}, {}, spans: {}{errors}",
        one.trace_id,
        line(&one.service),
        line(&one.text),
        duration(nanos.parse().unwrap_or_default()),
        one.spans.unwrap_or_default(),
    )
}

fn log(one: &Match) -> String {
    let id = match one.trace_id.as_str() {
        "" => "-",
        id => id,
    };
    format!(
        "{id} {} {} {}: {}",
        clock(one.time_unix_nano.parse().unwrap_or_default()),
        one.level.as_deref().unwrap_or("-"),
        line(&one.service),
        line(&one.text),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upper_limit_is_only_certain_at_the_end() {
        use Verdict::{Met, Never, NotMet};
        for (expected, count, early, late) in [
            (Expected::AtLeast(2), 1, NotMet, NotMet),
            (Expected::AtLeast(2), 2, Met, Met),
            (Expected::AtLeast(2), 3, Met, Met),
            (Expected::Exactly(2), 1, NotMet, NotMet),
            (Expected::Exactly(2), 2, NotMet, Met),
            (Expected::Exactly(2), 3, Never, Never),
            (Expected::Exactly(0), 0, NotMet, Met),
            (Expected::Exactly(0), 1, Never, Never),
        ] {
            assert_eq!(
                expected.verdict(count, false),
                early,
                "{expected:?} {count}"
            );
            assert_eq!(expected.verdict(count, true), late, "{expected:?} {count}");
        }
    }

    #[test]
    fn a_match_cannot_control_the_terminal() {
        let one = Match {
            trace_id: "0af7".to_owned(),
            service: "a\u{1b}[2J".to_owned(),
            text: "b\nc".to_owned(),
            ..Match::default()
        };
        assert_eq!(trace(&one), "0af7 a⟨U+001B⟩[2J: b c, 0 ns, spans: 0");
    }
}
