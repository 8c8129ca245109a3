//! The handlers of the routes: each calls the auth service and chooses the page.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
};

use crate::{
    activity::{Source, sse},
    app::App,
    auth::{self, Account, Credentials, Error, OpenSession},
    client_address::client_address,
    config::StatusPage,
    pages::{
        Frame, Problem, account, activity,
        credentials::{self, Purpose},
        home, status,
    },
    sign_in_trace,
};

/// The client's IP address, or an empty string if it is unknown.
pub(crate) struct ClientAddress(String);

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map_or_else(String::new, |peer| {
            client_address(peer.0.ip(), &parts.headers, &app.proxies).to_string()
        })))
    }
}

pub(crate) async fn home(frame: Frame) -> Response {
    if frame.is_signed_in() {
        return see_other("/account");
    }
    home::page(&frame).into_response()
}

pub(crate) async fn register_form(frame: Frame) -> Response {
    credentials::empty(&frame, Purpose::Register).into_response()
}

pub(crate) async fn login_form(frame: Frame) -> Response {
    credentials::empty(&frame, Purpose::Login).into_response()
}

pub(crate) async fn register(
    State(app): State<Arc<App>>,
    frame: Frame,
    ClientAddress(client): ClientAddress,
    headers: HeaderMap,
    typed: Credentials,
) -> Response {
    let email = typed.email.clone();
    let replaced = app.cookie.read(&headers);
    match app.auth.register(typed, client, replaced).await {
        Ok(session) => enter(&app, &frame, &session),
        Err(error) => refused(&frame, Purpose::Register, &email, &error),
    }
}

pub(crate) async fn login(
    State(app): State<Arc<App>>,
    frame: Frame,
    ClientAddress(client): ClientAddress,
    headers: HeaderMap,
    typed: Credentials,
) -> Response {
    let email = typed.email.clone();
    let replaced = app.cookie.read(&headers);
    match app.auth.login(typed, client, replaced).await {
        Ok(session) => enter(&app, &frame, &session),
        Err(error) => refused(&frame, Purpose::Login, &email, &error),
    }
}

pub(crate) async fn account(
    State(app): State<Arc<App>>,
    frame: Frame,
    headers: HeaderMap,
) -> Response {
    match signed_in(&app, &frame, &headers, Problem::AccountUnavailable).await {
        Ok(account) => account::page(&frame, &account).into_response(),
        Err(answer) => answer,
    }
}

pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    frame: Frame,
    headers: HeaderMap,
) -> Response {
    let Some(token) = app.cookie.read(&headers) else {
        return leave(&app, &headers, "/");
    };
    match app.auth.logout(&token).await {
        // A token that is no longer accepted need not be revoked.
        Ok(()) | Err(Error::Unauthenticated | Error::Invalid(_)) => leave(&app, &headers, "/"),
        Err(error) => failed(&frame, &error, Problem::NotSignedOut),
    }
}

pub(crate) async fn status(
    State(app): State<Arc<App>>,
    frame: Frame,
    headers: HeaderMap,
) -> Response {
    if app.status_page == StatusPage::SignedIn
        && let Err(answer) = signed_in(&app, &frame, &headers, Problem::StatusUnavailable).await
    {
        return answer;
    }
    let answers = app.board.ask().await;
    status::page(&frame, app.is_ready(), &answers).into_response()
}

pub(crate) async fn activity(State(app): State<Arc<App>>, frame: Frame) -> Response {
    activity::page(&frame, app.activity.source(), &app.activity.newest()).into_response()
}

pub(crate) async fn activity_events(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    frame: Frame,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if app.activity.source() == Source::Off {
        // This status stops the browser from reconnecting (HTML, "Server-sent events").
        return StatusCode::NO_CONTENT.into_response();
    }
    let client = client_address(peer.ip(), &headers, &app.proxies);
    match app.activity.follow(client, sse::last_event(&uri, &headers)) {
        Ok(stream) => sse::answer(stream, frame),
        Err(full) => sse::refused(full),
    }
}

/// The account of the session, or the response without one: a redirect to the sign-in, or an error
/// page if the session cannot be checked.
async fn signed_in(
    app: &App,
    frame: &Frame,
    headers: &HeaderMap,
    unavailable: Problem,
) -> Result<Account, Response> {
    let Some(token) = app.cookie.read(headers) else {
        return Err(leave(app, headers, "/login"));
    };
    app.auth.me(&token).await.map_err(|error| match error {
        Error::Unauthenticated | Error::Invalid(_) => leave(app, headers, "/login"),
        error => failed(frame, &error, unavailable),
    })
}

/// Stores the token of a new session in the browser, and redirects to the account.
fn enter(app: &App, frame: &Frame, session: &OpenSession) -> Response {
    let Some(cookie) = app.cookie.store(&session.token, session.expires_at) else {
        return failed(frame, &auth::incomplete("token"), Problem::Internal);
    };
    let mut response = see_other("/account");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    let trace = telemetry::current_trace_id();
    if let Some(cookie) = trace.and_then(|trace| sign_in_trace::store(&trace, app.is_https())) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Removes the session from the browser, and redirects.
fn leave(app: &App, headers: &HeaderMap, location: &'static str) -> Response {
    let mut response = see_other(location);
    if app.cookie.is_present(headers)
        && let Some(cookie) = app.cookie.clear()
    {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The form with error messages, or an error page if the user cannot correct the error.
fn refused(frame: &Frame, purpose: Purpose, email: &str, error: &Error) -> Response {
    report(error);
    credentials::refused(frame, purpose, email, error)
        .unwrap_or_else(|| frame.problem(Problem::Internal))
}

/// The error page of a failed call to the auth service.
fn failed(frame: &Frame, error: &Error, unavailable: Problem) -> Response {
    report(error);
    match error {
        Error::Unavailable(_) | Error::TooMany { .. } => frame.problem(unavailable),
        Error::Invalid(_) | Error::Unauthenticated | Error::EmailTaken | Error::Internal(_) => {
            frame.problem(Problem::Internal)
        }
    }
}

/// Logs an error, unless the user caused it. It is logged here only.
fn report(error: &Error) {
    match error {
        Error::Unavailable(status) => {
            tracing::warn!(reason = status.message(), "auth is unavailable");
        }
        Error::Internal(status) => tracing::error!(
            code = telemetry::grpc::code_name(status.code()),
            reason = status.message(),
            "auth failed"
        ),
        Error::Invalid(_) | Error::Unauthenticated | Error::EmailTaken | Error::TooMany { .. } => {}
    }
}

fn see_other(location: &'static str) -> Response {
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, HeaderValue::from_static(location))],
    )
        .into_response()
}
