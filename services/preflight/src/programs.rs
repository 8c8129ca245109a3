//! Checks that every program is on PATH.

use std::{ffi::OsStr, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    findings::{Findings, Problem},
    processes::Selection,
};

pub(crate) fn check(selection: &Selection, path: &OsStr, findings: &mut Findings) {
    for process in selection.iter() {
        let missing = process
            .programs
            .iter()
            .filter(|names| !names.iter().any(|name| is_on(path, name)));
        for names in missing {
            findings.problems.push(Problem {
                what: format!("{}: {} on PATH.", process.name, none_of(names)),
                remedy: process.source.to_owned(),
            });
        }
    }
}

fn is_on(path: &OsStr, name: &str) -> bool {
    std::env::split_paths(path).any(|folder| is_program(&folder.join(name)))
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn none_of(names: &[&str]) -> String {
    match names {
        [name] => format!("`{name}` is not"),
        _ => format!("neither `{}` is", names.join("` nor `")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_program_is_a_file_that_can_be_executed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let file = folder.path().join("loki");
        assert!(!is_on(path, "loki"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert!(!is_on(path, "loki"));
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        assert!(is_on(path, "loki"));
        fs::create_dir(folder.path().join("tempo")).unwrap();
        assert!(!is_on(path, "tempo"));
    }

    #[test]
    fn all_alternatives_are_named() {
        assert_eq!(none_of(&["loki"]), "`loki` is not");
        assert_eq!(none_of(&["a", "b"]), "neither `a` nor `b` is");
    }
}
