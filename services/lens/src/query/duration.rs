//! Durations with a unit.

use std::fmt;

/// Units and their length in nanoseconds, the longest first.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    // The micro sign and the Greek letter.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];

/// Nanoseconds of a text such as `1.5s`. `None` if it is no number with a unit, or no whole number of nanoseconds that
/// fits.
pub(super) fn parse(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.')?;
    let (number, unit) = text.split_at(end);
    let (_, length) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = match number.split_once('.') {
        // Nanoseconds of an hour have 13 digits.
        Some((_, fraction)) if fraction.is_empty() || fraction.len() > 13 => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let whole = whole.parse::<u64>().ok()?.checked_mul(length)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let scaled = fraction.parse::<u128>().ok()? * u128::from(length);
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    if !scaled.is_multiple_of(scale) {
        return None;
    }
    whole.checked_add(u64::try_from(scaled / scale).ok()?)
}

/// Writes a whole number with the longest unit.
pub(super) fn write(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    let unit = UNITS
        .into_iter()
        .find(|(_, length)| nanos > 0 && nanos.is_multiple_of(*length));
    let (name, length) = unit.unwrap_or(("ns", 1));
    write!(f, "{}{name}", nanos / length)
}
