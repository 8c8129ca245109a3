//! The filter of traces, logs and series in a URL, such as `service:auth duration>200ms -status:ok "text"`.
//!
//! A record matches if all terms match. A term is a key, an operator and a value, or a text to search for. A `-` before
//! it negates it. A negated term, or `!=`, matches records without the attribute too.
//!
//! | key | of | operators | value |
//! |---|---|---|---|
//! | `service` | traces, logs, series | `:` `=` `!=` `~` | text |
//! | `name` | traces, logs, series | `:` `=` `!=` `~` | name of the span, the event or the metric |
//! | `kind` | traces | `:` `=` `!=` | `internal`, `server`, `client`, `producer` or `consumer` |
//! | `status` | traces | `:` `=` `!=` | `unset`, `ok` or `error` |
//! | `duration`, `trace.duration` | traces | `>` `>=` `<` `<=` | a number with `ns`, `us`, `µs`, `ms`, `s`, `m` or `h` |
//! | `trace` | traces, logs | `:` `=` `!=` | 32 hexadecimal digits |
//! | `level`, `severity` | logs | `:` `=` `!=` `>` `>=` `<` `<=` | `trace`, `debug`, `info`, `warn`, `error` or `fatal` |
//! | `text`, or no key | traces, logs | `:` `=` `!=` `~` | text that the record contains |
//! | key with a dot or in quotes | traces, logs, series | all | an attribute of the record or its resource: text; a number after `>` or `<` |
//!
//! A trace matches if one of its spans matches all terms. So `-status:error` finds traces with a span that did not fail,
//! and other spans of them may have failed. `trace` and `trace.duration` are about the trace: all of its spans have the
//! same.
//!
//! `:` and `=` stand for equality, `~` for "contains". Equality distinguishes upper and lower case; "contains" and the
//! search for text do not. Numbers are compared as numbers: `404.0` equals 404. Durations have no equality, because they are exact to the
//! nanosecond and hardly any would be equal to a value such as `1.2s`: a range is `duration>=1.15s duration<1.25s`.
//!
//! An array has an attribute's value if one of its elements has it. A log record without a severity has no level.
//!
//! There are no words between terms such as `OR`, no parentheses, no lists and no wildcards. As they would match nothing,
//! they are errors unless they are in quotes. In lower case, such words are text unless they are next to a term with a key.
//!
//! Text with spaces is in quotes, in which `\"` stands for a quote and `\\` for a backslash.

pub(crate) mod compare;
mod convert;
mod duration;
mod error;
mod keys;
mod parse;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

pub use self::{
    convert::{LogFilter, SeriesFilter, Signal, TraceFilter, Unsupported},
    error::{Error, Errors, Problem},
};
use crate::ids::TraceId;

/// Maximum length of a filter, in characters.
pub const MAX_CHARACTERS: usize = 2_000;

/// Maximum number of terms in a filter.
pub const MAX_TERMS: usize = 32;

/// A filter that was parsed. `Display` writes its canonical form, which parses to the same filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    terms: Vec<Term>,
    /// Each term as it was written, for messages.
    written: Vec<String>,
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
    /// The name of the span, the log record's event, or the metric.
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

impl PartialEq for Filter {
    /// Whether the terms are the same, however they were written.
    fn eq(&self, other: &Self) -> bool {
        self.terms == other.terms
    }
}

impl Eq for Filter {}

impl From<Vec<Term>> for Filter {
    fn from(terms: Vec<Term>) -> Self {
        let written = terms.iter().map(Term::to_string).collect();
        Self { terms, written }
    }
}

impl Filter {
    /// The terms, in the order of the text.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The filter with a term in addition. Another of the same key stays, so that both have to match.
    ///
    /// `None` if that is no filter: if it is above a limit, or the term is not valid, such as a search for no text.
    pub fn with(&self, term: Term) -> Option<Self> {
        let mut terms = self.terms.clone();
        if !terms.contains(&term) {
            terms.push(term);
        }
        Self::checked(terms)
    }

    /// The filter with a term in place of all terms of the same key: in a link such as "only this service".
    ///
    /// `None` as for [`Self::with`].
    pub fn with_only(&self, term: Term) -> Option<Self> {
        let mut terms = self.terms.clone();
        let same = |other: &Term| other.condition.same_key(&term.condition);
        let place = terms.iter().position(same).unwrap_or(terms.len());
        terms.retain(|other| !same(other));
        terms.insert(place, term);
        Self::checked(terms)
    }

    /// The filter without a term.
    #[must_use]
    pub fn without(&self, term: &Term) -> Self {
        let mut terms = self.terms.clone();
        terms.retain(|other| other != term);
        terms.into()
    }

    /// The filter that a user could have written with these terms.
    fn checked(terms: Vec<Term>) -> Option<Self> {
        Self::from(terms).to_string().parse().ok()
    }
}

impl Term {
    /// A term that matches if the condition is met.
    pub fn is(condition: Condition) -> Self {
        Self {
            negated: false,
            condition,
        }
    }

    /// A term that matches if the condition is not met.
    pub fn not(condition: Condition) -> Self {
        Self {
            negated: true,
            condition,
        }
    }
}

impl Condition {
    /// The key, as in a message.
    fn key(&self) -> &'static str {
        match self {
            Self::Service(..) => "`service`",
            Self::Name(..) => "`name`",
            Self::Kind(_) => "`kind`",
            Self::Status(_) => "`status`",
            Self::Duration(..) => "`duration`",
            Self::TraceDuration(..) => "`trace.duration`",
            Self::Trace(_) => "`trace`",
            Self::Level(..) => "`level`",
            Self::Text(_) => "text",
            Self::Attribute(..) => "attributes",
        }
    }

    fn same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Attribute(key, ..), Self::Attribute(other, ..)) => key == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl FromStr for Filter {
    type Err = Errors;

    fn from_str(text: &str) -> Result<Self, Errors> {
        parse::filter(text)
    }
}

impl Kind {
    /// The number in OTLP.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Internal => SpanKind::Internal as u8,
            Self::Server => SpanKind::Server as u8,
            Self::Client => SpanKind::Client as u8,
            Self::Producer => SpanKind::Producer as u8,
            Self::Consumer => SpanKind::Consumer as u8,
        }
    }
}

impl Status {
    /// The number in OTLP.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Unset => StatusCode::Unset as u8,
            Self::Ok => StatusCode::Ok as u8,
            Self::Error => StatusCode::Error as u8,
        }
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
