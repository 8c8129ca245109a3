//! Who may read telemetry.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use otlp::Denial;
use pages::cross_origin;

use crate::{Settings, Token, api, pages::Problem, params::Params};

const COOKIE: &str = "lens_token";

/// Who may read pages and API, and who may send OTLP.
#[derive(Debug)]
pub(crate) struct Guard {
    allowed_hosts: Vec<String>,
    token: Option<Token>,
    otlp_token: Option<Token>,
}

impl Guard {
    /// The rules for pages at an address. Beyond loopback, there is always a token for reading.
    pub(crate) fn new(settings: &Settings, address: SocketAddr) -> anyhow::Result<Self> {
        let is_local = address.ip().to_canonical().is_loopback();
        let otlp_token = settings.otlp_token()?;
        let token = settings.token()?.or_else(|| {
            let random = (!is_local).then(Token::random)?;
            tracing::warn!(
                "other machines can reach the pages, so readers need a secret; open {}",
                link(address, &random)
            );
            Some(random)
        });
        if !is_local && otlp_token.is_none() {
            tracing::warn!(
                "other machines can send telemetry without a secret; LENS_OTLP_TOKEN sets one"
            );
        }
        Ok(Self {
            allowed_hosts: settings.lens_allowed_hosts.clone(),
            token,
            otlp_token,
        })
    }

    /// Whether pages may be read under this name of the machine. A web site that rebinds its name to this machine uses
    /// that name, and cannot use an address or `localhost`.
    fn is_own(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self
                .allowed_hosts
                .iter()
                .any(|allowed| allowed.trim().eq_ignore_ascii_case(&name))
    }
}

/// The link that gives a browser the secret, for an address that is listened on.
fn link(address: SocketAddr, token: &Token) -> String {
    format!(
        "{}/?token={}",
        chassis::health::url(address),
        token.as_str()
    )
}

/// Refuses requests under names of other hosts, requests of other sites, and those without the token.
pub(crate) async fn reading(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_api = api::is_path(request.uri().path());
    let refuse = |problem: Problem| match is_api {
        true => problem.for_programs(),
        false => problem.into_response(),
    };
    let Some(host) = host(request.uri(), headers) else {
        return refuse(Problem::NoHost);
    };
    if !guard.is_own(&host) {
        return refuse(Problem::WrongHost(host));
    }
    let method = request.method();
    if !cross_origin::is_allowed(method, request.uri(), headers, None) {
        return refuse(Problem::CrossSite);
    }
    let Some(token) = &guard.token else {
        return next.run(request).await;
    };
    if token.is_in(headers) || cookies(headers).any(|shown| token.is(shown)) {
        return next.run(request).await;
    }
    // The link in the log becomes a cookie.
    let params = Params::new(request.uri().query().unwrap_or_default());
    let is_shown = params.get("token").is_some_and(|shown| token.is(shown));
    if is_shown && method == Method::GET {
        let place = params.without("token").href(request.uri().path());
        let cookie = format!(
            "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict",
            token.as_str()
        );
        let head = [(header::LOCATION, place), (header::SET_COOKIE, cookie)];
        return (StatusCode::SEE_OTHER, head).into_response();
    }
    refuse(Problem::NoToken)
}

/// Refuses OTLP of other sites, and OTLP without the token.
///
/// A browser asks first whether a page may send JSON to another site, and CORS refuses that. This does not rely on it.
pub(crate) async fn sending(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, headers) = (request.method(), request.headers());
    let is_local = headers.get(header::ORIGIN).is_some_and(otlp::is_local);
    if !is_local && !cross_origin::is_allowed(method, request.uri(), headers, None) {
        let message = "a page of another site may not send telemetry to this receiver";
        return otlp::denied(headers, Denial::Forbidden, message);
    }
    let token = guard.otlp_token.as_ref();
    // A browser sends no credentials with its question whether it may send some.
    if method == Method::OPTIONS || token.is_none_or(|token| token.is_in(headers)) {
        return next.run(request).await;
    }
    let message = "send the secret of this receiver as authorization: Bearer SECRET";
    let mut response = otlp::denied(headers, Denial::Unauthenticated, message);
    let bearer = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, bearer);
    response
}

/// The name under which a client addresses this machine, without its port.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    // HTTP/2 has an authority, HTTP/1.1 a Host.
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => headers
            .get(header::HOST)?
            .to_str()
            .ok()?
            .parse::<Authority>()
            .ok()?,
    };
    Some(authority.host().to_owned())
}

/// The values of the cookie.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(name, value)| (name == COOKIE).then_some(value))
}

#[cfg(test)]
mod tests;
