//! The frame of every page: head, navigation and the id of its trace.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use maud::{Markup, html};
use pages::{Layout, assets::href, current};

use crate::{app::App, config::StatusPage, pages::Files, sign_in_trace, viewer::Viewer};

/// The place of a page in the navigation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Home,
    Register,
    Login,
    Account,
    Status,
    Activity,
    /// A page without a navigation entry, such as an error page.
    Elsewhere,
}

/// The readers who see a navigation entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Audience {
    Everybody,
    SignedIn,
    SignedOut,
}

/// The entries of the navigation, in order.
const NAVIGATION: [(Place, &str, &str, Audience); 5] = [
    (
        Place::Activity,
        "/activity",
        "Activity",
        Audience::Everybody,
    ),
    (Place::Status, "/status", "Status", Audience::Everybody),
    (Place::Account, "/account", "Account", Audience::SignedIn),
    (Place::Login, "/login", "Sign in", Audience::SignedOut),
    (
        Place::Register,
        "/register",
        "Register",
        Audience::SignedOut,
    ),
];

/// The context of a page: its request and the settings that affect the layout.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    is_signed_in: bool,
    status_page: StatusPage,
    viewer: Option<Viewer>,
    /// Id of the trace that signed the user in, if that was in the last minute.
    sign_in: Option<String>,
}

impl FromRequestParts<Arc<App>> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self::new(app, &parts.headers))
    }
}

impl Frame {
    pub(crate) fn new(app: &App, headers: &HeaderMap) -> Self {
        Self {
            is_signed_in: app.cookie.read(headers).is_some(),
            status_page: app.status_page,
            viewer: app.viewer.clone(),
            sign_in: sign_in_trace::read(headers),
        }
    }

    /// Whether the browser sent a session. Only the auth service knows whether it is still valid.
    pub(crate) fn is_signed_in(&self) -> bool {
        self.is_signed_in
    }

    /// Whether the page links to the status page. The cookie is not verified here.
    pub(super) fn links_to_status(&self) -> bool {
        self.is_signed_in || self.status_page == StatusPage::Everyone
    }

    /// The program that trace ids link to, if there is one.
    pub(super) fn viewer(&self) -> Option<&Viewer> {
        self.viewer.as_ref()
    }

    /// A whole page. `content` contains the only `h1`.
    pub(crate) fn page(&self, title: &str, place: Place, content: Markup) -> Markup {
        let layout = Layout {
            site: "otelix",
            title: title.to_owned(),
            styles: vec![href::<Files>("style.css")],
            is_home: place == Place::Home,
            is_wide: false,
            navigation: self.navigation(place),
            footer: self.trace(),
        };
        layout.page(content)
    }

    fn navigation(&self, place: Place) -> Markup {
        let is_shown = |place, audience| match audience {
            Audience::Everybody => place != Place::Status || self.links_to_status(),
            Audience::SignedIn => self.is_signed_in,
            Audience::SignedOut => !self.is_signed_in,
        };
        html! {
            @for (target, href, text, audience) in NAVIGATION {
                @if is_shown(target, audience) {
                    li { a href=(href) aria-current=[current(place == target)] { (text) } }
                }
            }
            @if self.is_signed_in {
                li {
                    form method="post" action="/logout" {
                        button.link type="submit" { "Sign out" }
                    }
                }
            }
        }
    }

    /// The trace id of this page, to report a problem or to look up the trace.
    fn trace(&self) -> Markup {
        let Some(id) = telemetry::current_trace_id() else {
            return html! { p { "This page has no trace, because telemetry is switched off." } };
        };
        html! {
            @if let Some(sign_in) = &self.sign_in {
                p { "You were signed in by trace " (self.trace_link(sign_in)) }
            }
            p { "This page was made by trace " (self.trace_link(&id)) }
        }
    }

    /// The id of a trace. It is a link if a viewer is known.
    pub(super) fn trace_link(&self, id: &str) -> Markup {
        html! {
            @match self.viewer.as_ref().and_then(|viewer| viewer.trace(id)) {
                Some(href) => { a href=(href) { code { (id) } } }
                None => { code { (id) } }
            }
        }
    }
}
