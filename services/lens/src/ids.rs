//! Ids of traces and spans.

use std::{fmt, str::FromStr};

/// The id of a trace.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TraceId([u8; 16]);

/// The id of a span, which is unique in its trace.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SpanId(u64);

/// The text is no id: not hexadecimal, of another length, or all zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an id has {digits} hexadecimal digits, not all zero")]
pub struct InvalidId {
    digits: usize,
}

impl TraceId {
    /// The id that is less than all others.
    pub(crate) const LEAST: Self = Self(1_u128.to_be_bytes());

    /// The id in OTLP bytes. `None` if they have another length or are all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.try_into().ok()?;
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The id as in OTLP.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// The id in OTLP bytes. `None` if they have another length or are all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_number(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The id as in OTLP.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Columns hold a number, in which 0 stands for no id.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

impl FromStr for TraceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let number = hexadecimal(text, 32).ok_or(InvalidId { digits: 32 })?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl FromStr for SpanId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let number = hexadecimal(text, 16).ok_or(InvalidId { digits: 16 })?;
        Ok(Self(number as u64))
    }
}

fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    // `from_str_radix` takes a sign too.
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16)
        .ok()
        .filter(|&number| number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written_in_hexadecimal() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        assert_eq!(trace.parse::<TraceId>().unwrap().to_string(), trace);
        assert_eq!(span.parse::<SpanId>().unwrap().to_string(), span);
        assert_eq!(
            span.to_uppercase().parse::<SpanId>().unwrap().to_string(),
            span
        );
        for text in [
            "",
            "0",
            "+7ad6b7169203331",
            "0000000000000000",
            "é7ad6b716920333",
        ] {
            assert_eq!(
                text.parse::<SpanId>(),
                Err(InvalidId { digits: 16 }),
                "{text}"
            );
        }
        assert_eq!(TraceId::from_bytes(&[1; 15]), None);
        assert_eq!(TraceId::from_bytes(&[0; 16]), None);
    }
}
