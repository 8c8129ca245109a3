//! The client of the API.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{Failure, Target};
use crate::{Token, params::Params};

/// Time limit for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Largest answer that is read into memory, in bytes.
const ANSWER: usize = 32 << 20;

/// A client of a running lens.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Token>,
}

/// An error of the API.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Parses the URL of a lens.
pub(super) fn base(text: &str) -> Result<String, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    if url.scheme() != "http" || url.query().is_some() || url.fragment().is_some() {
        return Err("not of the form http://HOST:PORT".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Client {
    pub(super) fn new(target: &Target) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            .build()
            .map_err(|error| Failure::Other(format!("cannot create an HTTP client: {error}")))?;
        Ok(Self {
            http,
            base: target.url.clone(),
            token: target.token.clone(),
        })
    }

    /// The URL of a page or resource.
    pub(super) fn url(&self, path: &str, params: &Params) -> String {
        params.href(&format!("{}{path}", self.base))
    }

    pub(super) fn request(&self, method: Method, path: &str, params: &Params) -> RequestBuilder {
        let request = self.http.request(method, self.url(path, params));
        match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        }
    }

    /// Sends a request, and waits for the head of the answer. Refusals are answers too.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await;
        response.map_err(|error| {
            Failure::Other(format!(
                "no lens answers at {}: {}; --url or LENS_URL sets another address",
                self.base,
                cause(&error)
            ))
        })
    }

    /// The answer to a request, as JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let response = self.send(request).await?;
        let response = self.accepted(response).await?;
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.no_lens(&error.to_string()))
    }

    /// The response, if it is a success.
    pub(super) async fn accepted(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await?;
        let text = match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) => refused.error,
            Err(_) => return Err(self.no_lens(&format!("it answers with status {status}"))),
        };
        // A filter or a secret that is wrong now stays wrong.
        match status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            true => Err(Failure::Usage(text)),
            false => Err(Failure::Other(text)),
        }
    }

    /// The body of a response that has to fit into memory.
    pub(super) async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| self.broken(&error))?;
            let Some(chunk) = chunk else {
                return Ok(body);
            };
            if body.len() + chunk.len() > ANSWER {
                return Err(self.no_lens("its answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// A connection that ended early.
    pub(super) fn broken(&self, error: &reqwest::Error) -> Failure {
        Failure::Other(format!(
            "{} ended its answer early: {}",
            self.base,
            cause(error)
        ))
    }

    fn no_lens(&self, why: &str) -> Failure {
        Failure::Other(format!(
            "what answers at {} is no lens of this version: {why}",
            self.base
        ))
    }
}

/// The innermost cause of an error: the others only say that a request failed.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
