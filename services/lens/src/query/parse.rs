//! From text to a filter.

use winnow::{
    LocatingSlice, ModalResult, Parser as _,
    combinator::{alt, eof, opt, peek, preceded, repeat},
    error::{ErrMode, ParserError},
    stream::{Location as _, Stream as _},
    token::{any, none_of, take_while},
};

use super::{
    Condition, Error, Errors, Filter, MAX_CHARACTERS, MAX_TERMS, Named, Operator, Problem, Term,
    duration,
};

type Input<'a> = LocatingSlice<&'a str>;

const KEYS: [&str; 10] = [
    "service",
    "name",
    "kind",
    "status",
    "duration",
    "trace.duration",
    "trace",
    "level",
    "severity",
    "text",
];

/// Why a parser failed: a problem at an offset in bytes, or another parser may fit.
#[derive(Debug)]
struct Failure(Option<(usize, Problem)>);

/// An operator as written. `!=` is the negation of equality.
struct Sign<'a> {
    text: &'a str,
    operator: Operator,
    negated: bool,
}

/// A word or a quoted text, with its offset in bytes.
struct Value {
    offset: usize,
    text: String,
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
    fn cut(offset: usize, problem: Problem) -> ErrMode<Self> {
        ErrMode::Cut(Self(Some((offset, problem))))
    }
}

/// Whether a text is a term of its own, or a key, without quotes.
pub(super) fn is_bare(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_key)
}

/// Whether a text is a value without quotes.
pub(super) fn is_bare_value(text: &str) -> bool {
    text.starts_with(is_key) && text.chars().all(is_value)
}

/// Whether a key without quotes is one of an attribute.
pub(super) fn is_attribute(key: &str) -> bool {
    key.contains('.') && !KEYS.contains(&key)
}

fn is_value(char: char) -> bool {
    !char.is_whitespace() && char != '"'
}

fn is_sign(char: char) -> bool {
    matches!(char, ':' | '=' | '!' | '<' | '>' | '~')
}

fn is_key(char: char) -> bool {
    is_value(char) && !is_sign(char)
}

pub(super) fn filter(text: &str) -> Result<Filter, Errors> {
    let characters = text.chars().count();
    if characters > MAX_CHARACTERS {
        return Err(too_long(characters));
    }
    let mut input = Input::new(text);
    let mut terms = Vec::new();
    let mut written = Vec::new();
    let mut failures = Vec::new();
    let mut count = 0;
    loop {
        take_spaces(&mut input);
        if input.is_empty() {
            break;
        }
        count += 1;
        if count == MAX_TERMS + 1 {
            failures.push((input.current_token_start(), Problem::TooManyTerms(count)));
        }
        let (start, offset) = (input.checkpoint(), input.current_token_start());
        match term(&mut input) {
            Ok(term) => {
                terms.push(term);
                written.push(text[offset..input.current_token_start()].to_owned());
            }
            Err(error) => {
                let failure = error.into_inner().ok().and_then(|Failure(failure)| failure);
                failures.push(failure.unwrap_or((offset, Problem::PartlyQuoted)));
                input.reset(&start);
                skip(&mut input);
            }
        }
    }
    for (_, problem) in &mut failures {
        if let Problem::TooManyTerms(terms) = problem {
            *terms = count;
        }
    }
    if !failures.is_empty() {
        let error = |(offset, problem)| Error {
            position: text[..offset].chars().count() + 1,
            problem,
        };
        return Err(Errors(failures.into_iter().map(error).collect()));
    }
    let filter = Filter { terms, written };
    // A duration can be longer in canonical form: 0.1s becomes 100ms.
    match filter.to_string().chars().count() {
        characters if characters > MAX_CHARACTERS => Err(too_long(characters)),
        _ => Ok(filter),
    }
}

fn too_long(characters: usize) -> Errors {
    Errors(vec![Error {
        position: MAX_CHARACTERS + 1,
        problem: Problem::TooLong(characters),
    }])
}

fn take_spaces(input: &mut Input<'_>) {
    let end = input
        .find(|char: char| !char.is_whitespace())
        .unwrap_or(input.len());
    input.next_slice(end);
}

/// Skips a term with an error: up to a space that is not in quotes.
fn skip(input: &mut Input<'_>) {
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

fn term(input: &mut Input<'_>) -> ModalResult<Term, Failure> {
    let start = input.current_token_start();
    let negated = opt('-').parse_next(input)?.is_some();
    let quoted = input.starts_with('"');
    let head = alt((quote, word(is_key))).parse_next(input)?;
    let Some(sign) = sign(input)? else {
        end(input)?;
        if head.text.is_empty() {
            let problem = match quoted {
                true => Problem::EmptyText,
                false => Problem::NoTerm,
            };
            return Err(Failure::cut(start, problem));
        }
        let condition = Condition::Text(head.text);
        return Ok(Term { negated, condition });
    };
    if head.text.is_empty() && !quoted {
        let problem = Problem::NoKey(sign.text.to_owned());
        return Err(Failure::cut(head.offset, problem));
    }
    let key = (!quoted).then(|| known(&head)).transpose()?.flatten();
    let allowed = key.map_or(ALL, operators);
    let after = input.current_token_start();
    if !allowed.contains(&sign.operator) {
        let problem = Problem::Operator {
            key: head.text,
            operator: sign.text.to_owned(),
            allowed: describe(allowed),
        };
        return Err(Failure::cut(after - sign.text.len(), problem));
    }
    let quoted = input.starts_with('"');
    let value = alt((quote, word(is_value))).parse_next(input)?;
    end(input)?;
    if value.text.is_empty() {
        if !quoted {
            let problem = Problem::NoValue(format!("{}{}", head.text, sign.text));
            return Err(Failure::cut(after, problem));
        }
        if key == Some("text") || sign.operator == Operator::Contains {
            return Err(Failure::cut(after, Problem::EmptyText));
        }
    }
    let condition = condition(key, head.text, sign.operator, value)?;
    Ok(plain(Term {
        negated: negated != sign.negated,
        condition,
    }))
}

/// The name of a known key. `None` if it is the key of an attribute.
fn known(head: &Value) -> Result<Option<&'static str>, ErrMode<Failure>> {
    let key = head.text.as_str();
    if let Some(known) = KEYS.into_iter().find(|known| *known == key) {
        return Ok(Some(match known {
            "severity" => "level",
            known => known,
        }));
    }
    if is_attribute(key) {
        return Ok(None);
    }
    let lower = key.to_lowercase();
    let nearest = KEYS
        .into_iter()
        .map(|known| (strsim::osa_distance(&lower, known), known))
        .filter(|(distance, known)| *distance <= 2 && *distance * 2 < known.len())
        .min_by_key(|(distance, _)| *distance);
    let key = head.text.clone();
    let problem = match nearest {
        Some((_, meant)) => Problem::Misspelled { key, meant },
        None => Problem::UnknownKey(key),
    };
    Err(Failure::cut(head.offset, problem))
}

const ALL: &[Operator] = &[
    Operator::Equal,
    Operator::Contains,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::LessOrEqual,
];
const TEXT: &[Operator] = &[Operator::Equal, Operator::Contains];
const ORDER: &[Operator] = &[
    Operator::Equal,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::LessOrEqual,
];
/// Hardly a duration is equal to another.
const RANGE: &[Operator] = &[
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::LessOrEqual,
];
const EQUAL: &[Operator] = &[Operator::Equal];

fn operators(key: &str) -> &'static [Operator] {
    match key {
        "service" | "name" | "text" => TEXT,
        "duration" | "trace.duration" => RANGE,
        "level" => ORDER,
        _ => EQUAL,
    }
}

fn describe(operators: &[Operator]) -> &'static str {
    match operators {
        TEXT => "`:`, `=`, `!=` or `~`",
        ORDER => "`:`, `=`, `!=`, `>`, `>=`, `<` or `<=`",
        RANGE => "`>`, `>=`, `<` or `<=`",
        _ => "`:`, `=` or `!=`",
    }
}

fn condition(
    key: Option<&'static str>,
    head: String,
    operator: Operator,
    value: Value,
) -> Result<Condition, ErrMode<Failure>> {
    let Value { offset, text } = value;
    let fail = |problem| Err(Failure::cut(offset, problem));
    let Some(key) = key else {
        if !TEXT.contains(&operator) && !text.parse().is_ok_and(f64::is_finite) {
            return fail(Problem::Number(operator.as_str()));
        }
        return Ok(Condition::Attribute(head, operator, text));
    };
    Ok(match key {
        "service" => Condition::Service(operator, text),
        "name" => Condition::Name(operator, text),
        "kind" => Condition::Kind(named(head, offset, text)?),
        "status" => Condition::Status(named(head, offset, text)?),
        "level" => Condition::Level(operator, named(head, offset, text)?),
        "trace" => match text.parse() {
            Ok(id) => Condition::Trace(id),
            Err(_) => return fail(Problem::Trace),
        },
        "duration" | "trace.duration" => match duration::parse(&text) {
            Some(nanos) if key == "duration" => Condition::Duration(operator, nanos),
            Some(nanos) => Condition::TraceDuration(operator, nanos),
            None if text.parse().is_ok_and(f64::is_finite) => return fail(Problem::NoUnit(key)),
            None => return fail(Problem::Duration(key)),
        },
        _ => Condition::Text(text),
    })
}

/// A value of a key, which is as written.
fn named<T: Named>(key: String, offset: usize, value: String) -> Result<T, ErrMode<Failure>> {
    let found = T::ALL
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(&value));
    if let Some((found, _)) = found {
        return Ok(*found);
    }
    let names: Vec<_> = T::ALL.iter().map(|(_, name)| *name).collect();
    let allowed = match names.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    };
    let problem = Problem::Value {
        key,
        value,
        allowed,
    };
    Err(Failure::cut(offset, problem))
}

/// Each span and trace has a duration, so that a negated comparison of durations is the opposite comparison.
fn plain(mut term: Term) -> Term {
    if let Condition::Duration(operator, _) | Condition::TraceDuration(operator, _) =
        &mut term.condition
        && term.negated
    {
        let opposite = match operator {
            Operator::Greater => Operator::LessOrEqual,
            Operator::GreaterOrEqual => Operator::Less,
            Operator::Less => Operator::GreaterOrEqual,
            Operator::LessOrEqual => Operator::Greater,
            Operator::Equal | Operator::Contains => return term,
        };
        *operator = opposite;
        term.negated = false;
    }
    term
}

/// An operator, if the input begins with one.
fn sign<'a>(input: &mut Input<'a>) -> ModalResult<Option<Sign<'a>>, Failure> {
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
fn word<'a>(
    is_part: fn(char) -> bool,
) -> impl FnMut(&mut Input<'a>) -> ModalResult<Value, Failure> {
    move |input| {
        let offset = input.current_token_start();
        let text = take_while(0.., is_part).parse_next(input)?.to_owned();
        Ok(Value { offset, text })
    }
}

fn quote(input: &mut Input<'_>) -> ModalResult<Value, Failure> {
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
fn end(input: &mut Input<'_>) -> ModalResult<(), Failure> {
    let offset = input.current_token_start();
    let space = take_while(1.., char::is_whitespace).void();
    match opt(peek(alt((space, eof.void())))).parse_next(input)? {
        Some(()) => Ok(()),
        None => Err(Failure::cut(offset, Problem::PartlyQuoted)),
    }
}
