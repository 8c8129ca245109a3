//! Tests of the dependencies between crates.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, ensure};
use e2e::compose::ROOT;
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "dependencies::each_crate_uses_what_the_architecture_says",
            async || table(&workspace()?),
        ),
        trial(
            "dependencies::libraries_use_no_service_and_services_only_in_otelix",
            async || services(&workspace()?),
        ),
    ]
}

/// A crate of the workspace.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

impl Package {
    fn is_service(&self) -> bool {
        let manifest = Path::new(&self.manifest_path);
        manifest
            .iter()
            .rev()
            .nth(2)
            .is_some_and(|folder| folder == "services")
    }

    fn own<'a>(&'a self, all: &'a [Self]) -> impl Iterator<Item = (&'a Self, &'a Dependency)> {
        self.dependencies.iter().filter_map(|dependency| {
            let package = all.iter().find(|package| package.name == dependency.name)?;
            Some((package, dependency))
        })
    }
}

fn workspace() -> anyhow::Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Workspace {
        packages: Vec<Package>,
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(ROOT)
        .output()?;
    let failed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{failed}");
    let workspace: Workspace = serde_json::from_slice(&output.stdout)?;
    Ok(workspace.packages)
}

/// The rows of ARCHITECTURE.md: the crates that a crate may depend on; `None` for all.
fn rows() -> anyhow::Result<BTreeMap<String, Option<BTreeSet<String>>>> {
    let text = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md"))?;
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[folder, _, used] = &cells[..] else {
            continue;
        };
        let folder = folder.trim_matches('`');
        let name = folder.strip_prefix("services/");
        let Some(name) = name.or_else(|| folder.strip_prefix("crates/")) else {
            continue;
        };
        let names = used.split('`').skip(1).step_by(2);
        let names: BTreeSet<_> = names.map(ToOwned::to_owned).collect();
        let used = match used {
            "every crate" => None,
            "no crate of the project" => Some(BTreeSet::new()),
            _ => {
                ensure!(!names.is_empty(), "{name} uses {used}");
                Some(names)
            }
        };
        let is_new = rows.insert(name.to_owned(), used).is_none();
        ensure!(is_new, "{name} has two rows");
    }
    Ok(rows)
}

fn table(all: &[Package]) -> anyhow::Result<()> {
    let mut rows = rows()?;
    for package in all {
        let name = &package.name;
        let row = rows.remove(name);
        let Some(expected) = row.with_context(|| format!("{name} has no row"))? else {
            continue;
        };
        let (of_tests, own): (Vec<_>, Vec<_>) = package
            .own(all)
            .map(|(_, dependency)| dependency)
            .partition(|dependency| dependency.kind.as_deref() == Some("dev"));
        let used: BTreeSet<_> = own.iter().map(|other| other.name.clone()).collect();
        ensure!(used == expected, "{name} uses {used:?}");
        for Dependency { name: other, .. } in of_tests {
            let is_allowed = used.contains(other)
                || other == name
                || matches!(other.as_str(), "conformance" | "e2e" | "testing")
                || (name.as_str(), other.as_str()) == ("auth", "user");
            ensure!(is_allowed, "tests of {name} use {other}");
        }
    }
    ensure!(rows.is_empty(), "no such crates: {rows:?}");
    Ok(())
}

fn services(all: &[Package]) -> anyhow::Result<()> {
    for package in all {
        let name = &package.name;
        for (other, dependency) in package.own(all).filter(|(other, _)| other.is_service()) {
            let is_allowed = match name.as_str() {
                "e2e" | "otelix" => true,
                _ => package.is_service() && dependency.kind.as_deref() == Some("dev"),
            };
            ensure!(is_allowed, "{name} uses {}", other.name);
        }
    }
    Ok(())
}
