//! Tests of the receiver over the network.

mod answers;
mod pressure;
mod server;
mod stop;
