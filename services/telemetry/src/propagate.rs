//! Trace context across process boundaries: W3C Trace Context and W3C Baggage.
//!
//! One file per carrier, functions without state. gRPC metadata are HTTP/2 headers, so both
//! protocols share a carrier.

pub mod kafka;

pub(crate) mod headers;
pub(crate) mod w3c;
