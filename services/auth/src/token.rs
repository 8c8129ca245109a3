//! Tokens: JSON Web Tokens (RFC 7519), signed with HMAC-SHA-256 (HS256, RFC 7518).
//!
//! The header names the key (`kid`), so that the secret can be rotated. The current key signs; the
//! current and the previous key verify.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use chassis::BadSetting;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{config::Secrets, error::Error, hs256};

/// How long a token is valid.
pub(crate) const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

const ISSUER: &str = "auth";
const AUDIENCE: &str = "otelix";

/// HS256 requires a key of at least the size of its hash (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// Size limit of a token. Tokens of this service have about 400 bytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// The claims of a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The id of the account.
    pub(crate) sub: Uuid,
    /// The id of the session.
    pub(crate) jti: Uuid,
    iat: u64,
    nbf: u64,
    /// Seconds since the Unix epoch.
    pub(crate) exp: u64,
}

/// The keys that sign and verify.
pub(crate) struct Keys {
    header: Header,
    signing: EncodingKey,
    /// Key ids and keys, the current key first.
    verifying: Vec<(String, DecodingKey)>,
    /// The previous key in the form that computes hashes.
    previous: Option<EncodingKey>,
    validation: Validation,
}

impl Keys {
    /// Reads the secrets from the settings or from the files that they name.
    ///
    /// # Errors
    /// When a secret is missing, cannot be read, or is too short.
    pub(crate) fn load(secrets: &Secrets) -> anyhow::Result<Self> {
        let current = secret(
            ("JWT_SECRET", secrets.jwt_secret.as_deref()),
            ("JWT_SECRET_FILE", secrets.jwt_secret_file.as_deref()),
        )?
        .ok_or_else(|| bad("JWT_SECRET", "is missing".to_owned()))?;
        let previous = secret(
            (
                "JWT_PREVIOUS_SECRET",
                secrets.jwt_previous_secret.as_deref(),
            ),
            (
                "JWT_PREVIOUS_SECRET_FILE",
                secrets.jwt_previous_secret_file.as_deref(),
            ),
        )?;
        Ok(Self::new(&current, previous.as_deref()))
    }

    fn new(current: &[u8], previous: Option<&[u8]>) -> Self {
        hs256::install();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key_id(current));

        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The check of `nbf` adds nothing, because only signed tokens have a row. With it, new
        // sessions would be refused if the clock was set back or is behind that of the signer.
        validation.validate_nbf = false;
        // Seconds by which the clocks of two instances may differ.
        validation.leeway = 5;

        Self {
            header,
            signing: EncodingKey::from_secret(current),
            verifying: std::iter::once(current)
                .chain(previous)
                .map(|secret| (key_id(secret), DecodingKey::from_secret(secret)))
                .collect(),
            previous: previous.map(EncodingKey::from_secret),
            validation,
        }
    }

    /// Signs a token for a new session of an account.
    pub(crate) fn sign(&self, user_id: Uuid) -> Result<(String, Claims), Error> {
        let now = seconds(SystemTime::now());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user_id,
            jti: Uuid::now_v7(),
            iat: now,
            nbf: now,
            exp: now + LIFETIME.as_secs(),
        };
        let token =
            jsonwebtoken::encode(&self.header, &claims, &self.signing).map_err(Error::Sign)?;
        Ok((token, claims))
    }

    /// A keyed hash (HMAC-SHA-256) of several lines of text. The signed part of a token has no line
    /// break, so no such hash is the signature of a token.
    pub(crate) fn hash(&self, lines: &[&str]) -> Result<String, Error> {
        hash(lines, &self.signing)
    }

    /// The hashes by the current key and, if it is set, by the previous key.
    pub(crate) fn hashes(&self, lines: &[&str]) -> Result<Vec<String>, Error> {
        std::iter::once(&self.signing)
            .chain(&self.previous)
            .map(|key| hash(lines, key))
            .collect()
    }

    /// Verifies the signature and the claims of a token, and returns the claims.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, Error> {
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return Err(Error::InvalidSession("not a token"));
        }
        let header =
            jsonwebtoken::decode_header(token).or(Err(Error::InvalidSession("not a token")))?;
        let key = self
            .verifying
            .iter()
            .find(|(id, _)| header.kid.as_deref() == Some(id))
            .map(|(_, key)| key)
            .ok_or(Error::InvalidSession("unknown key"))?;
        jsonwebtoken::decode(token, key, &self.validation)
            .map(|token| token.claims)
            .map_err(|error| {
                Error::InvalidSession(match error.kind() {
                    ErrorKind::ExpiredSignature => "expired",
                    ErrorKind::InvalidSignature => "wrong signature",
                    ErrorKind::InvalidAlgorithm => "wrong algorithm",
                    ErrorKind::InvalidIssuer => "wrong issuer",
                    ErrorKind::InvalidAudience => "wrong audience",
                    _ => "malformed",
                })
            })
    }
}

fn hash(lines: &[&str], key: &EncodingKey) -> Result<String, Error> {
    let text = lines.join("\n");
    jsonwebtoken::crypto::sign(text.as_bytes(), key, Algorithm::HS256).map_err(Error::Sign)
}

/// Reads a secret from one of two settings, each given by its name and its value.
fn secret(
    (value_name, value): (&'static str, Option<&str>),
    (file_name, file): (&'static str, Option<&Path>),
) -> anyhow::Result<Option<Vec<u8>>> {
    let (name, secret) = match (value, file) {
        (Some(value), _) => (value_name, value.as_bytes().to_vec()),
        (None, Some(file)) => {
            let bytes = std::fs::read(file)
                .map_err(|error| bad(file_name, format!("{}: {error}", file.display())))
                .context("cannot read a secret")?;
            (file_name, without_line_break(&bytes).to_vec())
        }
        (None, None) => return Ok(None),
    };
    if secret.len() < MIN_SECRET_BYTES {
        let reason = format!(
            "must have at least {MIN_SECRET_BYTES} bytes, and has {}",
            secret.len()
        );
        return Err(bad(name, reason).into());
    }
    Ok(Some(secret))
}

/// Removes the line break that editors add at the end of a file. Other white space may be part of
/// random bytes.
fn without_line_break(bytes: &[u8]) -> &[u8] {
    match bytes.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => bytes,
    }
}

fn bad(name: &'static str, reason: String) -> BadSetting {
    BadSetting { name, reason }
}

/// The id of a key, derived from the secret without revealing it. So all instances agree on it
/// without a setting.
fn key_id(secret: &[u8]) -> String {
    Sha256::digest(secret)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"an old secret of thirty-two bytes or more";
    const NEW: &[u8] = b"a new secret of thirty-two bytes or more.";

    fn reason(outcome: Result<Claims, Error>) -> &'static str {
        match outcome {
            Err(Error::InvalidSession(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_verified_token_has_the_claims_that_were_signed() {
        let keys = Keys::new(NEW, None);
        let user = Uuid::now_v7();
        let (token, claims) = keys.sign(user).unwrap();
        let read = keys.verify(&token).unwrap();
        assert_eq!(
            (read.sub, read.jti, read.exp),
            (user, claims.jti, claims.exp)
        );
        assert_eq!(read.exp - read.iat, LIFETIME.as_secs());
    }

    #[test]
    fn a_rotation_keeps_open_sessions() {
        let (token, _) = Keys::new(OLD, None).sign(Uuid::now_v7()).unwrap();
        assert!(Keys::new(NEW, Some(OLD)).verify(&token).is_ok());
        assert_eq!(reason(Keys::new(NEW, None).verify(&token)), "unknown key");
    }

    #[test]
    fn a_token_with_any_altered_bit_is_refused() {
        let keys = Keys::new(NEW, None);
        let (token, _) = keys.sign(Uuid::now_v7()).unwrap();
        for index in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[index] ^= 1 << bit;
                let altered = String::from_utf8(bytes).unwrap();
                // Also the unused bits in the last character of each base64 part: they must be
                // zero.
                if keys.verify(&altered).is_ok() {
                    panic!("bit {bit} of byte {index} can be altered");
                }
            }
        }
    }
}
