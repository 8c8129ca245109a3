//! Form data as browsers post it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use url::form_urlencoded;

use crate::{
    app::App,
    auth::Credentials,
    pages::{Frame, Problem},
};

/// Size limit of a body in bytes. No valid email and password need as much.
const LIMIT: usize = 64 * 1024;

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Whether a request waits for its body, which is the task of its client. An extension of the
/// request.
#[derive(Clone, Default)]
pub(crate) struct Receiving(Arc<AtomicBool>);

impl Receiving {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, receiving: bool) {
        self.0.store(receiving, Ordering::Relaxed);
    }
}

impl FromRequest<Arc<App>> for Credentials {
    type Rejection = Response;

    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let frame = Frame::new(app, request.headers());
        if !is_form(request.headers()) {
            return Err(frame.problem(Problem::WrongType));
        }
        DefaultBodyLimit::max(LIMIT).apply(&mut request);
        let receiving = request.extensions().get::<Receiving>().cloned();
        let receiving = receiving.unwrap_or_default();
        receiving.set(true);
        let body = Bytes::from_request(request, app).await;
        receiving.set(false);
        let body = body.map_err(|refused| match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => frame.problem(Problem::TooLarge),
            _ => frame.problem(Problem::Malformed),
        })?;
        parse(&body).ok_or_else(|| frame.problem(Problem::Malformed))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// Reads the fields. A missing field is empty, and the auth service refuses empty fields.
/// Unknown fields are ignored.
fn parse(body: &[u8]) -> Option<Credentials> {
    let mut email = None;
    let mut password = None;
    for (name, value) in form_urlencoded::parse(body) {
        let field = match name.as_ref() {
            "email" => &mut email,
            "password" => &mut password,
            _ => continue,
        };
        // The parser replaces invalid UTF-8, which would make different passwords equal.
        if field.is_some() || value.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        *field = Some(value.into_owned());
    }
    Some(Credentials {
        email: email.unwrap_or_default(),
        password: password.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &[u8]) -> Option<(String, String)> {
        parse(body).map(|typed| (typed.email, typed.password))
    }

    #[test]
    fn fields_are_decoded() {
        let typed = parsed(b"email=a%40b.example&password=p+%26%C3%A9&x=1").unwrap();
        assert_eq!(typed, ("a@b.example".to_owned(), "p &\u{e9}".to_owned()));
    }

    #[test]
    fn missing_fields_are_empty() {
        for body in [&b""[..], b"&&", b"email", b"=&x=\xff", b"Email=a"] {
            assert_eq!(
                parsed(body),
                Some((String::new(), String::new())),
                "{body:?}"
            );
        }
    }

    #[test]
    fn ambiguous_or_malformed_fields_are_refused() {
        for body in [
            &b"email=\xff"[..],
            b"password=%ff%fe",
            b"email=a&email=b",
            b"password=a&password=a",
        ] {
            assert_eq!(parsed(body), None, "{body:?}");
        }
    }

    #[test]
    fn the_content_type_decides() {
        for (value, expected) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-URLencoded; charset=UTF-8", true),
            ("application/json", false),
            ("multipart/form-data; boundary=x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_form(&headers), expected, "{value}");
        }
        assert!(!is_form(&HeaderMap::new()));
    }
}
