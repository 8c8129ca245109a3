//! Secrets that clients must show.

use std::{fmt, str::FromStr};

use axum::http::{HeaderMap, header};
use rand::distr::{Alphanumeric, SampleString as _};
use subtle::ConstantTimeEq as _;

/// A secret that clients must show.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(String);

impl Token {
    /// A random secret.
    pub(crate) fn random() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), 32))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the secret. The time that it takes does not depend on how much of it is right.
    pub(crate) fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    /// Whether the headers have the secret, as `authorization: Bearer SECRET`.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .filter_map(|value| value.to_str().ok()?.split_once(' '))
            .any(|(scheme, secret)| scheme.eq_ignore_ascii_case("bearer") && self.is(secret.trim()))
    }
}

/// Hides the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Otherwise it does not fit into a cookie and a header.
        let fits = text.len() <= 256
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        if fits && text.len() >= 16 {
            Ok(Self(text.to_owned()))
        } else {
            Err("a secret has 16 to 256 letters, digits and signs of -._~+/=")
        }
    }
}
