//! Numbers in decimal, as JSON writes them.

/// The parts of a decimal number.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

/// A whole number, without loss of precision. `1.0` and `1e3` are whole.
///
/// `None` if the text is not a whole number, or has more than 38 digits.
pub(super) fn whole(text: &str) -> Option<i128> {
    let decimal = decimal(text)?;
    let magnitude = if decimal.fraction.is_empty() && decimal.exponent == 0 {
        decimal.whole.parse().ok()?
    } else {
        scaled(&decimal)?
    };
    Some(if decimal.negative {
        -magnitude
    } else {
        magnitude
    })
}

/// A finite number.
pub(super) fn finite(text: &str) -> Option<f64> {
    // The standard library also reads words such as `inf`.
    decimal(text)?;
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The magnitude of a number with a fraction or an exponent.
fn scaled(decimal: &Decimal<'_>) -> Option<i128> {
    let digits = [decimal.whole, decimal.fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let scale = i64::from(decimal.exponent) + zeros as i64 - decimal.fraction.len() as i64;
    let scale = u32::try_from(scale).ok()?;
    let power = 10_i128.checked_pow(scale)?;
    significant.parse::<i128>().ok()?.checked_mul(power)
}

fn decimal(text: &str) -> Option<Decimal<'_>> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let is_number = !whole.is_empty()
        && [whole, fraction]
            .concat()
            .bytes()
            .all(|b| b.is_ascii_digit());
    is_number.then_some(Decimal {
        negative,
        whole,
        fraction,
        exponent,
    })
}

#[cfg(test)]
mod tests {
    use super::{finite, whole};

    #[test]
    fn whole_numbers_keep_every_digit() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("18446744073709551615", u64::MAX.into()),
            ("-9223372036854775809", i128::from(i64::MIN) - 1),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("1.5e1", 15),
            ("1500e-2", 15),
            ("0.00e9", 0),
            ("0.001e3", 1),
            ("1.544712660300000001e18", 1_544_712_660_300_000_001),
        ] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_whole_numbers() {
        for text in [
            "",
            "-",
            "1.5",
            "1e-1",
            "1e400",
            "1e99999999999",
            "1.",
            ".5",
            "+5",
            " 5",
            "5 ",
            "0x10",
            "1e",
            "e1",
            "1.2.3",
            "--1",
            "1e1.5",
            "NaN",
            "١",
            "1000000000000000000000000000000000000000000",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn finite_numbers_are_decimals_in_range() {
        for (text, number) in [
            ("5", 5.0),
            ("-0.5", -0.5),
            ("1e-400", 0.0),
            ("1.7e308", 1.7e308),
        ] {
            assert_eq!(finite(text), Some(number), "{text}");
        }
        for text in [
            "1e400", "-1e400", "inf", "Infinity", "NaN", "nan", "", " 1", ".5", "+1",
        ] {
            assert_eq!(finite(text), None, "{text}");
        }
    }
}
