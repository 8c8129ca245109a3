//! The files that pages load. They are embedded in the program, and browsers cache them until they
//! change.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use rust_embed::{Embed, EmbeddedFile};

/// The files of this crate.
#[derive(Embed)]
#[folder = "assets/"]
pub(crate) struct Shared;

/// The URL of a file, with a hash of its content. When the content changes, so does the URL.
#[must_use]
pub fn href<F: Embed>(name: &str) -> String {
    let query = F::get(name).map(|file| query(&file));
    format!("/assets/{name}?{}", query.unwrap_or_default())
}

/// The routes of the files of a program, and of those of this crate.
pub fn router<F: Embed, S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes::<F, S>().merge(routes::<Shared, S>())
}

fn routes<F: Embed, S: Clone + Send + Sync + 'static>() -> Router<S> {
    let files = F::iter().filter_map(|name| Some((F::get(&name)?, name)));
    files.fold(Router::new(), |router, (file, name)| {
        let answer = async move |uri: Uri, headers: HeaderMap| answer(&file, &uri, &headers);
        router.route(&format!("/assets/{name}"), get(answer))
    })
}

fn answer(file: &EmbeddedFile, uri: &Uri, headers: &HeaderMap) -> Response {
    let query = query(file);
    // Only a URL with the hash of the current content can be cached without revalidation.
    let caching = if uri.query() == Some(&query) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let tag = format!("\"{query}\"");
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| known.contains(&tag));
    let caching = [(header::CACHE_CONTROL, caching), (header::ETAG, &tag)];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let media_type = match file.metadata.mimetype() {
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    };
    let media_type = [(header::CONTENT_TYPE, media_type)];
    (caching, media_type, file.data.clone()).into_response()
}

/// The query of a file's URL, a hash of the content.
fn query(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hash = u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8]));
    format!("v={hash:016x}")
}
