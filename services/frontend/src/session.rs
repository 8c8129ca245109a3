//! The cookie that holds the session's token.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, HeaderValue, header};

/// Size limit of a token in bytes: browsers do not store larger cookies.
const LIMIT: usize = 4096;

/// The token of a session as a browser sent it, not yet verified.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Hides the token, which is a secret and must not reach a log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Name and attributes of the cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionCookie {
    https: bool,
}

impl SessionCookie {
    /// The cookie of a site. `https` is whether browsers use TLS.
    pub(crate) fn new(https: bool) -> Self {
        Self { https }
    }

    /// The name. The prefix `__Host-` prevents other hosts of the domain from setting the cookie.
    fn name(self) -> &'static str {
        if self.https {
            "__Host-session"
        } else {
            "session"
        }
    }

    fn secure(self) -> &'static str {
        if self.https { "; Secure" } else { "" }
    }

    /// The token in the headers of a request.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<Token> {
        self.values(headers)
            .find(|token| !token.is_empty())
            .filter(|token| token.len() <= LIMIT && token.iter().all(u8::is_ascii_graphic))
            .and_then(|token| str::from_utf8(token).ok())
            .map(|token| Token(token.to_owned()))
    }

    /// Whether a request has the cookie, even with an unusable value.
    pub(crate) fn is_present(self, headers: &HeaderMap) -> bool {
        self.values(headers).next().is_some()
    }

    /// The values of the cookie. They are bytes, because the header also holds cookies of other
    /// programs on the same host, which need not be text.
    fn values(self, headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
            .filter_map(move |pair| {
                let rest = pair.trim_ascii().strip_prefix(self.name().as_bytes())?;
                rest.strip_prefix(b"=")
            })
    }

    /// The header that stores a token in the browser, until it expires or, without `expires_at`,
    /// until the browser is closed. `None` for a token that does not fit in a cookie.
    pub(crate) fn store(self, token: &str, expires_at: Option<SystemTime>) -> Option<HeaderValue> {
        let fits = !token.is_empty()
            && token.len() <= LIMIT
            && token
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'));
        if !fits {
            return None;
        }
        let max_age = expires_at.map_or_else(String::new, |at| {
            let left = at
                .duration_since(SystemTime::now())
                .unwrap_or(Duration::ZERO);
            format!("; Max-Age={}", left.as_secs())
        });
        self.header(token, &max_age)
    }

    /// The header that removes the cookie.
    pub(crate) fn clear(self) -> Option<HeaderValue> {
        self.header("", "; Max-Age=0")
    }

    fn header(self, value: &str, max_age: &str) -> Option<HeaderValue> {
        let cookie = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Lax{}{max_age}",
            self.name(),
            self.secure()
        );
        HeaderValue::try_from(cookie).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: SessionCookie = SessionCookie { https: false };
    const HTTPS: SessionCookie = SessionCookie { https: true };

    fn read(cookie: SessionCookie, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::COOKIE,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        cookie.read(&headers).map(|token| token.0)
    }

    #[test]
    fn the_token_is_found_among_others() {
        for values in [
            &["session=a.b.c"][..],
            &["x=1; session=a.b.c; y=2"],
            &["x=1;session=a.b.c"],
            &["x=1", "session=a.b.c"],
            &["session=; session=a.b.c"],
            &["\u{e9}=1", "session=a.b.c"],
            &["\u{e9}=1; session=a.b.c"],
            &["junk; =; session=a.b.c"],
        ] {
            assert_eq!(read(HTTP, values).as_deref(), Some("a.b.c"), "{values:?}");
        }
    }

    #[test]
    fn headers_without_a_token_are_none() {
        for values in [
            &[][..],
            &[""],
            &["session"],
            &["session="],
            &["xsession=a"],
            &["__Host-session=a"],
            &["x=session=a"],
        ] {
            assert_eq!(read(HTTP, values), None, "{values:?}");
        }
        assert_eq!(read(HTTPS, &["session=a"]), None);
        assert_eq!(
            read(HTTPS, &["__Host-session=a"]),
            Some("a".to_owned()),
            "the name follows the scheme"
        );
    }

    #[test]
    fn a_token_longer_than_a_cookie_is_none_but_present() {
        let value = format!("session={}", "x".repeat(LIMIT + 1));
        assert_eq!(read(HTTP, &[&value]), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, value.parse().unwrap());
        assert!(HTTP.is_present(&headers));
        assert!(!HTTPS.is_present(&headers));
    }

    #[test]
    fn the_cookie_is_hidden_from_scripts_and_other_sites() {
        let at = SystemTime::now() + Duration::from_secs(3600);
        let cookie = HTTP.store("a.b.c", Some(at)).unwrap();
        let cookie = cookie.to_str().unwrap();
        assert!(
            cookie.starts_with("session=a.b.c; Path=/; HttpOnly; SameSite=Lax; Max-Age=35"),
            "{cookie}"
        );
        let cookie = HTTPS.store("a.b.c", None).unwrap();
        assert_eq!(
            cookie,
            "__Host-session=a.b.c; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
    }

    #[test]
    fn an_expired_session_is_removed() {
        let cookie = HTTP.store("a", Some(SystemTime::UNIX_EPOCH)).unwrap();
        assert!(cookie.to_str().unwrap().ends_with("Max-Age=0"));
        let cleared = HTTPS.clear().unwrap();
        assert_eq!(
            cleared,
            "__Host-session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
        );
    }

    #[test]
    fn a_token_that_would_break_the_header_is_refused() {
        let long = "x".repeat(LIMIT + 1);
        for bad in ["", "a;b", "a b", "a\r\nb", "\u{e9}", long.as_str()] {
            assert_eq!(HTTP.store(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn debug_does_not_show_the_token() {
        assert_eq!(format!("{:?}", Token("secret".to_owned())), "Token(..)");
    }
}
