//! The folders of the data.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::sys::statvfs::statvfs;

use crate::{
    configurations,
    findings::{Findings, Problem},
    processes::Selection,
};

const GIB: u128 = 1 << 30;

/// What everything together may write before the oldest is removed, and some air.
const NEEDED: u128 = 2 * GIB;

/// Below this, Redpanda takes no messages (`storage_min_free_bytes`).
const NEEDED_BY_REDPANDA: u128 = 5 * GIB;

/// Makes the folder of all data, since whether that can be done is what is to be found out, and looks at what is in
/// it. Returns whether it can be used.
pub(crate) fn check(data: &Path, selection: &Selection, findings: &mut Findings) -> bool {
    let mut problem = |what: String| {
        findings.problems.push(Problem {
            what,
            remedy: "Let OTELIX_DATA be a folder that you may write to.".to_owned(),
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
        // A file without a name: it is gone with this line.
        if let Err(error) = tempfile::tempfile_in(&folder) {
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
            what: format!("Too little disk: {gib:.1} GiB are free for the data folder {data}."),
            remedy: "Make room for 2 GiB, or let OTELIX_DATA be a folder on another disk."
                .to_owned(),
        });
    } else if free < NEEDED_BY_REDPANDA && has_redpanda {
        findings.warnings.push(Problem {
            what: format!(
                "broker: {gib:.1} GiB are free for the data folder {data}; below 5 GiB, Redpanda takes no events."
            ),
            remedy: "Make room, let OTELIX_DATA be a folder on another disk, or take Apache Kafka."
                .to_owned(),
        });
    }
}

/// Makes the folders that are not there.
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
    fn what_is_too_little_for_redpanda_alone_is_a_warning() {
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
