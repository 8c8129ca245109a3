//! Plain-text passwords, which are kept only until they are hashed.

use std::fmt;

use zeroize::Zeroizing;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 128;
const MAX_BYTES: usize = 512;

/// A password of an acceptable length. Length is the only rule (NIST SP 800-63B, section
/// 3.1.1.2, advises against rules of composition). Wiped from memory when it is dropped.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// Parses the password of a new account.
    ///
    /// # Errors
    /// With a message for the user.
    pub(crate) fn parse(text: String) -> Result<Self, String> {
        let text = Zeroizing::new(text);
        if text.len() > MAX_BYTES || text.chars().count() > MAX_CHARS {
            return Err(format!("enter at most {MAX_CHARS} characters"));
        }
        if text.chars().count() < MIN_CHARS {
            return Err(format!("enter at least {MIN_CHARS} characters"));
        }
        Ok(Self(text))
    }

    /// Parses the password of a sign-in. A password that no account can have is wrong and not
    /// malformed. Only an empty or a very long one is refused, so that it is not hashed.
    ///
    /// # Errors
    /// With a message for the user.
    pub(crate) fn parse_attempt(text: String) -> Result<Self, String> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err("enter a password".to_owned());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("enter at most {MAX_CHARS} characters"));
        }
        Ok(Self(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Hides the password.
impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_password() {
        let password = Password::parse("MARKER in here".to_owned()).unwrap();
        assert_eq!(format!("{password:?}"), "Password(..)");
    }

    #[test]
    fn the_length_is_counted_in_characters() {
        assert!(Password::parse("pässwörd".to_owned()).is_ok());
        assert!(Password::parse("ä".repeat(7)).is_err());
        assert!(Password::parse("ä".repeat(128)).is_ok());
        assert!(Password::parse("ä".repeat(129)).is_err());
        assert!(Password::parse("𓀀".repeat(128)).is_ok());
    }

    #[test]
    fn an_attempt_may_be_short_but_not_empty_or_huge() {
        assert!(Password::parse_attempt("x".to_owned()).is_ok());
        assert!(Password::parse_attempt(String::new()).is_err());
        assert!(Password::parse_attempt("x".repeat(1 << 20)).is_err());
    }
}
