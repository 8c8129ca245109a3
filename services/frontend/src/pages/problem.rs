//! The error pages.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{Frame, Place};

/// Why a request gets an error page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    NotFound,
    MethodNotAllowed,
    CrossSite,
    WrongType,
    TooLarge,
    Malformed,
    NotReceived,
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
            Self::NotReceived => StatusCode::REQUEST_TIMEOUT,
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
            Self::MethodNotAllowed => "Method not allowed",
            Self::CrossSite => "Sent from another site",
            Self::WrongType => "Not a form",
            Self::TooLarge => "The form is too large",
            Self::Malformed => "The form cannot be read",
            Self::NotReceived => "The form did not arrive in time",
            Self::TimedOut => "This took too long",
            Self::AccountUnavailable => "Your account cannot be shown",
            Self::StatusUnavailable => "Your session cannot be checked",
            Self::NotSignedOut => "You are not signed out yet",
            Self::Internal => "Something went wrong",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "There is no page at this address. Check it for typing errors.",
            Self::MethodNotAllowed => {
                "The address exists but does not support this method. Go back and use the form on \
                 the page."
            }
            Self::CrossSite => {
                "Another site tried to submit a form here in your name. Nothing was changed. To \
                 submit it yourself, use the form on our own page."
            }
            Self::WrongType => "This address accepts only data from the form on its page.",
            Self::TooLarge => {
                "Your entries are larger than this form accepts. Go back, shorten them, and try \
                 again."
            }
            Self::Malformed => {
                "The form data is damaged or contains invalid text. Go back and try again."
            }
            Self::NotReceived => "Your connection may be slow. Go back and submit the form again.",
            Self::TimedOut => "The page was not ready in time. Please try again in a moment.",
            Self::AccountUnavailable => {
                "A service that this page needs does not answer. You are still signed in. Please \
                 try again in a moment."
            }
            Self::StatusUnavailable => {
                "You must be signed in to see the status page, but the service that checks \
                 sessions does not answer. Please try again in a moment."
            }
            Self::NotSignedOut => {
                "The service that ends sessions does not answer, so your session is still open. \
                 Please try again in a moment."
            }
            Self::Internal => {
                "The error is on our side. If you report it, include the trace id at the bottom of \
                 this page."
            }
        }
    }

    /// Links and buttons for the next step.
    fn next_steps(self, frame: &Frame) -> Markup {
        let status = html! {
            @if frame.links_to_status() { a.button.quiet href="/status" { "Open the status page" } }
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
            | Self::Malformed
            | Self::NotReceived => html! { a.button href="/" { "Go to the start page" } },
            Self::TimedOut | Self::Internal => html! {
                a.button href="/" { "Go to the start page" }
                (status)
            },
        }
    }
}

impl Frame {
    /// The error page of a problem, with its status code.
    pub(crate) fn problem(&self, problem: Problem) -> Response {
        let status = problem.status();
        let content = html! {
            section.narrow {
                p.code { (status.as_u16()) }
                h1 { (problem.title()) }
                p.lead { (problem.text()) }
                div.actions { (problem.next_steps(self)) }
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
