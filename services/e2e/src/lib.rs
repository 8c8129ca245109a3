//! The harness of tests and benchmarks that run the real processes together.
//!
//! Processes listen on ports that the system chooses and say which in their log; what they
//! store goes to a temporary folder.

pub mod backends;
pub mod browser;
pub mod collector;
pub mod compare;
pub mod compose;
pub mod measure;
pub mod process;
pub mod system;

pub use crate::{
    backends::Backends,
    collector::Collector,
    process::{Process, binary},
    system::System,
};
