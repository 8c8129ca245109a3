//! The cookie that tells the account page which trace signed the user in.
//!
//! The browser is redirected after it has posted the form, so the page that it shows has a trace of its own.

use axum::http::{HeaderMap, HeaderValue, header};

const NAME: &str = "sign_in_trace";

/// The header that stores a trace id for the next account page. It expires after a minute.
pub(crate) fn store(trace: &str, https: bool) -> Option<HeaderValue> {
    let secure = if https { "; Secure" } else { "" };
    let cookie =
        format!("{NAME}={trace}; Path=/account; HttpOnly; SameSite=Lax{secure}; Max-Age=60");
    HeaderValue::try_from(cookie).ok()
}

/// The trace id in the headers of a request.
pub(crate) fn read(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let trace = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, trace)| (name == NAME).then_some(trace))?;
    // It becomes a part of a URL.
    let is_id = trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(cookies: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookies.parse().unwrap());
        read(&headers)
    }

    #[test]
    fn only_a_trace_id_is_read() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let stored = store(id, true).unwrap();
        let stored = stored.to_str().unwrap();
        assert!(stored.contains("; Secure"), "{stored}");
        let pair = stored.split(';').next().unwrap();
        assert_eq!(read_from(&format!("a=b; {pair}; c")).as_deref(), Some(id));
        for other in [
            "",
            "sign_in_trace=",
            "sign_in_trace=../x",
            "sign_in_trace=4bf9",
            "sign_in_trace",
        ] {
            assert_eq!(read_from(other), None, "{other}");
        }
        let script = format!("sign_in_trace={}", "<".repeat(32));
        assert_eq!(read_from(&script), None);
    }
}
