//! Traces, metrics and logs of a process.
//!
//! [`init`] sets the three signals up from [`Settings`]. The value it returns must be
//! [shut down](Telemetry::shutdown) before the process ends, or the last spans are lost.
//! [`grpc`] and [`http`] are tower layers that record a span and a duration for every request.
//! [`propagate`] is the one place where trace context crosses a process boundary.
//!
//! With the feature `profiles`, profiles of processor time are pushed to Pyroscope.
//!
//! A request never waits for an exporter: spans and log records go to bounded queues, which drop
//! items when they are full.

pub mod grpc;
pub mod http;
pub mod metrics;
pub mod names;
pub mod outcomes;
pub mod process;
pub mod propagate;
pub mod trace;

mod export;
mod format;
mod init;
mod profiles;
mod requests;
mod service;
mod settings;
mod stdout;
mod tasks;

pub use crate::{
    export::BadSetting,
    init::{Error, Telemetry, init},
    service::Service,
    settings::{
        Compression, Endpoint, Exporter, Headers, HistogramAggregation, LogFormat, LogSettings,
        Otlp, Protocol, STANDARD_VARIABLES, Settings, TracesSampler, specified,
    },
    stdout::around_writes,
    tasks::{spawn, spawn_blocking},
};

pub use opentelemetry::KeyValue;

use opentelemetry::trace::TraceContextExt as _;

/// The id of the trace that the current code runs in, as 32 hexadecimal digits.
///
/// `None` outside any span, or if telemetry is switched off.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    let context = opentelemetry::Context::current();
    let span = context.span();
    let span_context = span.span_context();
    span_context
        .is_valid()
        .then(|| span_context.trace_id().to_string())
}
