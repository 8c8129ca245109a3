//! A client of the frontend that acts like a browser without scripts: forms and a cookie.
//!
//! It does not follow redirects, which are answers here.

use std::net::Ipv4Addr;

use reqwest::{
    Body, Client, Method, Response, StatusCode, Url,
    header::{COOKIE, HeaderName, HeaderValue, LOCATION, SET_COOKIE},
};
use telemetry::http::{ClientLayer, UrlTemplate};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::{Kind, Reply, Request};
use crate::journey::Verdict;

/// Names of the session cookie. A frontend behind HTTPS uses the second one.
const COOKIES: [&str; 2] = ["session", "__Host-session"];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[derive(Clone, Debug)]
pub(super) struct Frontend {
    client: Client,
    layer: ClientLayer,
    base: Url,
}

/// The relevant parts of a response.
struct Answer {
    status: StatusCode,
    /// The target path of a redirect.
    location: Option<String>,
    token: Option<String>,
}

impl Frontend {
    pub(super) fn new(base: Url, idle: usize) -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // No retries, because they would hide failures of the target from the report.
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(idle)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            layer: ClientLayer::new(),
            base,
        })
    }

    pub(super) async fn is_ready(&self) -> bool {
        let answer = self.client.get(self.url("/health/ready")).send().await;
        answer.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    pub(super) async fn send(&self, request: Request<'_>, from: Ipv4Addr) -> Reply {
        let outcome = match request {
            Request::Register { email, password } => {
                self.post(
                    "/register",
                    from,
                    None,
                    &[("email", email), ("password", password)],
                )
                .await
            }
            Request::Login { email, password } => {
                self.post(
                    "/login",
                    from,
                    None,
                    &[("email", email), ("password", password)],
                )
                .await
            }
            Request::Me { token } => {
                self.exchange(Method::GET, "/account", from, Some(token), &[])
                    .await
            }
            Request::Logout { token } => self.post("/logout", from, Some(token), &[]).await,
        };
        match outcome {
            Ok(answer) => judge(request, answer),
            Err(error) => failure(&error).into(),
        }
    }

    async fn post(
        &self,
        path: &'static str,
        from: Ipv4Addr,
        token: Option<&str>,
        form: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        self.exchange(Method::POST, path, from, token, form).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &'static str,
        from: Ipv4Addr,
        token: Option<&str>,
        form: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method.clone(), self.url(path));
        if method == Method::POST {
            request = request.form(form);
        }
        if let Ok(value) = HeaderValue::from_str(&from.to_string()) {
            request = request.header(X_FORWARDED_FOR, value);
        }
        if let Some(token) = token {
            let cookies = COOKIES.map(|name| format!("{name}={token}")).join("; ");
            if let Ok(mut value) = HeaderValue::from_str(&cookies) {
                value.set_sensitive(true);
                request = request.header(COOKIE, value);
            }
        }
        let mut request: http::Request<Body> = request.build()?.try_into()?;
        request.extensions_mut().insert(UrlTemplate(path));
        let client = self.client.clone();
        let send = service_fn(move |request: http::Request<Body>| {
            let client = client.clone();
            async move {
                client
                    .execute(request.try_into()?)
                    .await
                    .map(http::Response::from)
            }
        });
        let response = self.layer.layer(send).oneshot(request).await?;
        self.read(response.into()).await
    }

    /// Reads a response to its end, so that the latency is complete and the connection can be
    /// reused.
    async fn read(&self, mut response: Response) -> reqwest::Result<Answer> {
        let answer = Answer {
            status: response.status(),
            location: response
                .headers()
                .get(LOCATION)
                .and_then(|location| self.base.join(location.to_str().ok()?).ok())
                .map(|location| location.path().to_owned()),
            token: response
                .headers()
                .get_all(SET_COOKIE)
                .iter()
                .find_map(|cookie| session(cookie.to_str().ok()?)),
        };
        while response.chunk().await?.is_some() {}
        Ok(answer)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }
}

/// The token in a `Set-Cookie` header that opens a session.
fn session(cookie: &str) -> Option<String> {
    let (name, value) = cookie.split(';').next()?.split_once('=')?;
    let is_session = COOKIES.contains(&name.trim()) && !value.trim().is_empty();
    is_session.then(|| value.trim().to_owned())
}

fn judge(request: Request<'_>, answer: Answer) -> Reply {
    let Answer {
        status,
        location,
        token,
    } = answer;
    let plain = Kind::Answer(format!("http {}", status.as_u16()).into());
    let is_redirect = status == StatusCode::SEE_OTHER;
    let (verdict, kind) = match (request, status, location.as_deref()) {
        (Request::Register { .. } | Request::Login { .. }, _, Some("/account")) if is_redirect => {
            if token.is_some() {
                (Verdict::Accepted, plain)
            } else {
                (
                    Verdict::Other,
                    Kind::Answer("http 303 without a session".into()),
                )
            }
        }
        (Request::Register { .. } | Request::Login { .. }, StatusCode::UNPROCESSABLE_ENTITY, _) => {
            (Verdict::Invalid, plain)
        }
        (Request::Register { .. }, StatusCode::CONFLICT, _) => (Verdict::Taken, plain),
        (Request::Login { .. }, StatusCode::UNAUTHORIZED, _) => (Verdict::Refused, plain),
        (Request::Me { .. }, StatusCode::OK, _) => (Verdict::Accepted, plain),
        (Request::Me { .. } | Request::Logout { .. }, _, Some("/login")) if is_redirect => {
            (Verdict::Refused, Kind::Answer("http 303 to /login".into()))
        }
        (Request::Logout { .. }, _, Some("/")) if is_redirect => (Verdict::SignedOut, plain),
        _ if is_redirect => (Verdict::Other, Kind::Answer("http 303 to elsewhere".into())),
        _ => (Verdict::Other, plain),
    };
    Reply {
        verdict,
        kind,
        token,
    }
}

fn failure(error: &reqwest::Error) -> Kind {
    if error.is_connect() {
        Kind::Connect
    } else {
        Kind::Transport
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: (&str, &str) = ("a@example.com", "secret");

    fn verdict(request: Request<'_>, status: u16, location: &str) -> Verdict {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            location: (!location.is_empty()).then(|| location.to_owned()),
            token: Some("t".to_owned()),
        };
        judge(request, answer).verdict
    }

    #[test]
    fn a_session_is_found_under_both_names() {
        assert_eq!(
            session("session=abc; HttpOnly; Path=/"),
            Some("abc".to_owned())
        );
        assert_eq!(session("__Host-session=abc"), Some("abc".to_owned()));
        for no in ["theme=dark", "session=; Max-Age=0", "", "session"] {
            assert_eq!(session(no), None, "{no:?}");
        }
    }

    #[test]
    fn each_answer_has_its_verdict() {
        let (email, password) = FORM;
        let (register, login) = (
            Request::Register { email, password },
            Request::Login { email, password },
        );
        let (me, logout) = (Request::Me { token: "t" }, Request::Logout { token: "t" });
        for (request, status, location, meaning) in [
            (register, 303, "/account", Verdict::Accepted),
            (register, 303, "/login", Verdict::Other),
            (register, 422, "", Verdict::Invalid),
            (register, 409, "", Verdict::Taken),
            (register, 401, "", Verdict::Other),
            (register, 200, "", Verdict::Other),
            (login, 303, "/account", Verdict::Accepted),
            (login, 401, "", Verdict::Refused),
            (login, 409, "", Verdict::Other),
            (login, 429, "", Verdict::Other),
            (me, 200, "", Verdict::Accepted),
            (me, 303, "/login", Verdict::Refused),
            (me, 303, "/account", Verdict::Other),
            (me, 503, "", Verdict::Other),
            (logout, 303, "/", Verdict::SignedOut),
            (logout, 303, "/login", Verdict::Refused),
            (logout, 200, "", Verdict::Other),
            (logout, 302, "/", Verdict::Other),
        ] {
            assert_eq!(
                verdict(request, status, location),
                meaning,
                "{status} {location}"
            );
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_reported_as_connect() {
        let frontend = Frontend::new("http://127.0.0.1:1".parse().unwrap(), 1).unwrap();
        let reply = frontend
            .send(Request::Me { token: "t" }, Ipv4Addr::LOCALHOST)
            .await;
        assert_eq!(reply.kind, Kind::Connect);
    }

    #[test]
    fn a_login_without_a_cookie_is_unexpected() {
        let (email, password) = FORM;
        let answer = Answer {
            status: StatusCode::SEE_OTHER,
            location: Some("/account".to_owned()),
            token: None,
        };
        let reply = judge(Request::Login { email, password }, answer);
        assert_eq!(reply.verdict, Verdict::Other);
        assert_eq!(reply.kind.to_string(), "http 303 without a session");
    }
}
