//! Trace context and baggage across process boundaries: W3C Trace Context, W3C Baggage and B3.
//!
//! One file per carrier. gRPC metadata are HTTP/2 headers, so both protocols share a carrier.
//! [`Propagators`] says which formats HTTP and gRPC use.

use std::{convert::Infallible, str::FromStr, sync::OnceLock};

use opentelemetry::{Context, trace::TraceContextExt as _};

pub mod kafka;

pub(crate) mod b3;
pub(crate) mod headers;
pub(crate) mod w3c;

static PROPAGATORS: OnceLock<Propagators> = OnceLock::new();

/// The formats of trace context in requests, in the order in which they are read and written. If a
/// request has several, the last one counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Propagators {
    formats: Vec<Format>,
    unknown: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    TraceContext,
    Baggage,
    B3,
    B3Multi,
}

impl Propagators {
    /// The names in the setting that are not names of propagators.
    pub(crate) fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// The propagators of this process.
    fn get() -> &'static Self {
        PROPAGATORS.get_or_init(Self::default)
    }

    fn has(&self, format: Format) -> bool {
        self.formats.contains(&format)
    }

    fn is_off(&self) -> bool {
        self.formats.is_empty()
    }
}

impl Default for Propagators {
    fn default() -> Self {
        Self {
            formats: vec![Format::TraceContext, Format::Baggage],
            unknown: Vec::new(),
        }
    }
}

/// Reads `OTEL_PROPAGATORS`. A list without a known name counts as unset; `none` switches all off.
impl FromStr for Propagators {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut formats = Vec::new();
        let mut unknown = Vec::new();
        let mut none = false;
        let names = text.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let format = match name.to_ascii_lowercase().as_str() {
                "tracecontext" => Format::TraceContext,
                "baggage" => Format::Baggage,
                "b3" => Format::B3,
                "b3multi" => Format::B3Multi,
                "none" => {
                    none = true;
                    continue;
                }
                _ => {
                    unknown.push(name.to_owned());
                    continue;
                }
            };
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        if none {
            formats.clear();
        } else if formats.is_empty() {
            formats = Self::default().formats;
        }
        Ok(Self { formats, unknown })
    }
}

/// Sets the propagators of this process. Only the first call has an effect.
pub(crate) fn install(propagators: Propagators) {
    // A second start has failed before, because the process has a subscriber already.
    let _ = PROPAGATORS.set(propagators);
}

/// Marks a context whose span has ids for logs and pages alone, because this process exports no traces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unexported;

/// Whether other processes may continue the span of this context. A span that is not exported
/// would only switch off their traces.
fn is_for_others(context: &Context) -> bool {
    context.span().span_context().is_valid() && context.get::<Unexported>().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagators_are_a_list_of_known_names() {
        let default = Propagators::default().formats;
        for (text, formats, unknown) in [
            ("", &*default, &[][..]),
            (" , ", &default, &[]),
            ("tracecontext,baggage", &default, &[]),
            ("b3", &[Format::B3], &[]),
            (
                "B3Multi, TraceContext,b3multi",
                &[Format::B3Multi, Format::TraceContext],
                &[],
            ),
            ("none", &[], &[]),
            ("b3,NONE", &[], &[]),
            ("jaeger,b3", &[Format::B3], &["jaeger"]),
            ("xray,OTTrace", &default, &["xray", "OTTrace"]),
        ] {
            let Ok(propagators) = text.parse::<Propagators>();
            assert_eq!(propagators.formats, formats, "{text}");
            assert_eq!(propagators.unknown(), unknown, "{text}");
        }
    }
}
