//! What may depend on what.

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
    /// `None` where the crate itself uses it, else `dev` or `build`.
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

/// The rows of the table in ARCHITECTURE.md: what each crate uses, and what `tests of` it use.
fn rows() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md"))?;
    let (_, table) = text
        .split_once("\n| crate | uses |\n|---|---|\n")
        .context("no table")?;
    let names = |cell: &str| -> BTreeSet<String> {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(ToOwned::to_owned).collect()
    };
    let mut rows = BTreeMap::new();
    for line in table.lines().take_while(|line| line.starts_with('|')) {
        let (crates, used) = line
            .trim_matches('|')
            .split_once('|')
            .with_context(|| format!("not two cells: {line}"))?;
        let of = if crates.contains("tests of") {
            "tests of "
        } else {
            ""
        };
        for name in names(crates) {
            let is_new = rows.insert(format!("{of}{name}"), names(used)).is_none();
            ensure!(is_new, "{of}{name} has two rows");
        }
    }
    Ok(rows)
}

fn table(all: &[Package]) -> anyhow::Result<()> {
    /// What the tests of every crate may use.
    const OF_TESTS: [&str; 2] = ["e2e", "testing"];
    let mut rows = rows()?;
    for package in all {
        let name = &package.name;
        let allowed = rows
            .remove(name)
            .with_context(|| format!("{name} has no row"))?;
        let of_tests = rows.remove(&format!("tests of {name}")).unwrap_or_default();
        let (mut used, mut used_by_tests) = (BTreeSet::new(), BTreeSet::new());
        for (_, dependency) in package.own(all) {
            let other = dependency.name.clone();
            if dependency.kind.as_deref() == Some("dev") {
                used_by_tests.insert(other);
            } else {
                used.insert(other);
            }
        }
        ensure!(used == allowed, "{name} uses {used:?}");
        used_by_tests.retain(|other| {
            !used.contains(other) && other != name && !OF_TESTS.contains(&other.as_str())
        });
        ensure!(
            used_by_tests == of_tests,
            "tests of {name} use {used_by_tests:?}"
        );
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
