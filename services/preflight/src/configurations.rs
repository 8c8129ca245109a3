//! The configurations, as they are written by hand, with the ports and the paths of this start.
//!
//! `DATA/configs` is written here alone: a note in it says so, and without that note nothing in it is touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::{
    config::Config,
    findings::{Findings, Problem},
    ports::{Ports, rewrite},
    processes::Selection,
    runbooks,
};

/// How the configurations name the data folder, each as its program understands it. Redpanda understands none.
const DATA: [&str; 3] = [
    "${OTELIX_DATA:-./volumes}",
    "${env:OTELIX_DATA:-./volumes}",
    "${env:OTELIX_DATA}",
];

/// The folder of Prometheus' `--web.user-assets`, below that of the configurations.
const USER_ASSETS: &str = "prometheus/user";

/// The note's file.
const NOTE: &str = "MADE-BY-PREFLIGHT.txt";
const NOTE_TEXT: &str = "\
Made by `preflight` at every start, from the folder of the configurations (OTELIX_CONFIGS). Change those: what is
changed, added or removed here is gone at the next start.
";

/// Where they are put.
pub(crate) fn folder(data: &Path) -> PathBuf {
    data.join("configs")
}

pub(crate) fn check(configs: &Path, data: &Path, selection: &Selection, findings: &mut Findings) {
    let mut problem = |what: String, remedy: &str| {
        findings.problems.push(Problem {
            what,
            remedy: remedy.to_owned(),
        });
    };
    if data.to_str().is_none_or(|path| !is_plain(path)) {
        problem(
            format!(
                "The configurations cannot hold the path of the data folder, {}.",
                data.display()
            ),
            "Let OTELIX_DATA be a path of letters, digits, spaces and . _ - + @ = ~ ( ) alone.",
        );
    }
    if !configs.is_dir() {
        problem(
            format!(
                "There is no folder of configurations {}.",
                configs.display()
            ),
            "Start in the project's folder, or let OTELIX_CONFIGS be its folder configs.",
        );
        return;
    }
    for process in selection.iter() {
        let Some(file) = process.configuration.map(|file| configs.join(file)) else {
            continue;
        };
        if !file.is_file() {
            let (name, file) = (process.name, file.display());
            problem(
                format!("{name}: its configuration {file} is missing."),
                "Get it back, or let OTELIX_CONFIGS be the project's folder configs.",
            );
        }
    }
    let target = folder(data);
    if let (Ok(configs), Ok(data)) = (configs.canonicalize(), data.canonicalize()) {
        let made = folder(&data);
        if made.starts_with(&configs) || configs.starts_with(&made) {
            let (configs, made) = (configs.display(), made.display());
            problem(
                format!(
                    "The configurations {configs} would be mixed with what is made of them, {made}."
                ),
                "Let OTELIX_DATA or OTELIX_CONFIGS be another folder.",
            );
            return;
        }
    }
    let is_empty = fs::read_dir(&target).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty && !target.join(NOTE).is_file() {
        problem(
            format!("{} has files of somebody else in it.", target.display()),
            "Move them away, or let OTELIX_DATA be another folder.",
        );
    }
}

/// Whether a path means itself, in YAML and in properties, of which some are lists.
fn is_plain(path: &str) -> bool {
    path.chars()
        .all(|character| character.is_alphanumeric() || "/ ._-+@=~()".contains(character))
}

/// Writes the configurations of this start. Files that are up to date stay untouched.
pub(crate) fn render(config: &Config, data: &Path, selection: &Selection) -> anyhow::Result<()> {
    let Config { configs, ports, .. } = config;
    let target = folder(data);
    let path = data.to_str().context("the data folder's path is no text")?;
    let mut wanted = files(configs)?;
    wanted.retain(|file| selection.needs(file));
    let pages = runbooks::pages(&config.runbooks)?;
    let pages: BTreeMap<_, _> = pages
        .into_iter()
        .map(|(file, page)| (Path::new(USER_ASSETS).join(file), page))
        .collect();

    // First of all: without it, the next start would take the files for somebody else's.
    write(&target.join(NOTE), NOTE_TEXT.as_bytes())?;
    for file in files(&target)? {
        if file != Path::new(NOTE) && !wanted.contains(&file) && !pages.contains_key(&file) {
            remove(&target, &file)?;
        }
    }
    for file in wanted {
        let source = configs.join(&file);
        let bytes =
            fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let rendered = match String::from_utf8(bytes) {
            Ok(text) => render_one(&text, path, ports).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        write(&target.join(&file), &rendered)?;
    }
    for (file, page) in pages {
        let page = render_one(&page, path, ports);
        write(&target.join(&file), page.as_bytes())?;
    }
    Ok(())
}

fn render_one(text: &str, data: &str, ports: &Ports) -> String {
    let text = rewrite(text, |port| ports.instead_of(port));
    DATA.iter()
        .fold(text, |text, variable| text.replace(variable, data))
}

/// All files below a folder, by their paths in it.
pub(crate) fn files(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        let cannot_read = || format!("cannot read {}", path.display());
        for entry in fs::read_dir(&path).with_context(cannot_read)? {
            let entry = entry.with_context(cannot_read)?;
            let name = inner.join(entry.file_name());
            // What a link leads to counts: some package managers make folders of links.
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                files.insert(name);
            }
        }
    }
    Ok(files)
}

/// Removes a file, and the folders that are empty without it.
fn remove(target: &Path, file: &Path) -> anyhow::Result<()> {
    let path = target.join(file);
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    let inner = file.ancestors().skip(1);
    for folder in inner.filter(|folder| !folder.as_os_str().is_empty()) {
        if fs::remove_dir(target.join(folder)).is_err() {
            break; // there is more in it
        }
    }
    Ok(())
}

/// Puts a file in its place as a whole, unless it is there already.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let replace = || -> anyhow::Result<()> {
        let folder = path.parent().context("it is in no folder")?;
        fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        let readable = Permissions::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    replace().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::broker::Broker;

    fn config(arguments: &[&str]) -> Config {
        let arguments = [&["preflight"], arguments].concat();
        Config::try_parse_from(arguments).unwrap()
    }

    fn ports(arguments: &[&str]) -> Ports {
        let arguments = [&["preflight"], arguments].concat();
        Config::try_parse_from(arguments).unwrap().ports
    }

    #[test]
    fn ports_and_paths_are_those_of_this_start() {
        let text = "\
path: ${OTELIX_DATA:-./volumes}/loki
directory: ${env:OTELIX_DATA:-./volumes}/otel-collector
log.dirs=${env:OTELIX_DATA}/kafka
port: 3100
url: http://127.0.0.1:9090
other: ${env:OTHER}";
        let rendered = render_one(text, "/data", &ports(&["--loki-port=3111"]));
        let expected = "\
path: /data/loki
directory: /data/otel-collector
log.dirs=/data/kafka
port: 3111
url: http://127.0.0.1:9090
other: ${env:OTHER}";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn what_is_no_longer_there_is_removed_and_what_is_right_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (configs, data) = (folder.path().join("configs"), folder.path().join("data"));
        let runbooks = folder.path().join("runbooks");
        fs::create_dir(&runbooks).unwrap();
        fs::write(runbooks.join("odd.md"), "# Odd\n\nAsk 127.0.0.1:3100.\n").unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = configs.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let made = |name: &str| fs::read(folder.path().join("data/configs").join(name)).ok();
        write("a/b/c.yaml", b"port: 3100");
        write("a/d", b"\xff 127.0.0.1:3100");
        write("e", b"");
        let selection = Selection::of(Broker::Redpanda, &[]);
        let render = |port: &str| {
            let mut config = config(&[port]);
            config.configs.clone_from(&configs);
            config.runbooks.clone_from(&runbooks);
            render(&config, &data, &selection).unwrap();
        };
        render("--loki-port=1");
        assert_eq!(made("a/b/c.yaml").unwrap(), b"port: 1");
        assert_eq!(made("a/d").unwrap(), b"\xff 127.0.0.1:3100");
        let before = fs::metadata(data.join("configs/e")).unwrap();

        // A file becomes a folder, and a folder a file.
        fs::remove_dir_all(configs.join("a/b")).unwrap();
        fs::remove_file(configs.join("a/d")).unwrap();
        write("a/b", b"port: 3100");
        write("a/d/f", b"port: 3100");
        render("--loki-port=2");
        assert_eq!(made("a/b").unwrap(), b"port: 2");
        let page = made("prometheus/user/runbooks/odd.html").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("<p>Ask 127.0.0.1:2.</p>"), "{page}");
        assert_eq!(made("a/d/f").unwrap(), b"port: 2");
        let names: Vec<_> = files(&data.join("configs")).unwrap().into_iter().collect();
        assert_eq!(
            names,
            [
                "MADE-BY-PREFLIGHT.txt",
                "a/b",
                "a/d/f",
                "e",
                "prometheus/user/runbooks/odd.html"
            ]
            .map(PathBuf::from)
        );
        let after = fs::metadata(data.join("configs/e")).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    }

    #[test]
    fn a_path_that_would_mean_something_else_is_not_plain() {
        for path in ["/data", "/home/änn/my files (1)/x-1.0_2"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/a: b", "/a #b", "/$a", "/a\"b", "/a\nb", "/a\\b", "/a,b"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
