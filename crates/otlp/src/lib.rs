//! Receiver of OpenTelemetry data: OTLP over gRPC and HTTP, in protobuf and JSON.
//!
//! A [`Receiver`] decodes and checks requests, and hands them to a [`Sink`]. Its answers follow the
//! [OTLP specification](https://opentelemetry.io/docs/specs/otlp/). The memory for requests under way
//! is bounded: under pressure, clients are told to retry.
//!
//! `cargo run -p otlp --example count` is a small receiver.
//!
//! gRPC requests are read here instead of by tonic's server, because OTLP asks for things that tonic
//! decides on its own. tonic answers a message above the limit with `OUT_OF_RANGE`, which OTLP clients
//! retry for ever, and a malformed one with `INTERNAL`. It also buffers messages before any code of
//! its user runs, so the buffers of all connections together would have no bound.

mod body;
mod check;
mod export;
mod failure;
mod file;
mod gate;
mod grpc;
mod http;
pub mod json;
mod parts;
mod receiver;
mod rest;
mod sink;
mod size;
pub mod wire;

pub use crate::{
    export::{Signal, UnknownSignal, data_points},
    failure::{Denial, Refusal},
    file::{Import, Problem},
    http::is_local,
    receiver::{Limits, Receiver, denied},
    rest::read_rest,
    sink::{Accepted, Busy, Sink},
};
