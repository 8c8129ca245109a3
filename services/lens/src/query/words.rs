//! What filters of other programs have: words between terms, and wildcards.

use super::{Condition, Operator, Problem, keys::KEYS, tokens::is_sign};

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

/// What is right in place of a condition with a `*` that is not in quotes.
pub(super) fn wildcard(condition: &Condition) -> Option<Problem> {
    let (Condition::Service(_, value)
    | Condition::Name(_, value)
    | Condition::Attribute(_, _, value)
    | Condition::Text(value)) = condition
    else {
        return None;
    };
    if !value.contains('*') {
        return None;
    }
    let parts = value.split('*').filter(|part| !part.is_empty());
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
    Some(Problem::Wildcard(match right.is_empty() {
        true => "leave the term out".to_owned(),
        false => format!("write {}", right.join(" ")),
    }))
}
