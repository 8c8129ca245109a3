//! What filters of other programs have: words between terms, and wildcards.

use super::{Condition, Operator, Problem, keys::KEYS, parse::is_attribute, tokens::is_sign};

/// What is right in place of a word between terms. Each is text if it is in quotes.
pub(super) fn between(word: &str) -> Option<Problem> {
    let problem = match &*word.to_ascii_uppercase() {
        "OR" | "||" | "|" => Problem::Or,
        "AND" | "&&" | "&" => Problem::And,
        "NOT" => Problem::Not,
        _ => return None,
    };
    Some(problem(word.to_owned()))
}

/// What is right in place of a value that is not in quotes and looks like several terms or values.
pub(super) fn several(key: Option<&str>, value: &str) -> Option<Problem> {
    if value.starts_with('(') {
        return Some(Problem::Parenthesis);
    }
    let separators = value.match_indices([',', ';', '|', '&']);
    for (place, separator) in separators {
        let rest = &value[place + 1..];
        let begins_with = |key: &&str| {
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            rest.strip_prefix(*key)
                .is_some_and(|rest| rest.starts_with(is_sign))
        };
        if KEYS.iter().any(begins_with) {
            let (first, rest) = (value[..place].to_owned(), rest.to_owned());
            return Some(Problem::Joined(separator.to_owned(), first, rest));
        }
        if key == Some("service") && matches!(separator, "," | "|") {
            return Some(Problem::Or(separator.to_owned()));
        }
    }
    None
}

/// Quotes of texts, which are none of a filter.
const CURLY: [char; 5] = ['“', '”', '„', '«', '»'];

/// The colon of East Asian text, which looks like an operator.
const WIDE: char = '：';

/// What is right in place of a text or value that is not in quotes and has signs that look like those of a filter.
pub(super) fn lookalike(text: &str) -> Option<Problem> {
    if let Some(quote) = text.chars().next().filter(|char| CURLY.contains(char)) {
        return Some(Problem::CurlyQuote(quote));
    }
    let (key, _) = text.split_once(WIDE)?;
    let key = key.strip_prefix('-').unwrap_or(key);
    let is_key = KEYS.contains(&key) || (key.is_ascii() && is_attribute(key));
    is_key.then_some(Problem::WideColon)
}

/// What is right in place of a condition with a wildcard that is not in quotes. A text may have a question mark.
pub(super) fn wildcard(condition: &Condition) -> Option<Problem> {
    let (Condition::Service(_, value)
    | Condition::Name(_, value)
    | Condition::Attribute(_, _, value)
    | Condition::Text(value)) = condition
    else {
        return None;
    };
    let wildcards = match condition {
        Condition::Text(_) => &['*'][..],
        _ => &['*', '?'],
    };
    let wildcard = value.chars().find(|char| wildcards.contains(char))?;
    let parts = value.split(wildcards).filter(|part| !part.is_empty());
    let contains = parts.map(|part| {
        let part = part.to_owned();
        let condition = match condition {
            Condition::Service(..) => Condition::Service(Operator::Contains, part),
            Condition::Name(..) => Condition::Name(Operator::Contains, part),
            Condition::Attribute(key, ..) => {
                Condition::Attribute(key.clone(), Operator::Contains, part)
            }
            _ => Condition::Text(part),
        };
        condition.to_string()
    });
    let right: Vec<_> = contains.collect();
    let right = match right.is_empty() {
        true => "leave the term out".to_owned(),
        false => format!("write {}", right.join(" ")),
    };
    Some(Problem::Wildcard(wildcard, right))
}
