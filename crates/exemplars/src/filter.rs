//! The filter of measurements that may become exemplars.

use std::{fmt, str::FromStr};

use opentelemetry::trace::SpanContext;

/// The filter of measurements that may become exemplars: the specification's `ExemplarFilter`.
///
/// Its texts are the values of `OTEL_METRICS_EXEMPLAR_FILTER`. This crate does not read that
/// variable; a program can.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Filter {
    /// All measurements, even those outside a trace.
    AlwaysOn,
    /// No measurements.
    AlwaysOff,
    /// Measurements within a sampled span.
    #[default]
    TraceBased,
}

/// A text that is not the name of a [`Filter`].
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

    /// Whether a measurement within this span may become an exemplar.
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

    /// Parses a name in any case, as for all variables of OpenTelemetry.
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
    fn a_printed_filter_can_be_parsed() {
        for filter in Filter::ALL {
            assert_eq!(filter.to_string().parse(), Ok(filter));
        }
        assert_eq!("Trace_Based".parse(), Ok(Filter::TraceBased));
        assert_eq!("with_sampled_trace".parse::<Filter>(), Err(UnknownFilter));
        assert_eq!("".parse::<Filter>(), Err(UnknownFilter));
        assert_eq!(Filter::default().to_string(), "trace_based");
    }
}
