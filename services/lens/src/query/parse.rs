//! From text to a filter.

use winnow::{
    ModalResult, Parser as _,
    combinator::{alt, opt},
    error::ErrMode,
    stream::{Location as _, Stream as _},
};

use super::{
    Condition, Error, Errors, Filter, MAX_CHARACTERS, MAX_TERMS, Named, Operator, Problem, Term,
    duration,
    keys::{ALL, KEYS, TEXT, describe, operators},
    tokens::{Failure, Input, Value, end, is_key, is_value, quote, sign, skip, take_spaces, word},
    words,
};

/// Whether a text is a term of its own, or a key, without quotes.
pub(super) fn is_bare(text: &str) -> bool {
    let is_key = is_bare_value(text) && text.chars().all(is_key);
    is_key && !text.starts_with('-') && words::between(text).is_none()
}

/// Whether a text is a value without quotes.
pub(super) fn is_bare_value(text: &str) -> bool {
    let is_value = text
        .chars()
        .all(|char| is_value(char) && !matches!(char, '*' | '?'));
    text.starts_with(is_key)
        && is_value
        && words::several(Some("service"), text).is_none()
        && words::lookalike(text).is_none()
}

/// Whether a key without quotes is one of an attribute.
pub(super) fn is_attribute(key: &str) -> bool {
    key.contains('.') && !KEYS.contains(&key)
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
    let mut word = None;
    let mut after_key = false;
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
                // In lower case, it is a text unless it is next to a term with a key. `not` is about the next term.
                let is_text = matches!(term.condition, Condition::Text(_));
                failures.extend(word.take().filter(|_| !is_text));
                let problem = text[offset..]
                    .split_whitespace()
                    .next()
                    .and_then(words::between);
                let problem = problem.map(|problem| (offset, problem));
                match problem {
                    Some(problem) if after_key && !matches!(problem.1, Problem::Not(_)) => {
                        failures.push(problem);
                    }
                    problem => word = problem,
                }
                after_key = !is_text;
                terms.push(term);
                written.push(text[offset..input.current_token_start()].to_owned());
            }
            Err(error) => {
                (word, after_key) = (None, false);
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

fn term(input: &mut Input<'_>) -> ModalResult<Term, Failure> {
    let start = input.current_token_start();
    let negated = opt('-').parse_next(input)?.is_some();
    let quoted = input.starts_with('"');
    let head = alt((quote, word(is_key))).parse_next(input)?;
    if !quoted && head.text.starts_with('(') {
        return Err(Failure::cut(head.offset, Problem::Parenthesis));
    }
    let Some(sign) = sign(input)? else {
        end(input)?;
        if head.text.is_empty() {
            let problem = match quoted {
                true => Problem::EmptyText,
                false => Problem::NoTerm,
            };
            return Err(Failure::cut(start, problem));
        }
        let is_lower = || head.text.contains(|char: char| char.is_ascii_lowercase());
        if !quoted && let Some(problem) = words::between(&head.text).filter(|_| !is_lower()) {
            return Err(Failure::cut(head.offset, problem));
        }
        let condition = Condition::Text(head.text);
        literal(&condition, head.offset, quoted)?;
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
    let offset = value.offset;
    if !quoted && let Some(problem) = words::several(key, &value.text) {
        return Err(Failure::cut(offset, problem));
    }
    let condition = condition(key, head.text, sign.operator, value)?;
    literal(&condition, offset, quoted)?;
    Ok(plain(Term {
        negated: negated != sign.negated,
        condition,
    }))
}

/// Fails if the value of a condition is not in quotes and has a wildcard, or signs that look like those of a filter.
fn literal(condition: &Condition, offset: usize, quoted: bool) -> Result<(), ErrMode<Failure>> {
    if quoted {
        return Ok(());
    }
    let value = match condition {
        Condition::Service(_, value)
        | Condition::Name(_, value)
        | Condition::Attribute(_, _, value)
        | Condition::Text(value) => value,
        _ => "",
    };
    match words::lookalike(value).or_else(|| words::wildcard(condition)) {
        Some(problem) => Err(Failure::cut(offset, problem)),
        None => Ok(()),
    }
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
