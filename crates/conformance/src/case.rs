use std::{fmt, pin::Pin, time::Duration};

use tokio::time::timeout;

use crate::Target;

/// Limit of the duration of a case.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How binding the expectation of a case is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// The specification says MUST, or defines the encoding.
    Required,
    /// The specification says SHOULD or RECOMMENDED.
    Recommended,
    /// The specification leaves it open.
    Choice,
}

/// The result of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The receiver answered as expected.
    Passed,
    /// The receiver answered otherwise, with the reason.
    Failed(String),
    /// The case does not apply to the receiver, with the reason.
    Skipped(String),
}

/// One expectation.
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) topic: &'static str,
    pub(crate) level: Level,
    pub(crate) what: &'static str,
    pub(crate) check: Check,
}

/// Returns an error if the answer is wrong, and a [`Skip`] if the case does not apply.
pub(crate) type Check = for<'a> fn(&'a Target) -> Checking<'a>;

type Checking<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

/// The case does not apply to the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skip(pub(crate) &'static str);

impl Case {
    /// Whether the filter is the id, the id without its last letter, or the topic.
    pub(crate) fn matches(&self, filter: &str) -> bool {
        let group = self
            .id
            .trim_end_matches(|char: char| char.is_ascii_lowercase());
        [self.id, group, self.topic]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(filter))
    }

    pub(crate) async fn run(&self, target: &Target) -> Outcome {
        match timeout(TIME_LIMIT, (self.check)(target)).await {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(error)) => match error.downcast_ref::<Skip>() {
                Some(skip) => Outcome::Skipped(skip.to_string()),
                None => Outcome::Failed(format!("{error:#}")),
            },
            Err(_) => Outcome::Failed(format!("no result within {} s", TIME_LIMIT.as_secs())),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Recommended => "recommended",
            Self::Choice => "our choice",
        })
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skip {}
