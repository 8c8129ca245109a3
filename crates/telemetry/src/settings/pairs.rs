//! Lists of pairs, in the form that the OpenTelemetry specification takes from W3C Baggage.

use std::{borrow::Cow, ffi::OsStr};

use opentelemetry::KeyValue;
use percent_encoding::percent_decode_str;

/// Parses `NAME=VALUE,NAME=VALUE`. Values are percent-encoded. Empty items are skipped.
///
/// A value may be a secret, so no error has it.
pub(super) fn pairs(
    text: &str,
) -> impl Iterator<Item = Result<(&str, Cow<'_, str>), &'static str>> {
    let items = text.split(',').filter(|item| !item.trim().is_empty());
    items.map(|item| {
        let (name, value) = item.split_once('=').ok_or("not of the form NAME=VALUE")?;
        Ok((name.trim(), decode(value)?))
    })
}

/// Parses the attributes of a resource, whose names are percent-encoded too.
pub(super) fn attributes(text: &OsStr) -> Result<Vec<KeyValue>, &'static str> {
    pairs(text.to_str().ok_or("not UTF-8")?)
        .map(|pair| match pair? {
            ("", _) => Err("an attribute has no name"),
            (name, value) => Ok(KeyValue::new(
                decode(name)?.into_owned(),
                value.into_owned(),
            )),
        })
        .collect()
}

fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    percent_decode_str(text.trim())
        .decode_utf8()
        .or(Err("not percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, &'static str> {
        let attributes = attributes(OsStr::new(text))?;
        let pairs = attributes.iter();
        Ok(pairs
            .map(|pair| (pair.key.to_string(), pair.value.to_string()))
            .collect())
    }

    #[test]
    fn attributes_are_decoded() {
        for (text, name, value) in [
            ("team=shop", "team", "shop"),
            (" team = web shop ,", "team", "web shop"),
            ("team=a%2Cb%3Dc%20d%C3%A9", "team", "a,b=c d\u{e9}"),
            ("a%3Db=c", "a=b", "c"),
            ("base64=SGk==", "base64", "SGk=="),
            ("empty=", "empty", ""),
            ("share=50%", "share", "50%"),
        ] {
            let expected = vec![(name.to_owned(), value.to_owned())];
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
        assert_eq!(parsed("a=1,b=2,a=3").unwrap().len(), 3);
        assert_eq!(parsed(" , "), Ok(Vec::new()));
    }

    #[test]
    fn one_malformed_attribute_spoils_all() {
        for text in ["=shop", " =", "team", "team=%ff", "%ff=shop"] {
            let text = format!("a=1,{text},b=2");
            assert!(parsed(&text).is_err(), "{text}");
        }
    }
}
