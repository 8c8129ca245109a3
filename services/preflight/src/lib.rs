//! What happens before anything starts: everything that would keep a process from starting is said at once
//! and in words, and what the processes share is made: folders, secrets, and configurations with the ports
//! and the paths of this start.
//!
//! It starts nothing, ends nothing, and repairs nothing that is not its own. Running it again changes nothing.

mod broker;
mod config;
mod configurations;
mod conflicts;
mod findings;
mod folders;
mod listening;
mod ports;
mod processes;
mod programs;
mod report;
mod runbooks;

use std::{fs::File, iter, path::Path};

use anyhow::Context as _;

pub use self::{
    config::Config,
    ports::{PORTS, Port},
};

// For tests, which compare what is made with what is in the repository.
#[doc(hidden)]
pub use self::ports::rewrite;

use self::{
    config::Command,
    findings::{Findings, Problem},
    processes::Selection,
};

/// Looks for problems, and prepares everything where there are none. Whether there were none is what it returns.
///
/// # Errors
/// When something goes wrong that no check foresees, such as a disk that fails.
pub fn run(config: &Config) -> anyhow::Result<bool> {
    if let Some(Command::Runbooks { folder }) = &config.command {
        runbooks::write(&config.runbooks, folder)?;
        return Ok(true);
    }
    let data = std::path::absolute(&config.data.path).context("there is no current folder")?;
    let selection = Selection::of(config.broker, &config.only);

    let mut findings = Findings::default();
    let is_writable = folders::check(&data, &selection, &mut findings);
    // Two at once would find the ports in use that the other just tries, and remove each other's files.
    let lock = is_writable.then(|| lock(&data)).transpose()?;
    programs::check(&selection, &config.path, &mut findings);
    conflicts::check(config, &mut findings);
    conflicts::check_supervisor(config, &mut findings);
    listening::check(config, &selection, &mut findings);
    configurations::check(&config.configs, &data, &selection, &mut findings);
    runbooks::check(config, &selection, &mut findings);
    check_secrets(&data, &selection, &mut findings);
    report::findings(&findings)?;
    if !findings.problems.is_empty() {
        return Ok(false);
    }

    folders::create(&data, &selection)?;
    for secret in selection.secrets() {
        secret.provide(&data)?;
    }
    configurations::render(config, &data, &selection)?;
    report::ready(&data, &selection, &config.ports)?;
    drop(lock);
    Ok(true)
}

/// Looks at the secrets that exist already.
fn check_secrets(data: &Path, selection: &Selection, findings: &mut Findings) {
    let folder = setup::check_secrets_folder(data);
    let secrets = selection.secrets().map(|secret| secret.check(data));
    for outcome in iter::once(folder).chain(secrets) {
        if let Err(setup::Unusable { what, remedy }) = outcome {
            findings.problems.push(Problem { what, remedy });
        }
    }
}

/// Waits until no other run works on this folder. It is released with the process at the latest.
fn lock(data: &Path) -> anyhow::Result<File> {
    let outcome = File::open(data).and_then(|folder| {
        folder.lock()?;
        Ok(folder)
    });
    outcome.with_context(|| format!("cannot lock {}", data.display()))
}
