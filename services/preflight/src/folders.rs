//! Checks and creates the folders of the data.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::sys::statvfs::statvfs;

use crate::{
    configurations,
    findings::{Findings, Problem},
    processes::Selection,
};

const GIB: u128 = 1 << 30;

/// Free disk in bytes that the stack needs: the retention limits of all processes together, and a reserve.
const NEEDED: u128 = 2 * GIB;

/// Free disk in bytes below which Redpanda accepts no messages (`storage_min_free_bytes`).
const NEEDED_BY_REDPANDA: u128 = 5 * GIB;

/// Checks the data folder and the folders in it, and the free disk. Creates the data folder, because that is the only
/// way to know whether it can be created. Returns whether the data folder is writable.
pub(crate) fn check(data: &Path, selection: &Selection, findings: &mut Findings) -> bool {
    let mut problem = |what: String| {
        findings.problems.push(Problem {
            what,
            remedy: "Set OTELIX_DATA to a folder that you can write to.".to_owned(),
        });
    };
    if let Err(error) = setup::create_private(data) {
        problem(format!(
            "The data folder {} cannot be created: {}.",
            data.display(),
            setup::name_user(error)
        ));
        return false;
    }
    let existing = all(data, selection)
        .into_iter()
        .filter(|folder| folder.symlink_metadata().is_ok());
    let mut is_writable = true;
    for folder in std::iter::once(data.to_owned()).chain(existing) {
        // The file has no name, and is removed when it is dropped.
        let written = setup::create_private(&folder).and_then(|()| tempfile::tempfile_in(&folder));
        if let Err(error) = written {
            problem(format!(
                "The data folder {} cannot be written to: {}.",
                folder.display(),
                setup::name_user(error)
            ));
            is_writable &= folder != data;
        }
    }
    if let Ok(disk) = statvfs(data) {
        let free = u128::from(disk.blocks_available()) * u128::from(disk.fragment_size());
        check_disk(data, free, selection.has_redpanda(), findings);
    }
    is_writable
}

fn check_disk(data: &Path, free: u128, has_redpanda: bool, findings: &mut Findings) {
    let data = data.display();
    let gib = free as f64 / GIB as f64;
    if free < NEEDED {
        findings.problems.push(Problem {
            what: format!(
                "The disk of the data folder {data} has only {gib:.1} GiB free, and 2 GiB are needed."
            ),
            remedy: "Free disk space, or set OTELIX_DATA to a folder on another disk."
                .to_owned(),
        });
    } else if free < NEEDED_BY_REDPANDA && has_redpanda {
        findings.warnings.push(Problem {
            what: format!(
                "broker: the disk of the data folder {data} has only {gib:.1} GiB free. Below 5 GiB, Redpanda accepts \
                 no events."
            ),
            remedy: "Free disk space, set OTELIX_DATA to a folder on another disk, or use Apache Kafka."
                .to_owned(),
        });
    }
}

/// Creates the missing folders.
pub(crate) fn create(data: &Path, selection: &Selection) -> anyhow::Result<()> {
    for folder in all(data, selection) {
        setup::create_private(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    Ok(())
}

fn all(data: &Path, selection: &Selection) -> Vec<PathBuf> {
    let mut folders = vec![
        data.join("logs"),
        setup::secrets_folder(data),
        configurations::folder(data),
    ];
    let own = selection.iter().filter_map(|process| process.folder);
    folders.extend(own.map(|name| data.join(name)));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_disk_with(free: u128, has_redpanda: bool) -> Findings {
        let mut findings = Findings::default();
        check_disk(Path::new("/data"), free, has_redpanda, &mut findings);
        findings
    }

    #[test]
    fn too_little_disk_is_a_problem_with_either_broker() {
        for has_redpanda in [false, true] {
            let findings = on_a_disk_with(NEEDED - 1, has_redpanda);
            assert!(findings.warnings.is_empty());
            let what = &findings.problems[0].what;
            assert!(what.contains("2.0 GiB") && what.contains("/data"), "{what}");
        }
    }

    #[test]
    fn too_little_disk_for_redpanda_only_is_a_warning() {
        let findings = on_a_disk_with(NEEDED, true);
        assert!(findings.problems.is_empty());
        let what = &findings.warnings[0].what;
        assert!(
            what.contains("Redpanda") && what.contains("5 GiB"),
            "{what}"
        );
        for (free, has_redpanda) in [(NEEDED, false), (NEEDED_BY_REDPANDA, true)] {
            let findings = on_a_disk_with(free, has_redpanda);
            assert!(findings.problems.is_empty() && findings.warnings.is_empty());
        }
    }
}
