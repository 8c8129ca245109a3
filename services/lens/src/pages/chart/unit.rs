//! Values with their unit, for people.

use super::super::format;

/// Characters of an unknown unit that are shown.
const UNIT_CHARACTERS: usize = 24;

/// Significant digits of a value.
const DIGITS: usize = 3;

/// A unit. Units of OpenTelemetry are in UCUM.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unit {
    family: Family,
    /// What the unit is divided by, such as `s`.
    per: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Family {
    /// A time: the seconds of one unit.
    Time(f64),
    /// A size: the bytes of one unit.
    Size(f64),
    /// A number.
    Plain,
    /// A number of things, such as `request`.
    Things(String),
    /// A text after the value, such as `°C`.
    Other(String),
}

/// The round numbers of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Grid {
    /// 1, 2, 5, 10.
    Decimal,
    /// Powers of two times this number.
    Binary(f64),
    /// Seconds, minutes and hours, of which the unit has this many seconds.
    Time(f64),
}

impl Unit {
    /// The unit of a UCUM code, such as `ms`, `By`, `{request}`, `1` or `By/s`.
    pub(crate) fn new(code: &str) -> Self {
        let code = code.trim();
        if let Some(family) = known(code) {
            return Self { family, per: None };
        }
        match code.rsplit_once('/') {
            Some((whole, per)) if !per.is_empty() => Self {
                family: known(whole).unwrap_or_else(|| other(whole)),
                per: Some(clean(per.trim_matches(['{', '}']))),
            },
            _ => Self {
                family: other(code),
                per: None,
            },
        }
    }

    /// This unit per second: that of a rate.
    #[must_use]
    pub(crate) fn per_second(&self) -> Self {
        let per = match &self.per {
            Some(per) => format!("{per}/s"),
            None => "s".to_owned(),
        };
        Self {
            family: self.family.clone(),
            per: Some(per),
        }
    }

    /// A value with its unit: `12 ms`, `1.5 MiB`, `3 requests/s`.
    pub(crate) fn text(&self, value: f64) -> String {
        self.with_digits(value, DIGITS, true)
    }

    /// A value on an axis, for which [`name`](Self::name) says of what.
    pub(super) fn tick(&self, value: f64, digits: usize) -> String {
        self.with_digits(value, digits, false)
    }

    /// The name of the unit beside an axis, unless each value has it.
    pub(crate) fn name(&self) -> Option<String> {
        let per = self.suffix();
        match &self.family {
            Family::Things(thing) => Some(format!("{}{per}", plural(thing))),
            Family::Plain if !per.is_empty() => Some(format!("1{per}")),
            _ => None,
        }
    }

    pub(super) fn grid(&self) -> Grid {
        match self.family {
            Family::Time(seconds) if self.per.is_none() => Grid::Time(seconds),
            Family::Size(bytes) => Grid::Binary(1.0 / bytes),
            Family::Time(_) | Family::Plain | Family::Things(_) | Family::Other(_) => Grid::Decimal,
        }
    }

    fn suffix(&self) -> String {
        let per = self.per.as_ref();
        per.map_or_else(String::new, |per| format!("/{per}"))
    }

    fn with_digits(&self, value: f64, digits: usize, is_alone: bool) -> String {
        if value.is_nan() {
            return "not a number".to_owned();
        }
        let per = self.suffix();
        match &self.family {
            Family::Time(unit) if per.is_empty() => time(value * unit, digits),
            // Seconds per second are a share, of which minutes and milliseconds would tell less.
            Family::Time(unit) => format!("{} s{per}", number(value * unit, digits)),
            Family::Size(unit) => format!("{}{per}", size(value * unit, digits)),
            Family::Plain if is_alone => format!("{}{per}", number(value, digits)),
            Family::Things(thing) if is_alone => {
                let things = if value == 1.0 { thing } else { &plural(thing) };
                format!("{} {things}{per}", number(value, digits))
            }
            Family::Plain | Family::Things(_) => number(value, digits),
            Family::Other(unit) => format!("{} {unit}{per}", number(value, digits)),
        }
    }
}

fn known(code: &str) -> Option<Family> {
    Some(match code {
        "" | "1" => Family::Plain,
        "ns" => Family::Time(1e-9),
        "us" | "µs" => Family::Time(1e-6),
        "ms" => Family::Time(1e-3),
        "s" => Family::Time(1.0),
        "min" => Family::Time(60.0),
        "h" => Family::Time(3_600.0),
        "d" => Family::Time(86_400.0),
        "By" => Family::Size(1.0),
        "kBy" => Family::Size(1e3),
        "MBy" => Family::Size(1e6),
        "GBy" => Family::Size(1e9),
        "KiBy" => Family::Size(1024.0),
        "MiBy" => Family::Size(1_048_576.0),
        "GiBy" => Family::Size(1_073_741_824.0),
        "Cel" => Family::Other("°C".to_owned()),
        _ => return None,
    })
}

fn other(code: &str) -> Family {
    let inner = code
        .strip_prefix('{')
        .and_then(|code| code.strip_suffix('}'));
    match inner.map(clean) {
        Some(thing) if thing.is_empty() => Family::Plain,
        Some(thing) => Family::Things(thing),
        None => Family::Other(clean(code)),
    }
}

/// A part of a unit, which clients may have filled with anything.
fn clean(text: &str) -> String {
    let is_shown = |char: &char| {
        !char.is_control()
            && !matches!(*char, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let chars = text.chars().filter(is_shown);
    chars.take(UNIT_CHARACTERS).collect()
}

fn plural(thing: &str) -> String {
    let consonant_y = thing.strip_suffix('y').filter(|stem| {
        let last = stem.chars().next_back();
        last.is_some_and(|last| last.is_ascii_lowercase() && !"aeiou".contains(last))
    });
    if let Some(stem) = consonant_y {
        return format!("{stem}ies");
    }
    if ["ss", "x", "ch", "sh"]
        .iter()
        .any(|end| thing.ends_with(end))
    {
        return format!("{thing}es");
    }
    // It is a plural already, or no word.
    if !thing.ends_with(|last: char| last.is_ascii_lowercase()) || thing.ends_with('s') {
        return thing.to_owned();
    }
    format!("{thing}s")
}

fn time(seconds: f64, digits: usize) -> String {
    const UNITS: [(f64, &str); 4] = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    let size = seconds.abs();
    if size == 0.0 {
        return "0 s".to_owned();
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    if !(1e-12..1e12).contains(&size) {
        return format!("{} s", number(seconds, digits));
    }
    // 59.97 s are 1 min, as three digits have no place for the rest.
    if size >= 59.95 {
        let whole = size.round() as u64;
        let parts = [
            (whole / 86_400, "d"),
            (whole / 3_600 % 24, "h"),
            (whole / 60 % 60, "min"),
            (whole % 60, "s"),
        ];
        let parts = parts.iter().skip_while(|(count, _)| *count == 0).take(2);
        let parts = parts
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{} {unit}", format::count(*count)));
        return format!("{sign}{}", parts.collect::<Vec<_>>().join(" "));
    }
    let unit = UNITS.iter().find(|(unit, _)| size >= unit * 0.9995);
    let (unit, name) = unit.unwrap_or(&UNITS[3]);
    format!("{} {name}", significant(seconds / unit, digits))
}

fn size(bytes: f64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value.abs() >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.abs() >= 1e6 {
        return format!("{} {}", number(value, digits), UNITS[unit]);
    }
    format!("{} {}", significant(value, digits), UNITS[unit])
}

/// A number for people: `12,345`, `1.23 M`, `0.012`, `1.2e-9`.
fn number(value: f64, digits: usize) -> String {
    const UNITS: [(f64, &str); 3] = [(1e12, "T"), (1e9, "G"), (1e6, "M")];
    let size = value.abs();
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        let text = format!("{value:.*e}", digits - 1);
        let Some((mantissa, exponent)) = text.split_once('e') else {
            return text;
        };
        return format!("{}e{exponent}", without_zeros(mantissa));
    }
    let unit = UNITS.iter().find(|(unit, _)| size >= *unit * 0.9995);
    match unit {
        Some((unit, name)) => format!("{} {name}", significant(value / unit, digits)),
        None => significant(value, digits),
    }
}

/// A number with this many significant digits, except that digits before the point are all shown.
fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (digits as i32 - 1 - magnitude).clamp(0, 15) as usize;
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole
        .parse()
        .map_or_else(|_| whole.to_owned(), format::count);
    let sign = if value < 0.0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn without_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}
