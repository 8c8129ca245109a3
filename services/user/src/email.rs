//! Email addresses, in the one form in which they are compared.

use std::fmt;

use email_address::{EmailAddress, Options};

/// The longest address that a mail server accepts, in bytes (RFC 5321, section 4.5.3.1.3, less
/// the angle brackets).
const MAX_BYTES: usize = 254;

/// A valid address, trimmed and in lower case.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Email(String);

impl Email {
    /// Parses what a person typed.
    ///
    /// # Errors
    /// With a text for that person.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("must not be longer than {MAX_BYTES} bytes"));
        }
        let options = Options::default()
            .without_display_text()
            .without_domain_literal()
            .with_required_tld();
        let plain = !text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '"');
        if !plain || EmailAddress::parse_with_options(text, options).is_err() {
            return Err("is not an email address".to_owned());
        }
        let normalised = text.to_lowercase();
        // Lower case can be longer than upper case outside ASCII.
        if normalised.len() > MAX_BYTES {
            return Err(format!("must not be longer than {MAX_BYTES} bytes"));
        }
        Ok(Self(normalised))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says nothing: an email must not get into a log by accident.
impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_and_outer_blanks_do_not_matter() {
        for text in ["ann@example.com", " Ann@Example.COM\n", "ANN@EXAMPLE.COM"] {
            assert_eq!(Email::parse(text).unwrap().as_str(), "ann@example.com");
        }
    }

    #[test]
    fn addresses_are_accepted() {
        for text in [
            "a@b.cd",
            "a.b+c@d-e.example",
            "o'hara@example.com",
            "jörg@exämple.de",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(300));
        for text in [
            "",
            " ",
            "ann",
            "ann@",
            "@example.com",
            "ann@example",
            "ann@@example.com",
            "ann@exa mple.com",
            "ann example@example.com",
            "ann@example.com\0",
            "Ann <ann@example.com>",
            "ann@[127.0.0.1]",
            "\"a b\"@example.com",
            "ann@.com",
            "ann@example.com, bob@example.com",
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_output_hides_it() {
        assert_eq!(
            format!("{:?}", Email::parse("ann@example.com").unwrap()),
            "Email(..)"
        );
    }
}
