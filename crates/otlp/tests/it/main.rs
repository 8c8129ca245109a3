//! Tests of the receiver over the network.

mod answers;
mod conformance;
mod pressure;
mod server;
mod stop;
