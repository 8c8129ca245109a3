//! The account page.

use maud::{Markup, html};
use pages::moment;

use super::{Frame, Place};
use crate::auth::Account;

pub(crate) fn page(frame: &Frame, account: &Account) -> Markup {
    let content = html! {
        section.narrow {
            h1 { "Your account" }
            p.lead { "You are signed in as " strong { (account.email) } "." }
            dl.card.facts {
                dt { "Email" }
                dd { (account.email) }
                @if let Some(at) = account.created_at {
                    dt { "Member since" }
                    dd { (moment::to_the_minute(at)) }
                }
                @if let Some(at) = account.session_expires_at {
                    dt { "This session ends" }
                    dd { (moment::to_the_minute(at)) }
                }
                dt { "Account id" }
                dd { code { (account.id) } }
            }
            div.actions {
                form method="post" action="/logout" {
                    button.button.quiet type="submit" { "Sign out" }
                }
            }
        }
    };
    frame.page("Your account", Place::Account, content)
}
