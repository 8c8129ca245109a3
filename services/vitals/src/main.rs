//! The program: the process, and the command `startup` that waits for all other processes.

use std::{env, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use vitals::Startup;

/// Faster than the system's allocator, and returns freed memory to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|word| word == "startup") {
        let startup = Startup::parse_from(arguments);
        return chassis::process::main(vitals::startup(&startup));
    }
    let command = clap::command!().subcommand(Startup::command());
    chassis::process::service(command, vitals::run)
}
