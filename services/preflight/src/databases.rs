//! Checks that no other process uses the databases of the services.

use std::path::Path;

use crate::{
    findings::{Findings, Problem},
    processes::Selection,
};

/// Finds databases in use, such as those of a service that was started by hand on other ports.
pub(crate) fn check(data: &Path, selection: &Selection, findings: &mut Findings) {
    for process in selection.iter() {
        let name = process.name;
        let database = data.join(format!("{name}.db"));
        if let Some(holder) = setup::database_holder(&database) {
            findings.problems.push(Problem {
                what: format!(
                    "{name}: the database {} is in use by {holder}.",
                    database.display()
                ),
                remedy: "End that process, or set OTELIX_DATA to another folder.".to_owned(),
            });
        }
    }
}
