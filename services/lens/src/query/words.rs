//! What filters of other programs have: words between terms, and wildcards.

use super::{Condition, Operator, Problem};

/// What is right in place of a word between terms. Each is text if it is in quotes.
pub(super) fn between(word: &str) -> Option<Problem> {
    let problem = match &*word.to_ascii_uppercase() {
        "OR" | "||" => Problem::Or,
        "AND" | "&&" => Problem::And,
        "NOT" => Problem::Not,
        _ => return None,
    };
    Some(problem(word.to_owned()))
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
