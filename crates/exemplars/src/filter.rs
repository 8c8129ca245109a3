//! Which measurements may become exemplars: the specification's `ExemplarFilter`.

use std::{fmt, str::FromStr};

use opentelemetry::trace::SpanContext;

/// Which measurements are offered to the reservoirs: the specification's `ExemplarFilter`.
///
/// Parses from, and prints as, the values of `OTEL_METRICS_EXEMPLAR_FILTER`. Nothing here reads
/// that variable: to do so is for the program.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Filter {
    /// All, also those outside a trace.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// Those made within a span that is sampled.
    #[default]
    TraceBased,
}

/// A text that names no [`Filter`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an exemplar filter is always_on, always_off or trace_based")]
pub struct UnknownFilter;

impl Filter {
    const ALL: [Self; 3] = [Self::AlwaysOn, Self::AlwaysOff, Self::TraceBased];

    const fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysOn => "always_on",
            Self::AlwaysOff => "always_off",
            Self::TraceBased => "trace_based",
        }
    }

    /// Whether a measurement made within this span may become an exemplar.
    #[inline]
    pub(crate) fn admits(self, span: &SpanContext) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::TraceBased => span.is_sampled() && span.is_valid(),
        }
    }
}

impl FromStr for Filter {
    type Err = UnknownFilter;

    /// The case does not matter, as everywhere in OpenTelemetry's variables.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|filter| filter.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownFilter)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        for filter in Filter::ALL {
            assert_eq!(filter.to_string().parse(), Ok(filter));
        }
        assert_eq!("Trace_Based".parse(), Ok(Filter::TraceBased));
        assert_eq!("with_sampled_trace".parse::<Filter>(), Err(UnknownFilter));
        assert_eq!("".parse::<Filter>(), Err(UnknownFilter));
        assert_eq!(Filter::default().to_string(), "trace_based");
    }
}
