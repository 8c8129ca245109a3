//! The filter of traces, logs and series in a URL, such as `service:auth duration>200ms -status:ok "text"`.
//!
//! A record matches if all terms match. A term is a key, an operator and a value, or a text to search for. A `-` before
//! it negates it. A negated term, or `!=`, matches records without the attribute too.
//!
//! | key | operators | value |
//! |---|---|---|
//! | `service`, `name` | `:` `=` `!=` `~` | text |
//! | `kind` | `:` `=` `!=` | `internal`, `server`, `client`, `producer` or `consumer` |
//! | `status` | `:` `=` `!=` | `unset`, `ok` or `error` |
//! | `duration`, `trace.duration` | `:` `=` `!=` `>` `>=` `<` `<=` | a number with `ns`, `us`, `µs`, `ms`, `s`, `m` or `h` |
//! | `trace` | `:` `=` `!=` | 32 hexadecimal digits |
//! | `level`, `severity` | `:` `=` `!=` `>` `>=` `<` `<=` | `trace`, `debug`, `info`, `warn`, `error` or `fatal` |
//! | `text`, or no key | `:` `=` `!=` `~` | text that the record contains |
//! | key with a dot or in quotes | all | text of an attribute of the record or its resource; a number after `>` or `<` |
//!
//! `:` and `=` stand for equality, `~` for "contains". Text with spaces is in quotes, in which `\"` stands for a quote
//! and `\\` for a backslash.

mod convert;
mod duration;
mod error;
mod parse;
#[cfg(test)]
mod tests;

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

pub use self::{
    convert::{Reason, Unsupported},
    error::{Error, Errors, Problem},
};
use crate::store::TraceId;

/// Maximum length of a filter, in characters.
pub const MAX_CHARACTERS: usize = 2_000;

/// Maximum number of terms in a filter.
pub const MAX_TERMS: usize = 32;

/// A filter that was parsed. `Display` writes its canonical form, which parses to the same filter.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    terms: Vec<Term>,
}

/// A condition or its negation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Term {
    /// Whether the term matches if the condition is not met.
    pub negated: bool,
    /// The condition.
    pub condition: Condition,
}

/// What a term asks of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// The service.
    Service(Operator, String),
    /// The name of the span or metric.
    Name(Operator, String),
    /// The kind of the span.
    Kind(Kind),
    /// The status of the span.
    Status(Status),
    /// The duration of the span, in nanoseconds.
    Duration(Operator, u64),
    /// The duration of the trace, in nanoseconds.
    TraceDuration(Operator, u64),
    /// The trace.
    Trace(TraceId),
    /// The level of the log record.
    Level(Operator, Level),
    /// A text that the record contains.
    Text(String),
    /// The attribute with this key.
    Attribute(String, Operator, String),
}

/// How a term compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operator {
    /// `:`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `~`
    Contains,
}

/// Kind of a span.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Work inside a service.
    Internal,
    /// The server of a request.
    Server,
    /// The client of a request.
    Client,
    /// The producer of a message.
    Producer,
    /// The consumer of a message.
    Consumer,
}

/// Status of a span.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Not set.
    Unset,
    /// Success.
    Ok,
    /// An error.
    Error,
}

/// Level of a log record: four severity numbers each.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// 1 to 4.
    Trace,
    /// 5 to 8.
    Debug,
    /// 9 to 12.
    Info,
    /// 13 to 16.
    Warn,
    /// 17 to 20.
    Error,
    /// 21 to 24.
    Fatal,
}

impl Filter {
    /// The terms, in the order of the text.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }
}

impl FromStr for Filter {
    type Err = Errors;

    fn from_str(text: &str) -> Result<Self, Errors> {
        parse::filter(text)
    }
}

impl Operator {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => ":",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Contains => "~",
        }
    }
}

/// A value with a fixed set of names.
trait Named: Copy + Eq + 'static {
    const ALL: &[(Self, &str)];

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(value, _)| *value == self);
        found.map_or("", |(_, name)| name)
    }
}

impl Named for Kind {
    const ALL: &[(Self, &str)] = &[
        (Self::Internal, "internal"),
        (Self::Server, "server"),
        (Self::Client, "client"),
        (Self::Producer, "producer"),
        (Self::Consumer, "consumer"),
    ];
}

impl Named for Status {
    const ALL: &[(Self, &str)] = &[
        (Self::Unset, "unset"),
        (Self::Ok, "ok"),
        (Self::Error, "error"),
    ];
}

impl Named for Level {
    const ALL: &[(Self, &str)] = &[
        (Self::Trace, "trace"),
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Warn, "warn"),
        (Self::Error, "error"),
        (Self::Fatal, "fatal"),
    ];
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, term) in self.terms.iter().enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_char('-')?;
        }
        self.condition.fmt(f)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(operator, value) => write_text(f, "service", *operator, value),
            Self::Name(operator, value) => write_text(f, "name", *operator, value),
            Self::Kind(kind) => write!(f, "kind:{}", kind.name()),
            Self::Status(status) => write!(f, "status:{}", status.name()),
            Self::Duration(operator, nanos) => {
                write!(f, "duration{}", operator.as_str())?;
                duration::write(f, *nanos)
            }
            Self::TraceDuration(operator, nanos) => {
                write!(f, "trace.duration{}", operator.as_str())?;
                duration::write(f, *nanos)
            }
            Self::Trace(id) => write!(f, "trace:{id}"),
            Self::Level(operator, level) => {
                write!(f, "level{}{}", operator.as_str(), level.name())
            }
            Self::Text(text) => write_quoted(f, text, !parse::is_bare(text)),
            Self::Attribute(key, operator, value) => {
                write_quoted(f, key, !parse::is_bare(key) || !parse::is_attribute(key))?;
                write_text(f, "", *operator, value)
            }
        }
    }
}

fn write_text(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    operator: Operator,
    value: &str,
) -> fmt::Result {
    write!(f, "{key}{}", operator.as_str())?;
    write_quoted(f, value, !parse::is_bare_value(value))
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str, quoted: bool) -> fmt::Result {
    if !quoted {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(char)?;
    }
    f.write_char('"')
}
