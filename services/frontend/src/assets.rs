//! The files that pages load: compiled in, and kept by browsers for as long as they do not
//! change.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

/// A file that is part of the program.
#[derive(Debug)]
pub(crate) struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
    fingerprint: u64,
}

/// How the pages look.
pub(crate) static STYLE: Asset = Asset::new(
    "/assets/style.css",
    "text/css; charset=utf-8",
    include_str!("../assets/style.css"),
);

/// The icon of the pages.
pub(crate) static FAVICON: Asset = Asset::new(
    "/assets/favicon.svg",
    "image/svg+xml",
    include_str!("../assets/favicon.svg"),
);

/// What keeps the Activity page current.
pub(crate) static ACTIVITY: Asset = Asset::new(
    "/assets/activity.js",
    "text/javascript; charset=utf-8",
    include_str!("../assets/activity.js"),
);

impl Asset {
    const fn new(path: &'static str, media_type: &'static str, content: &'static str) -> Self {
        Self {
            path,
            media_type,
            content,
            fingerprint: fingerprint(content.as_bytes()),
        }
    }

    /// The address of this very content: another content has another address.
    pub(crate) fn href(&self) -> String {
        format!("{}?{}", self.path, self.query())
    }

    fn query(&self) -> String {
        format!("v={:016x}", self.fingerprint)
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        // Only the address that names the content can be kept without asking again.
        let caching = if uri.query() == Some(self.query().as_str()) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let tag = format!("\"{:016x}\"", self.fingerprint);
        let is_known = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|known| known.to_str().ok())
            .is_some_and(|known| known.contains(&tag));
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.media_type)], self.content).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

pub(crate) async fn style(uri: Uri, headers: HeaderMap) -> Response {
    STYLE.answer(&uri, &headers)
}

pub(crate) async fn favicon(uri: Uri, headers: HeaderMap) -> Response {
    FAVICON.answer(&uri, &headers)
}

pub(crate) async fn activity(uri: Uri, headers: HeaderMap) -> Response {
    ACTIVITY.answer(&uri, &headers)
}

/// FNV-1a: tells versions of our own files apart, which takes no cryptography.
const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
