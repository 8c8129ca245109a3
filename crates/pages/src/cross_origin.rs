//! Protection against cross-site request forgery.
//!
//! The algorithm is that of Go's `net/http.CrossOriginProtection`: browsers send the origin of a
//! request in `Sec-Fetch-Site`, older ones in `Origin`. A client that sends neither is not a
//! browser, so no other site can make it send a user's cookies.

use axum::http::{HeaderMap, Method, Uri, header};

use crate::PublicUrl;

/// Whether a request may change state.
///
/// `public` is the URL that browsers use. A proxy may rewrite `Host`, and only `public` has the
/// scheme. Without `public`, a page at `http://HOST` may post to `https://HOST`.
#[must_use]
pub fn is_allowed(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    public: Option<&PublicUrl>,
) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<PublicUrl>().ok());
    let Some(origin) = origin else {
        return false;
    };
    if let Some(public) = public
        && public.authority() == origin.authority()
    {
        return *public == origin;
    }
    // HTTP/2 has no Host but an authority.
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()))
        .is_some_and(|own| own.eq_ignore_ascii_case(origin.authority()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, `Sec-Fetch-Site`, `Origin`, `Host`, whether it is allowed.
    type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a str, bool);

    const OWN: &str = "example.org:8082";

    #[test]
    fn requests_are_allowed_by_origin() {
        let own = Some("http://example.org:8082");
        let other = Some("https://evil.example");
        let rows: &[Row<'_>] = &[
            // Reading is always allowed.
            ("GET", Some("cross-site"), other, OWN, true),
            ("HEAD", Some("cross-site"), other, OWN, true),
            ("OPTIONS", Some("cross-site"), other, OWN, true),
            // Sec-Fetch-Site decides.
            ("POST", Some("same-origin"), own, OWN, true),
            ("POST", Some("same-origin"), other, OWN, true),
            ("POST", Some("none"), None, OWN, true),
            ("POST", Some("same-site"), own, OWN, false),
            ("POST", Some("cross-site"), own, OWN, false),
            ("POST", Some(""), own, OWN, false),
            ("POST", Some("bogus"), None, OWN, false),
            ("PUT", Some("cross-site"), None, OWN, false),
            ("DELETE", Some("cross-site"), None, OWN, false),
            ("BREW", Some("cross-site"), None, OWN, false),
            // Without it, Origin must be ours.
            ("POST", None, own, OWN, true),
            ("POST", None, Some("https://example.org:8082"), OWN, true),
            ("POST", None, own, "EXAMPLE.ORG:8082", true),
            ("POST", None, Some("https://public.example"), OWN, true),
            ("POST", None, Some("https://public.example:443"), OWN, true),
            ("POST", None, Some("http://public.example"), OWN, false),
            (
                "POST",
                None,
                Some("https://public.example"),
                "public.example",
                true,
            ),
            (
                "POST",
                None,
                Some("http://public.example"),
                "public.example",
                false,
            ),
            (
                "POST",
                None,
                Some("http://public.example:443"),
                "public.example",
                false,
            ),
            (
                "POST",
                None,
                Some("https://ann@example.org:8082"),
                OWN,
                false,
            ),
            (
                "POST",
                None,
                Some("http://example.org:8082/login"),
                OWN,
                false,
            ),
            ("POST", None, Some("https://public.example:1"), OWN, false),
            ("POST", None, Some("http://example.org"), OWN, false),
            ("POST", None, Some("http://example.org:8083"), OWN, false),
            ("POST", None, other, OWN, false),
            ("POST", None, Some("null"), OWN, false),
            ("POST", None, Some(""), OWN, false),
            ("POST", None, Some("\u{e9}"), OWN, false),
            // Without both headers, the client is not a browser.
            ("POST", None, None, OWN, true),
        ];
        for row in rows {
            let (method, site, origin, host, allowed) = *row;
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(
                is_allowed(
                    &method,
                    &Uri::from_static("/login"),
                    &headers,
                    Some(&"https://public.example".parse().unwrap())
                ),
                allowed,
                "{row:?}"
            );
        }
    }

    #[test]
    fn the_authority_of_http_2_is_a_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, "http://example.org:8082".parse().unwrap());
        for (uri, allowed) in [
            ("http://example.org:8082/login", true),
            ("http://evil.example/login", false),
            ("/login", false),
        ] {
            let uri = Uri::from_static(uri);
            assert_eq!(
                is_allowed(&Method::POST, &uri, &headers, None),
                allowed,
                "{uri}"
            );
        }
    }
}
