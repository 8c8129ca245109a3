//! The words, quotes and operators of a filter.

use winnow::{
    LocatingSlice, ModalResult, Parser as _,
    combinator::{alt, eof, opt, peek, preceded, repeat},
    error::{ErrMode, ParserError},
    stream::{Location as _, Stream as _},
    token::{any, none_of, take_while},
};

use super::{Operator, Problem};

pub(super) type Input<'a> = LocatingSlice<&'a str>;

/// Why a parser failed: a problem at an offset in bytes, or another parser may fit.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Option<(usize, Problem)>);

/// An operator as written. `!=` is the negation of equality.
pub(super) struct Sign<'a> {
    pub(super) text: &'a str,
    pub(super) operator: Operator,
    pub(super) negated: bool,
}

/// A word or a quoted text, with its offset in bytes.
pub(super) struct Value {
    pub(super) offset: usize,
    pub(super) text: String,
}

impl ParserError<Input<'_>> for Failure {
    type Inner = Self;

    fn from_input(_input: &Input<'_>) -> Self {
        Self(None)
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl Failure {
    pub(super) fn cut(offset: usize, problem: Problem) -> ErrMode<Self> {
        ErrMode::Cut(Self(Some((offset, problem))))
    }
}

pub(super) fn is_value(char: char) -> bool {
    !char.is_whitespace() && char != '"'
}

pub(super) fn is_sign(char: char) -> bool {
    matches!(char, ':' | '=' | '!' | '<' | '>' | '~')
}

pub(super) fn is_key(char: char) -> bool {
    is_value(char) && !is_sign(char)
}

pub(super) fn take_spaces(input: &mut Input<'_>) {
    let end = input
        .find(|char: char| !char.is_whitespace())
        .unwrap_or(input.len());
    input.next_slice(end);
}

/// Skips a term with an error: up to a space that is not in quotes.
pub(super) fn skip(input: &mut Input<'_>) {
    let inside = repeat(
        0..,
        alt((none_of(['"', '\\']).void(), preceded('\\', opt(any)).void())),
    )
    .map(|()| ());
    let mut term = repeat(
        0..,
        alt((
            take_while(1.., is_value).void(),
            ('"', inside, opt('"')).void(),
        )),
    )
    .map(|()| ());
    let skipped: ModalResult<(), Failure> = term.parse_next(input);
    debug_assert!(skipped.is_ok(), "any text can be skipped");
}

/// An operator, if the input begins with one.
pub(super) fn sign<'a>(input: &mut Input<'a>) -> ModalResult<Option<Sign<'a>>, Failure> {
    let offset = input.current_token_start();
    let text = take_while(0.., is_sign).parse_next(input)?;
    let (operator, negated) = match text {
        "" => return Ok(None),
        ":" | "=" => (Operator::Equal, false),
        "!=" => (Operator::Equal, true),
        ">" => (Operator::Greater, false),
        ">=" => (Operator::GreaterOrEqual, false),
        "<" => (Operator::Less, false),
        "<=" => (Operator::LessOrEqual, false),
        "~" => (Operator::Contains, false),
        "!" => return Err(Failure::cut(offset, Problem::Not(text.to_owned()))),
        _ => {
            let problem = Problem::UnknownOperator(text.to_owned());
            return Err(Failure::cut(offset, problem));
        }
    };
    Ok(Some(Sign {
        text,
        operator,
        negated,
    }))
}

/// Characters of a kind. There may be none.
pub(super) fn word<'a>(
    is_part: fn(char) -> bool,
) -> impl FnMut(&mut Input<'a>) -> ModalResult<Value, Failure> {
    move |input| {
        let offset = input.current_token_start();
        let text = take_while(0.., is_part).parse_next(input)?.to_owned();
        Ok(Value { offset, text })
    }
}

/// A text in quotes.
pub(super) fn quote(input: &mut Input<'_>) -> ModalResult<Value, Failure> {
    let offset = input.current_token_start();
    '"'.parse_next(input)?;
    let text = repeat(0.., alt((none_of(['"', '\\']), escape)))
        .fold(String::new, |mut text, char: char| {
            text.push(char);
            text
        })
        .parse_next(input)?;
    match opt('"').parse_next(input)? {
        Some(_) => Ok(Value { offset, text }),
        None => Err(Failure::cut(offset, Problem::OpenQuote)),
    }
}

fn escape(input: &mut Input<'_>) -> ModalResult<char, Failure> {
    let offset = input.current_token_start();
    match preceded('\\', opt(any)).parse_next(input)? {
        Some(char @ ('"' | '\\')) => Ok(char),
        Some(char) => Err(Failure::cut(offset, Problem::UnknownEscape(char))),
        // The quote has no end either.
        None => Ok('\\'),
    }
}

/// A space or the end.
pub(super) fn end(input: &mut Input<'_>) -> ModalResult<(), Failure> {
    let offset = input.current_token_start();
    let space = take_while(1.., char::is_whitespace).void();
    match opt(peek(alt((space, eof.void())))).parse_next(input)? {
        Some(()) => Ok(()),
        None => Err(Failure::cut(offset, Problem::PartlyQuoted)),
    }
}
