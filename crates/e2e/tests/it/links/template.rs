//! Grafana's variables in the text of a link.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Replaces `$name`, `${name}`, `${name.field}` and `${name.field["key"]}` by values. A variable without a value is an
/// error: Grafana would show no link, or use the name of the variable in the query.
pub(super) fn fill(template: &str, values: &Value) -> anyhow::Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let (path, after) = if let Some(braced) = after.strip_prefix('{') {
            braced.split_once('}').context("no end of a variable")?
        } else {
            let is_end = |character: char| !character.is_ascii_alphanumeric() && character != '_';
            after.split_at(after.find(is_end).unwrap_or(after.len()))
        };
        let value = keys(path).try_fold(values, |value, key| value.get(key));
        match value {
            Some(Value::String(text)) => filled.push_str(text),
            Some(Value::Number(number)) => filled.push_str(&number.to_string()),
            _ => bail!("no value for {path} in {template}"),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The keys of a path such as `a.b["c.d"]`.
fn keys(path: &str) -> impl Iterator<Item = &str> {
    let mut parts = path.split('"').enumerate();
    let mut plain: Option<std::str::Split<'_, [char; 3]>> = None;
    std::iter::from_fn(move || {
        loop {
            if let Some(key) = plain
                .as_mut()
                .and_then(|keys| keys.find(|key| !key.is_empty()))
            {
                return Some(key);
            }
            let (index, part) = parts.next()?;
            if index % 2 == 1 {
                return Some(part);
            }
            plain = Some(part.split(['.', '[', ']']));
        }
    })
}
