//! The program that checks and prepares the start of the stack.

use std::{
    io::{Write as _, stderr},
    process::ExitCode,
};

use preflight::Config;

fn main() -> ExitCode {
    match preflight::run(&Config::read()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // If stderr is closed, the exit code still reports the failure.
            let _ = writeln!(stderr(), "preflight: {error:#}");
            ExitCode::FAILURE
        }
    }
}
