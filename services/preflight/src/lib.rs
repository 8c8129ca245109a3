//! preflight runs before the other processes of the stack. It checks everything that would prevent a process from
//! starting, and reports all problems at once. If there is none, it creates what the processes share: folders, secrets,
//! and configurations with the ports and paths of this start.
//!
//! It does not start or stop processes, and changes only files that it has created. A second run changes nothing.

mod addresses;
mod broker;
mod config;
mod configurations;
mod conflicts;
mod databases;
mod findings;
mod folders;
mod listening;
mod marks;
mod overlay;
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

// For tests, which compare the generated configurations with the sources.
#[doc(hidden)]
pub use self::ports::rewrite;

use self::{
    addresses::Addresses,
    config::Command,
    findings::{Findings, Problem},
    processes::Selection,
};

/// Checks for problems and, if there is none, prepares the start. Returns whether there was none.
///
/// # Errors
/// When an operation fails that no check covers, for example because of a disk error.
pub fn run(config: &Config) -> anyhow::Result<bool> {
    if let Some(Command::Runbooks { folder }) = &config.command {
        runbooks::write(&config.runbooks, folder)?;
        return Ok(true);
    }
    let data = std::path::absolute(&config.data.path).context("cannot get the current folder")?;
    let selection = Selection::of(config.broker, &config.only, config.profiles);

    let mut findings = Findings::default();
    let is_writable = folders::check(&data, &selection, &mut findings);
    // Two concurrent runs would report each other's test listeners as ports in use, and remove each other's files.
    let lock = is_writable.then(|| lock(&data)).transpose()?;
    programs::check(&selection, &config.path, &mut findings);
    conflicts::check(config, &mut findings);
    conflicts::check_supervisor(config, &mut findings);
    let is_alone = listening::check(config, &selection, &mut findings);
    if is_alone {
        databases::check(&data, &selection, &mut findings);
    }
    let addresses = Addresses::check(config, &selection, &mut findings);
    configurations::check(&config.configs, &data, &selection, &mut findings);
    let overlay = overlay::check(config, &addresses, &mut findings);
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
    configurations::render(config, &data, &selection, &addresses, &overlay)?;
    report::ready(&data, &selection, &config.ports, &addresses)?;
    drop(lock);
    Ok(true)
}

/// Checks the secrets that already exist.
fn check_secrets(data: &Path, selection: &Selection, findings: &mut Findings) {
    let folder = setup::check_secrets_folder(data);
    let secrets = selection.secrets().map(|secret| secret.check(data));
    for outcome in iter::once(folder).chain(secrets) {
        if let Err(setup::Unusable { what, remedy }) = outcome {
            findings.problems.push(Problem { what, remedy });
        }
    }
}

/// Locks the data folder. Waits while another run holds the lock. The system releases it when the process ends.
fn lock(data: &Path) -> anyhow::Result<File> {
    let outcome = File::open(data).and_then(|folder| {
        folder.lock()?;
        Ok(folder)
    });
    outcome.with_context(|| format!("cannot lock {}", data.display()))
}
