//! The forms to register and to sign in, empty or with error messages.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{Frame, Place};
use crate::auth::Error;

/// What the form is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Register,
    Login,
}

/// A field of the form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Email,
    Password,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Password => "password",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Email => "Email",
            Self::Password => "Password",
        }
    }
}

/// An error message, shown beside its field if it has one.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Message {
    field: Option<Field>,
    text: String,
}

/// Why the form is shown again.
#[derive(Clone, Debug)]
struct Refusal {
    status: StatusCode,
    messages: Vec<Message>,
    /// Fields that are marked as wrong without a message of their own.
    suspects: &'static [Field],
    retry_after: Option<u64>,
}

/// The empty form.
pub(crate) fn empty(frame: &Frame, purpose: Purpose) -> Markup {
    page(frame, purpose, "", None)
}

/// The form with error messages and the email as it was typed. `None` for errors that the user
/// cannot correct.
pub(crate) fn refused(
    frame: &Frame,
    purpose: Purpose,
    email: &str,
    error: &Error,
) -> Option<Response> {
    let refusal = Refusal::new(purpose, error)?;
    let page = page(frame, purpose, email, Some(&refusal));
    let mut response = (refusal.status, page).into_response();
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Some(response)
}

impl Refusal {
    fn new(purpose: Purpose, error: &Error) -> Option<Self> {
        let one = |status, field, text: &str| Self {
            status,
            messages: vec![Message {
                field,
                text: text.to_owned(),
            }],
            suspects: &[],
            retry_after: None,
        };
        Some(match error {
            Error::Invalid(violations) => {
                let messages: Vec<_> = violations
                    .iter()
                    .map(|violation| Message {
                        field: [Field::Email, Field::Password]
                            .into_iter()
                            .find(|field| field.name() == violation.field),
                        text: sentence(&violation.description),
                    })
                    .collect();
                if messages.is_empty() {
                    one(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        None,
                        "A field is invalid. Check your entries.",
                    )
                } else {
                    Self {
                        status: StatusCode::UNPROCESSABLE_ENTITY,
                        messages,
                        suspects: &[],
                        retry_after: None,
                    }
                }
            }
            Error::Unauthenticated => Self {
                suspects: &[Field::Email, Field::Password],
                ..one(
                    StatusCode::UNAUTHORIZED,
                    None,
                    "The email or the password is wrong.",
                )
            },
            Error::EmailTaken => one(
                StatusCode::CONFLICT,
                Some(Field::Email),
                "An account with this email already exists.",
            ),
            Error::TooMany { retry_after } => {
                // Rounded up, so that a retry after this time is not too early.
                let seconds = retry_after.as_millis().div_ceil(1000).max(1);
                let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                let text = format!("Too many attempts. Try again in {}.", duration(seconds));
                Self {
                    retry_after: Some(seconds),
                    ..one(StatusCode::TOO_MANY_REQUESTS, None, &text)
                }
            }
            Error::Unavailable(_) => Self {
                retry_after: Some(5),
                ..one(
                    StatusCode::SERVICE_UNAVAILABLE,
                    None,
                    match purpose {
                        Purpose::Login => {
                            "You cannot sign in right now, because a service does not answer. \
                             Try again in a moment."
                        }
                        Purpose::Register => {
                            "A service does not answer, so your account may or may not have been \
                             created. Try again in a moment. If an account with this email \
                             already exists, sign in."
                        }
                    },
                )
            },
            Error::Internal(_) => return None,
        })
    }

    fn about(&self, field: Field) -> impl Iterator<Item = &Message> {
        self.messages
            .iter()
            .filter(move |message| message.field == Some(field))
    }

    fn is_wrong(&self, field: Field) -> bool {
        self.suspects.contains(&field) || self.about(field).next().is_some()
    }

    /// The field to focus: the first one with a message, else the password, which is empty.
    fn focus(&self) -> Field {
        [Field::Email, Field::Password]
            .into_iter()
            .find(|field| self.about(*field).next().is_some())
            .unwrap_or(Field::Password)
    }
}

fn page(frame: &Frame, purpose: Purpose, email: &str, refusal: Option<&Refusal>) -> Markup {
    let (place, path, title, lead, action) = match purpose {
        Purpose::Register => (
            Place::Register,
            "/register",
            "Create an account",
            "You need only an email and a password.",
            "Create account",
        ),
        Purpose::Login => (
            Place::Login,
            "/login",
            "Sign in",
            "Sign in to see your account.",
            "Sign in",
        ),
    };
    let content = html! {
        section.narrow {
            h1 { (title) }
            p.lead { (lead) }
            @if let Some(refusal) = refusal { (summary(refusal)) }
            // The browser does not check the fields, so that all browsers show the same messages.
            form.card method="post" action=(path) novalidate {
                (input(Field::Email, purpose, email, refusal))
                (input(Field::Password, purpose, "", refusal))
                button.button type="submit" { (action) }
            }
            p.aside {
                @match purpose {
                    Purpose::Register => { "Already have an account? " a href="/login" { "Sign in" } }
                    Purpose::Login => { "New here? " a href="/register" { "Create an account" } }
                }
            }
        }
    };
    let title = if refusal.is_some() {
        format!("Error: {title}")
    } else {
        title.to_owned()
    };
    frame.page(&title, place, content)
}

fn summary(refusal: &Refusal) -> Markup {
    html! {
        div.alert role="alert" {
            h2 { "There is a problem" }
            ul {
                @for message in &refusal.messages {
                    li {
                        @match message.field {
                            Some(field) => {
                                a href={ "#" (field.name()) } {
                                    (field.label()) ": " (message.text)
                                }
                            }
                            None => { (message.text) }
                        }
                    }
                }
            }
        }
    }
}

fn input(field: Field, purpose: Purpose, value: &str, refusal: Option<&Refusal>) -> Markup {
    let name = field.name();
    let hint = (field == Field::Password && purpose == Purpose::Register)
        .then_some("8 to 128 characters. A phrase of several words works well.");
    let messages: Vec<&Message> = refusal
        .map(|refusal| refusal.about(field).collect())
        .unwrap_or_default();

    let mut described_by = Vec::new();
    if !messages.is_empty() {
        described_by.push(format!("{name}-error"));
    }
    if hint.is_some() {
        described_by.push(format!("{name}-hint"));
    }
    let described_by = (!described_by.is_empty()).then(|| described_by.join(" "));

    let kind = match field {
        Field::Email => "email",
        Field::Password => "password",
    };
    let autocomplete = match (field, purpose) {
        (Field::Email, _) => "username",
        (Field::Password, Purpose::Register) => "new-password",
        (Field::Password, Purpose::Login) => "current-password",
    };
    let autofocus = refusal.is_some_and(|refusal| refusal.focus() == field);
    let is_wrong = refusal.is_some_and(|refusal| refusal.is_wrong(field));
    html! {
        div.field.wrong[is_wrong] {
            label for=(name) { (field.label()) }
            @if let Some(hint) = hint {
                p.hint id={ (name) "-hint" } { (hint) }
            }
            @if !messages.is_empty() {
                div.error id={ (name) "-error" } {
                    @for message in messages { p { (message.text) } }
                }
            }
            input id=(name) name=(name) type=(kind) value=[(!value.is_empty()).then_some(value)]
                autocomplete=(autocomplete) autocapitalize="none" spellcheck="false" required
                aria-invalid=[is_wrong.then_some("true")]
                aria-describedby=[described_by] autofocus[autofocus];
        }
    }
}

/// A description with a capital letter and a full stop.
fn sentence(description: &str) -> String {
    let description = description.trim();
    let mut rest = description.chars();
    let mut text: String = rest
        .next()
        .map(|first| first.to_uppercase().chain(rest).collect())
        .unwrap_or_default();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// A number of seconds in words.
fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_becomes_a_sentence() {
        assert_eq!(sentence("enter a password"), "Enter a password.");
        assert_eq!(sentence(" \u{e9}t\u{e9}! "), "\u{c9}t\u{e9}!");
    }

    #[test]
    fn a_duration_is_never_shorter_than_it_is() {
        assert_eq!(duration(1), "1 second");
        assert_eq!(duration(119), "119 seconds");
        assert_eq!(duration(121), "3 minutes");
        assert_eq!(duration(7201), "3 hours");
    }
}
