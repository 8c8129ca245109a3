//! The pages of what does not work.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{Frame, Place};

/// Why there is no better page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    NotFound,
    MethodNotAllowed,
    CrossSite,
    WrongType,
    TooLarge,
    Malformed,
    TimedOut,
    AccountUnavailable,
    StatusUnavailable,
    NotSignedOut,
    Internal,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TimedOut
            | Self::AccountUnavailable
            | Self::StatusUnavailable
            | Self::NotSignedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Page not found",
            Self::MethodNotAllowed => "This page does not do that",
            Self::CrossSite => "Sent from another site",
            Self::WrongType => "This is not a form",
            Self::TooLarge => "This is too much",
            Self::Malformed => "The form cannot be read",
            Self::TimedOut => "This took too long",
            Self::AccountUnavailable => "Your account is out of reach",
            Self::StatusUnavailable => "Your session cannot be checked",
            Self::NotSignedOut => "You are not signed out yet",
            Self::Internal => "Something went wrong",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing at this address. It may have been mistyped.",
            Self::MethodNotAllowed => {
                "The address exists, but it cannot be used in this way. Go back and use the page \
                 itself."
            }
            Self::CrossSite => {
                "Another site tried to send a form here in your name. Nothing was changed. If \
                 you wanted this, use the form on our own page."
            }
            Self::WrongType => {
                "This address takes what a form on its page sends, and nothing else."
            }
            Self::TooLarge => "What was sent is far larger than the form needs.",
            Self::Malformed => {
                "What was sent is damaged, or has characters that are not valid text. Go back \
                 and try again."
            }
            Self::TimedOut => "The page was not ready in time. Please try again in a moment.",
            Self::AccountUnavailable => {
                "A service that this page needs does not answer. You are still signed in; please \
                 try again in a moment."
            }
            Self::StatusUnavailable => {
                "Only people who are signed in may see the status page, and the service that \
                 checks sessions does not answer. Please try again in a moment."
            }
            Self::NotSignedOut => {
                "The service that ends sessions does not answer, so your session could not be \
                 revoked and is still open. Please try again in a moment."
            }
            Self::Internal => {
                "It is not your fault, and we cannot say more here. Whoever looks into it needs \
                 the trace id below."
            }
        }
    }

    /// What to do next.
    fn way_out(self, frame: &Frame) -> Markup {
        let status = html! {
            @if frame.links_to_status() { a.button.quiet href="/status" { "See the status" } }
        };
        match self {
            Self::NotSignedOut => html! {
                form method="post" action="/logout" {
                    button.button type="submit" { "Try to sign out again" }
                }
                (status)
            },
            Self::AccountUnavailable => html! {
                a.button href="/account" { "Try again" }
                (status)
            },
            Self::StatusUnavailable => html! { a.button href="/status" { "Try again" } },
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::CrossSite
            | Self::WrongType
            | Self::TooLarge
            | Self::Malformed => html! { a.button href="/" { "Go to the start page" } },
            Self::TimedOut | Self::Internal => html! {
                a.button href="/" { "Go to the start page" }
                (status)
            },
        }
    }
}

impl Frame {
    /// The page of a problem, with its status code.
    pub(crate) fn problem(&self, problem: Problem) -> Response {
        let status = problem.status();
        let content = html! {
            section.narrow {
                p.code { (status.as_u16()) }
                h1 { (problem.title()) }
                p.lead { (problem.text()) }
                div.actions { (problem.way_out(self)) }
            }
        };
        let page = self.page(problem.title(), Place::Elsewhere, content);
        let mut response = (status, page).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
