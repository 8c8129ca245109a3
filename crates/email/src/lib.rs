//! Email addresses in the one form in which the services compare them.
//!
//! `user` stores this form, and `auth` counts attempts by it. If the forms differed, an attacker
//! could try passwords again with each spelling of an address.

use std::fmt;

use email_address::{EmailAddress, Options};
use icu_normalizer::ComposingNormalizerBorrowed;
use idna::{
    AsciiDenyList,
    uts46::{Hyphens, Uts46},
};

/// The longest address that a mail server accepts, in bytes (RFC 5321, section 4.5.3.1.3, without
/// the angle brackets).
const MAX_BYTES: usize = 254;

/// A valid email address.
#[derive(Clone, Eq, PartialEq)]
pub struct Email {
    normal: String,
    /// Trimmed and in lower case, but not normalised.
    plain: String,
}

impl Email {
    /// Parses an address as a person types it.
    ///
    /// # Errors
    /// When the address is not valid. The error is a message for that person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(too_long());
        }
        let is_plain = !text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '"');
        let plain = text.to_lowercase();
        let normal = normalised(&plain);
        if !is_plain || !(is_address(text) || is_address(&normal)) {
            return Err("enter an email address, such as ada@example.com".to_owned());
        }
        // Outside ASCII, lower case can be longer than upper case, and Unicode longer than Punycode.
        if plain.len().max(normal.len()) > MAX_BYTES {
            return Err(too_long());
        }
        Ok(Self { normal, plain })
    }

    /// The normal form: trimmed, in lower case, composed (NFC), with the domain in the Unicode form of
    /// IDNA (UTS 46).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.normal
    }

    /// The form that earlier versions stored: trimmed and in lower case.
    #[must_use]
    pub fn as_plain(&self) -> &str {
        &self.plain
    }
}

fn too_long() -> String {
    format!("enter an email address of at most {MAX_BYTES} bytes")
}

fn is_address(text: &str) -> bool {
    let options = Options::default()
        .without_display_text()
        .without_domain_literal()
        .with_required_tld();
    EmailAddress::parse_with_options(text, options).is_ok()
}

/// The normal form of an address in lower case. A domain that IDNA does not accept stays as it is.
fn normalised(plain: &str) -> String {
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    let Some((local, domain)) = plain.rsplit_once('@') else {
        return nfc.normalize(plain).into_owned();
    };
    let local = nfc.normalize(local);
    match Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow) {
        (domain, Ok(())) => format!("{local}@{domain}"),
        (_, Err(_)) => format!("{local}@{}", nfc.normalize(domain)),
    }
}

/// Shows no part of the address, so that it cannot get into a log by accident.
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
    fn an_error_says_what_to_enter() {
        for text in ["", " ", "ann", "ann@example"] {
            let error = Email::parse(text).unwrap_err();
            assert_eq!(error, "enter an email address, such as ada@example.com");
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
    fn spellings_that_look_the_same_are_equal() {
        for (text, expected) in [
            ("jo\u{308}rg@example.com", "j\u{f6}rg@example.com"),
            ("JO\u{308}RG@example.com", "j\u{f6}rg@example.com"),
            ("ann@exa\u{308}mple.de", "ann@ex\u{e4}mple.de"),
            ("ann@xn--exmple-cua.de", "ann@ex\u{e4}mple.de"),
            ("ann@XN--EXMPLE-CUA.DE", "ann@ex\u{e4}mple.de"),
            ("ann@\u{ff45}xample.com", "ann@example.com"),
            ("ann@exam\u{ad}ple.com", "ann@example.com"),
            // This is not valid Punycode.
            ("ann@xn--a.example", "ann@xn--a.example"),
        ] {
            assert_eq!(Email::parse(text).unwrap().as_str(), expected, "{text}");
            let again = Email::parse(expected).unwrap();
            assert_eq!(again.as_str(), expected, "{text}");
        }
    }

    #[test]
    fn the_form_of_earlier_versions_is_kept() {
        let email = Email::parse(" Ann@XN--exmple-cua.de").unwrap();
        assert_eq!(email.as_plain(), "ann@xn--exmple-cua.de");
    }

    #[test]
    fn texts_that_are_not_addresses_are_refused() {
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
    fn debug_output_hides_the_address() {
        assert_eq!(
            format!("{:?}", Email::parse("ann@example.com").unwrap()),
            "Email(..)"
        );
    }
}
