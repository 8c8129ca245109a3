//! The pages for requests that fail.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::html;

use super::frame::{Place, layout};
use crate::api;

/// Why there is no page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    NotFound,
    MethodNotAllowed,
    NoHost,
    WrongHost(String),
    CrossSite,
    NoToken,
    SlowReaders,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::WrongHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::SlowReaders => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "There is no such page",
            Self::MethodNotAllowed => "This page cannot be used in this way",
            Self::NoHost => "The request names no host",
            Self::WrongHost(_) => "This name is not known",
            Self::CrossSite => "Another site sent this request",
            Self::NoToken => "A secret is needed",
            Self::SlowReaders => "Too many answers wait for their readers",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::NotFound => "The address may have a typing error.".to_owned(),
            Self::MethodNotAllowed => "Use the links of the pages.".to_owned(),
            Self::NoHost => "Send a Host header.".to_owned(),
            Self::WrongHost(host) => format!(
                "Pages are served under localhost and IP addresses. To use the name {host:?} too, start lens with \
                 LENS_ALLOWED_HOSTS={host}."
            ),
            Self::CrossSite => "Nothing was changed.".to_owned(),
            Self::SlowReaders => {
                "End programs that read slowly, such as a stopped export, or try again later."
                    .to_owned()
            }
            Self::NoToken => {
                "Open the link with ?token= that lens wrote to its log at the start. Programs send \
                 authorization: Bearer SECRET."
                    .to_owned()
            }
        }
    }
}

impl Problem {
    /// The answer to a request of a program.
    pub(crate) fn for_programs(&self) -> Response {
        let text = format!("{}. {}", self.title(), self.text());
        api::Error::Other(self.status(), text).into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = html! {
            section.narrow {
                p.code { (self.status().as_u16()) }
                h1 { (self.title()) }
                p.lead { (self.text()) }
            }
        };
        let page = layout(self.title(), Place::Elsewhere, html! {}).page(content);
        (self.status(), page).into_response()
    }
}
