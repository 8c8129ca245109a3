//! The account of the person who is signed in.

use std::time::SystemTime;

use maud::{Markup, html};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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
                    dd { (moment(at)) }
                }
                @if let Some(at) = account.session_expires_at {
                    dt { "This session ends" }
                    dd { (moment(at)) }
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

/// A moment for people and for programs. The server does not know the reader's time zone.
fn moment(at: SystemTime) -> Markup {
    let utc = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(utc) = utc else {
        return html! { "unknown" };
    };
    let text = format!(
        "{} {} {}, {:02}:{:02} UTC",
        utc.day(),
        utc.month(),
        utc.year(),
        utc.hour(),
        utc.minute()
    );
    html! { time datetime=[utc.format(&Rfc3339).ok()] { (text) } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_utc() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        assert_eq!(
            moment(at).into_string(),
            r#"<time datetime="2026-01-02T03:04:05Z">2 January 2026, 03:04 UTC</time>"#
        );
    }

    #[test]
    fn a_moment_beyond_all_calendars_is_no_panic() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(moment(at).into_string(), "unknown");
    }
}
