//! What runs before everything else.

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
            // Whoever does not read why is told by the code.
            let _ = writeln!(stderr(), "preflight: {error:#}");
            ExitCode::FAILURE
        }
    }
}
