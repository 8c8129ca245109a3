//! Times, for people and for programs. They are in UTC, as the server does not know the reader's
//! time zone.

use std::time::SystemTime;

use maud::{Markup, html};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A time to the minute, such as the end of a session.
#[must_use]
pub fn to_the_minute(at: SystemTime) -> Markup {
    element(at, |utc| {
        let (hour, minute, _) = utc.to_hms();
        format!("{}, {hour:02}:{minute:02} UTC", date(utc))
    })
}

/// A time to the second, for events that follow each other quickly.
#[must_use]
pub fn to_the_second(at: SystemTime) -> Markup {
    element(at, |utc| {
        let (hour, minute, second) = utc.to_hms();
        format!("{}, {hour:02}:{minute:02}:{second:02} UTC", date(utc))
    })
}

fn date(utc: OffsetDateTime) -> String {
    format!("{} {} {}", utc.day(), utc.month(), utc.year())
}

fn element(at: SystemTime, text: impl Fn(OffsetDateTime) -> String) -> Markup {
    let utc = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(utc) = utc else {
        return html! { "unknown" };
    };
    html! { time datetime=[utc.format(&Rfc3339).ok()] { (text(utc)) } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_utc() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        assert_eq!(
            to_the_minute(at).into_string(),
            r#"<time datetime="2026-01-02T03:04:05Z">2 January 2026, 03:04 UTC</time>"#
        );
        assert_eq!(
            to_the_second(at).into_string(),
            r#"<time datetime="2026-01-02T03:04:05Z">2 January 2026, 03:04:05 UTC</time>"#
        );
    }

    #[test]
    fn a_moment_beyond_all_calendars_is_no_panic() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(to_the_minute(at).into_string(), "unknown");
    }
}
