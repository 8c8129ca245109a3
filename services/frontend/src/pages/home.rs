//! The start page, which describes the system.

use maud::{Markup, html};

use super::{Frame, Place};

/// The calls of a sign-in: service, name of the call, CSS class.
const SPANS: [(&str, &str, &str); 3] = [
    ("frontend", "POST /login", "span-frontend"),
    ("auth", "AuthService/Login", "span-auth"),
    ("user", "UserService/VerifyPassword", "span-user"),
];

const TITLE: &str = "Three services you can observe";

pub(crate) fn page(frame: &Frame) -> Markup {
    let content = html! {
        section.hero {
            h1 { (TITLE) }
            p.lead {
                "otelix is three small services in Rust: this frontend, auth and user. They are \
                 instrumented with OpenTelemetry for traces, metrics and logs. Create an account \
                 and sign in to try them."
            }
            div.actions {
                a.button href="/register" { "Create an account" }
                a.button.quiet href="/login" { "Sign in" }
            }
        }
        figure.waterfall {
            figcaption { "A sign-in passes through three services" }
            ol {
                @for (service, call, class) in SPANS {
                    li {
                        span.service { (service) }
                        span.call { (call) }
                        span.lane aria-hidden="true" { span.span.(class) {} }
                    }
                }
            }
        }
        div.notes {
            @if telemetry::current_trace_id().is_some() {
                section {
                    @if let Some(viewer) = frame.viewer() {
                        h2 { "Every page links to its trace" }
                        p { "The link at the bottom of the page opens the trace in " (viewer.name()) ". It shows every call that the request made." }
                    } @else {
                        h2 { "Every page has a trace id" }
                        p { "The id is at the bottom of the page. The log lines of the frontend for this request have the same id." }
                    }
                }
            }
            section {
                h2 { "Passwords stay in one service" }
                p { "The user service stores passwords as Argon2id hashes, and no other service can read them. When you sign out, your session is revoked at once." }
            }
            @if frame.links_to_status() {
                section {
                    h2 { "Every part has a health check" }
                    p { "The " a href="/status" { "status page" } " runs all checks and shows how long each answer took." }
                }
            }
        }
    };
    frame.page(TITLE, Place::Home, content)
}
