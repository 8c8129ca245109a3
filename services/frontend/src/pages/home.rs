//! The start page, which describes the system.

use maud::{Markup, html};

use super::{Frame, Place};

/// The spans of a sign-in: service, call and CSS class.
const SPANS: [(&str, &str, &str); 3] = [
    ("frontend", "POST /login", "span-frontend"),
    ("auth", "AuthService/Login", "span-auth"),
    ("user", "UserService/VerifyPassword", "span-user"),
];

pub(crate) fn page(frame: &Frame) -> Markup {
    let content = html! {
        section.hero {
            h1 { "A system you can see through" }
            p.lead {
                "otelix is three small services in Rust, with their traces, metrics and logs in \
                 plain view. Create an account, sign in, and follow each of your clicks from \
                 this page to the database and back."
            }
            div.actions {
                a.button href="/register" { "Create an account" }
                a.button.quiet href="/login" { "Sign in" }
            }
        }
        figure.waterfall {
            figcaption { "One sign-in, one trace, three services" }
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
            section {
                h2 { "Every page has a trace" }
                p { "Its id is at the bottom of the page. With it, operators find every call that the request made." }
            }
            section {
                h2 { "Passwords stay put" }
                p { "One service stores them, as Argon2id hashes that never leave it. Signing out revokes your session at once." }
            }
            @if frame.links_to_status() {
                section {
                    h2 { "Every part reports its state" }
                    p { "The " a href="/status" { "status page" } " checks every part and shows how long each answer took." }
                }
            }
        }
    };
    frame.page("A system you can see through", Place::Home, content)
}
