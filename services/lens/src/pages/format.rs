//! Numbers, durations and times for people.

use bytesize::ByteSize;
use maud::{Markup, html};
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339};

/// A number with separators: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size: `1.5 MiB`.
pub(super) fn bytes(size: u64) -> String {
    ByteSize(size).display().iec().to_string()
}

/// A duration in nanoseconds, with three digits: `1.23 ms`, `456 µs`, `2 min 5 s`.
pub(crate) fn duration(nanos: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let seconds = nanos.saturating_add(500_000_000) / 1_000_000_000;
    if seconds >= 3600 {
        return format!("{} h {} min", count(seconds / 3600), seconds % 3600 / 60);
    }
    if seconds >= 60 {
        return format!("{} min {} s", seconds / 60, seconds % 60);
    }
    // 999.6 µs are 1 ms, not 1000 µs.
    let value = nanos as f64;
    let unit = UNITS.iter().find(|(unit, _)| value >= 0.9995 * unit);
    let (unit, name) = unit.unwrap_or(&(1.0, "ns"));
    format!("{} {name}", three_digits(value / unit))
}

/// A number with up to three digits, without trailing zeros: `1.23`, `45.6`, `789`.
pub(super) fn three_digits(number: f64) -> String {
    let decimals = match number.abs() {
        below if below < 9.995 => 2,
        below if below < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{number:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time in nanoseconds since 1970, to the millisecond, in UTC: with its date unless that is today's.
pub(super) fn time(nanos: u64) -> Markup {
    time_on(nanos, OffsetDateTime::now_utc().date())
}

fn time_on(nanos: u64, today: Date) -> Markup {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos));
    let Ok(utc) = utc else {
        return html! { "unknown" };
    };
    let (hour, minute, second, milli) = utc.to_hms_milli();
    let text = format!("{hour:02}:{minute:02}:{second:02}.{milli:03}");
    html! {
        time datetime=[utc.format(&Rfc3339).ok()] title=(format!("{} UTC", utc.date())) {
            @if utc.date() != today { span.date { (date(utc)) "," } " " }
            (text)
        }
    }
}

/// A time in nanoseconds since 1970 with its date, to the second: `27 Nov 2026, 07:45:19 UTC`.
pub(super) fn moment(nanos: u64) -> Markup {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos));
    let Ok(utc) = utc else {
        return html! { "unknown" };
    };
    let (hour, minute, second) = utc.to_hms();
    html! {
        time datetime=[utc.format(&Rfc3339).ok()] { (date(utc)) (format!(", {hour:02}:{minute:02}:{second:02} UTC")) }
    }
}

/// A date: `27 Nov 2026`.
pub(super) fn date(time: OffsetDateTime) -> String {
    let month = time.month().to_string();
    let month = month.get(..3).unwrap_or_default();
    format!("{} {month} {}", time.day(), time.year())
}

/// A time in nanoseconds since 1970 in plain text, in UTC.
pub(super) fn timestamp(nanos: u64) -> String {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos));
    let text = utc.ok().and_then(|utc| utc.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "unknown".to_owned())
}

/// The same to the millisecond.
pub(crate) fn clock(nanos: u64) -> String {
    timestamp(nanos / 1_000_000 * 1_000_000)
}

/// The level of a log record, from its severity number. `None` if it is unspecified.
pub(crate) fn level(severity: i32) -> Option<&'static str> {
    Some(match severity {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (1_234, "1.23 µs"),
            (999_400, "999 µs"),
            (999_600, "1 ms"),
            (45_600_000, "45.6 ms"),
            (59_400_000_000, "59.4 s"),
            (59_700_000_000, "1 min 0 s"),
            (125_000_000_000, "2 min 5 s"),
            (3_725_000_000_000, "1 h 2 min"),
            (u64::MAX, "5,124,095 h 34 min"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn numbers_have_separators() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn times_are_utc() {
        let nanos = 1_767_323_045_678_000_000;
        let today = OffsetDateTime::from_unix_timestamp(1_767_323_045).unwrap();
        let text = time_on(nanos, today.date()).into_string();
        assert_eq!(
            text,
            r#"<time datetime="2026-01-02T03:04:05.678Z" title="2026-01-02 UTC">03:04:05.678</time>"#
        );
        let text = time(nanos).into_string();
        let dated = r#"<span class="date">2 Jan 2026,</span> 03:04:05.678</time>"#;
        assert!(text.ends_with(dated), "{text}");
        let now = time(crate::clock::now()).into_string();
        assert!(!now.contains("date\">"), "{now}");
        assert!(time(u64::MAX).into_string().contains("time"));
        let text = moment(1_767_323_045_678_000_000).into_string();
        let expected =
            r#"<time datetime="2026-01-02T03:04:05.678Z">2 Jan 2026, 03:04:05 UTC</time>"#;
        assert_eq!(text, expected);
    }
}
