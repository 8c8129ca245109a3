//! A running frontend, and a client that neither follows redirects nor stores cookies.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::net::SocketAddr;

use frontend::{Activity, Source};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::HeaderMap};
use scraper::{Html, Selector};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::auth::{self, Asked};

/// A frontend on a free port.
pub(crate) struct Frontend {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Asked,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) done: JoinHandle<anyhow::Result<()>>,
    http: Client,
}

/// A response.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Frontend {
    /// With a fake auth service behind it.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let (auth, asked) = auth::start().await;
        let auth = format!("--auth-service-address={auth}");
        Self::start_alone(&[&[auth.as_str()], args].concat(), asked).await
    }

    /// Without an auth service, unless `args` name one.
    pub(crate) async fn start_alone(args: &[&str], asked: Asked) -> Self {
        Self::start_with(args, asked, Activity::new(Source::Off)).await
    }

    /// With events that the test supplies.
    pub(crate) async fn start_with(args: &[&str], asked: Asked, activity: Activity) -> Self {
        let config = testing::settings(args);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(frontend::serve(config, activity, listener, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            asked,
            stop,
            done,
            http: browser(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        Page::of(self.request(Method::GET, path)).await
    }

    /// Gets a page with a session's token in the cookie.
    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Page {
        let request = self.request(Method::GET, path);
        Page::of(request.header("cookie", format!("session={token}"))).await
    }

    /// Posts a form as a browser does.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        Page::of(self.form(path, fields)).await
    }

    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.request(Method::POST, path)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }
}

pub(crate) fn browser() -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

impl Page {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// The value of a header, or an empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// The text of the elements that a selector matches.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        Html::parse_document(&self.text)
            .select(&Selector::parse(selector).unwrap())
            .map(|element| element.text().collect::<String>().trim().to_owned())
            .collect()
    }

    /// An attribute of the first element that a selector matches.
    pub(crate) fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        Html::parse_document(&self.text)
            .select(&Selector::parse(selector).unwrap())
            .next()
            .and_then(|element| element.attr(name).map(str::to_owned))
    }

    pub(crate) fn has(&self, selector: &str) -> bool {
        !self.texts(selector).is_empty()
    }
}
