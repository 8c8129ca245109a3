//! The program: the process.

use std::process::ExitCode;

/// Faster than the system's allocator, and returns freed memory to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chassis::process::service(clap::command!(), admission::run)
}
