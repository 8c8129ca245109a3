//! The query of a URL.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

/// The query of a URL: the state of a page.
///
/// Unknown parameters are kept, so that links to other states of the page keep them too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// Whether the query was not valid UTF-8. The parameters have replacement characters then.
    is_malformed: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::new(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    pub(crate) fn new(query: &str) -> Self {
        Self {
            pairs: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            is_malformed: percent_decode_str(query).decode_utf8().is_err(),
        }
    }

    pub(crate) fn is_malformed(&self) -> bool {
        self.is_malformed
    }

    /// The first value of a parameter. An empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(move |(key, _)| key == name);
        named
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All parameters, for the hidden fields of a form.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a parameter, if it can be parsed.
    pub(crate) fn parse<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// These parameters with another value of one.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers, ids and texts"
    )]
    pub(crate) fn with(&self, name: &str, value: impl ToString) -> Self {
        let mut params = self.without(name);
        params.pairs.push((name.to_owned(), value.to_string()));
        params
    }

    /// These parameters without one.
    #[must_use]
    pub(crate) fn without(&self, name: &str) -> Self {
        let others = self.pairs.iter().filter(|(key, _)| key != name);
        Self {
            pairs: others.cloned().collect(),
            ..*self
        }
    }

    /// The URL of a path with these parameters.
    pub(crate) fn href(&self, path: &str) -> String {
        if self.pairs.is_empty() {
            return path.to_owned();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.pairs);
        format!("{path}?{}", query.finish())
    }
}
