//! Harness for tests and benchmarks that run the real processes together.
//!
//! Processes listen on ports that the system chooses, which the harness reads from their logs. Their
//! data goes to a temporary folder.

pub mod browser;
pub mod cluster;
pub mod collector;
pub mod compare;
pub mod compose;
pub mod long;
pub mod measure;
pub mod mixed;
pub mod process;
pub mod samples;
pub mod stack;
pub mod system;

pub use crate::{
    collector::Collector,
    process::{Process, binary},
    stack::Stack,
    system::System,
};
