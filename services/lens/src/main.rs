//! The program: the service, and the commands that talk to a running one.

use std::process::ExitCode;

/// Faster than the system's allocator, and returns freed memory to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(command) = lens::Command::read() {
        return chassis::process::main(command.run());
    }
    let command = lens::Command::describe(clap::command!());
    chassis::process::service(command, lens::run)
}
