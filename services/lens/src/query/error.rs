//! What is wrong with a filter.

use std::fmt;

use super::{MAX_CHARACTERS, MAX_TERMS};

/// All errors of a filter, in the order of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Errors(pub Vec<Error>);

/// An error in a filter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("character {position}: {problem}")]
pub struct Error {
    /// Number of the character where the error begins. The first is 1.
    pub position: usize,
    /// The problem.
    pub problem: Problem,
}

/// A problem, with what would be right.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The filter is too long.
    #[error("the filter has {0} characters, but the limit is {MAX_CHARACTERS}")]
    TooLong(usize),
    /// The filter has too many terms.
    #[error("the filter has {0} terms, but the limit is {MAX_TERMS}")]
    TooManyTerms(usize),
    /// The key resembles a key.
    #[error("unknown key `{key}`: do you mean `{meant}`?")]
    Misspelled {
        /// The key as written.
        key: String,
        /// The key that it resembles.
        meant: &'static str,
    },
    /// No key resembles the key.
    #[error(
        "unknown key `{0}`: put the key of an attribute or a text with `:`, `=`, `<`, `>` or `~` in quotes"
    )]
    UnknownKey(String),
    /// A term without a key begins with an operator.
    #[error("`{0}` needs a key before it, such as service:auth")]
    NoKey(String),
    /// There is no such operator.
    #[error(
        "unknown operator `{0}`: the operators are `:`, `=`, `!=`, `>`, `>=`, `<`, `<=` and `~`; put a value that begins with one in quotes"
    )]
    UnknownOperator(String),
    /// The key does not have the operator.
    #[error("`{key}` has no operator `{operator}`: use {allowed}")]
    Operator {
        /// The key as written.
        key: String,
        /// The operator as written.
        operator: String,
        /// The operators of the key.
        allowed: &'static str,
    },
    /// No value follows the operator.
    #[error("`{0}` needs a value directly after it")]
    NoValue(String),
    /// The empty text is part of every text.
    #[error("a search for an empty text matches everything: write the text between the quotes")]
    EmptyText,
    /// The value is a number without a unit.
    #[error("`{0}` needs a unit such as 200ms")]
    NoUnit(&'static str),
    /// The value is no duration.
    #[error(
        "`{0}` needs a whole number of nanoseconds below 584 years with ns, us, ms, s, m or h, such as 200ms"
    )]
    Duration(&'static str),
    /// The value is no id of a trace.
    #[error("`trace` needs the id of a trace: 32 hexadecimal digits, not all zero")]
    Trace,
    /// The value is not one of the key's.
    #[error("`{key}` has no value `{value}`: use {allowed}")]
    Value {
        /// The key as written.
        key: String,
        /// The value as written.
        value: String,
        /// The values of the key.
        allowed: String,
    },
    /// The value is no number.
    #[error("`{0}` needs a number such as 500")]
    Number(&'static str),
    /// A word such as `OR` is between terms.
    #[error(
        "there is no `{0}`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text"
    )]
    Or(String),
    /// A word such as `AND` is between terms.
    #[error(
        "`{0}` is not needed, because all terms have to match: leave it out; in quotes it is text"
    )]
    And(String),
    /// A word such as `NOT` is before a term.
    #[error(
        "there is no `{0}`: write `-` directly before a term, such as -service:auth; in quotes it is text"
    )]
    Not(String),
    /// Terms are joined by another character than a space: the character, and what is before and after it.
    #[error("`{0}` does not separate terms: put a space between {1} and {2}; in quotes it is text")]
    Joined(String, String, String),
    /// A term or a value begins with a parenthesis.
    #[error(
        "there are no parentheses, because all terms have to match: write them one after the other; in quotes they are text"
    )]
    Parenthesis,
    /// A value has a wildcard. The text says what would be right.
    #[error("`{0}` is no wildcard: {1}; in quotes it is text")]
    Wildcard(char, String),
    /// A text or value begins with the quote of another kind.
    #[error("`{0}` is no quote of a filter: use `\"` at both ends; in quotes it is text")]
    CurlyQuote(char),
    /// The colon after a key is another character.
    #[error("`：` is no operator: write `:` after a key; in quotes it is text")]
    WideColon,
    /// Nothing follows `-`.
    #[error("`-` needs a term directly after it, such as -service:auth")]
    NoTerm,
    /// The filter ends inside quotes.
    #[error("the quote has no end: close it with `\"`, and write `\\\"` for a quote inside")]
    OpenQuote,
    /// There is no such escape.
    #[error("unknown escape `\\{0}`: write `\\\\` for a backslash and `\\\"` for a quote")]
    UnknownEscape(char),
    /// Text follows directly after a quote, or a quote after text.
    #[error(
        "a quote has to be the whole value: put a space between terms, and write `\\\"` for a quote inside quotes"
    )]
    PartlyQuoted,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
