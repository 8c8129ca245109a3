//! Generates the configurations of this start: copies of the source configurations with the ports and paths in use.
//!
//! Only preflight writes to `DATA/configs`. It marks the folder with a note, and does not change a folder without it.

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
    addresses::Addresses,
    config::Config,
    findings::{Findings, Problem},
    marks,
    overlay::Overlay,
    ports::{Ports, rewrite},
    processes::Selection,
    runbooks,
};

/// The placeholders of the data folder, in the syntax of each program. Redpanda expands no variables.
const DATA: [&str; 3] = [
    "${OTELIX_DATA:-./volumes}",
    "${env:OTELIX_DATA:-./volumes}",
    "${env:OTELIX_DATA}",
];

/// The folder of Prometheus' `--web.user-assets`, below that of the configurations.
const USER_ASSETS: &str = "prometheus/user";

/// The file of the note.
const NOTE: &str = "MADE-BY-PREFLIGHT.txt";
const NOTE_TEXT: &str = "\
`preflight` generates these files at every start from the source configurations (OTELIX_CONFIGS). Change the sources:
the next start overwrites changes in this folder.
";

/// The folder of the generated configurations.
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
                "The path of the data folder has characters that configurations cannot hold: {}.",
                data.display()
            ),
            "Set OTELIX_DATA to a path of letters, digits, spaces and . _ - + @ = ~ ( ) only.",
        );
    }
    if !configs.is_dir() {
        problem(
            format!(
                "The folder of the configurations does not exist: {}.",
                configs.display()
            ),
            "Start in the project's folder, or set OTELIX_CONFIGS to the project's folder configs.",
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
                format!("{name}: the configuration {file} is missing."),
                "Restore it, or set OTELIX_CONFIGS to the project's folder configs.",
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
                    "The source configurations {configs} would be mixed with the generated ones, {made}."
                ),
                "Set OTELIX_DATA or OTELIX_CONFIGS to another folder.",
            );
            return;
        }
    }
    let is_empty = fs::read_dir(&target).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty && !target.join(NOTE).is_file() {
        problem(
            format!(
                "{} has files that preflight did not create.",
                target.display()
            ),
            "Move the files away, or set OTELIX_DATA to another folder.",
        );
    }
}

/// Whether a path needs no escaping in YAML and in properties. Some properties are lists, so a comma would split it.
fn is_plain(path: &str) -> bool {
    path.chars()
        .all(|character| character.is_alphanumeric() || "/ ._-+@=~()".contains(character))
}

/// Writes the configurations of this start. Does not touch files that are up to date.
pub(crate) fn render(
    config: &Config,
    data: &Path,
    selection: &Selection,
    addresses: &Addresses,
    overlay: &Overlay,
) -> anyhow::Result<()> {
    let Config { configs, ports, .. } = config;
    let profiles = [(marks::PROFILES, selection.has_profiles())];
    let render_one = |text: &str, path: &str| {
        render_one(&marks::remove(text, &profiles), path, ports, addresses)
    };
    let target = folder(data);
    let path = data
        .to_str()
        .context("the path of the data folder is not UTF-8")?;
    let mut wanted = files(configs)?;
    wanted.retain(|file| selection.needs(file));
    let pages = runbooks::pages(&config.runbooks)?;
    let pages: BTreeMap<_, _> = pages
        .into_iter()
        .map(|(file, page)| (Path::new(USER_ASSETS).join(file), page))
        .collect();
    let added = overlay.files(path);

    // Written first. If this start fails later, the next one still accepts the folder.
    write(&target.join(NOTE), NOTE_TEXT.as_bytes())?;
    for file in files(&target)? {
        let is_current =
            wanted.contains(&file) || pages.contains_key(&file) || added.contains_key(&file);
        if file != Path::new(NOTE) && !is_current {
            remove(&target, &file)?;
        }
    }
    for file in wanted {
        let source = configs.join(&file);
        let bytes =
            fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let rendered = match String::from_utf8(bytes) {
            Ok(text) => render_one(&text, path).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        write(&target.join(&file), &rendered)?;
    }
    for (file, text) in pages.into_iter().chain(added) {
        let text = render_one(&text, path);
        write(&target.join(&file), text.as_bytes())?;
    }
    Ok(())
}

fn render_one(text: &str, data: &str, ports: &Ports, addresses: &Addresses) -> String {
    let text = rewrite(text, |port| ports.instead_of(port));
    let text = addresses.fill(&text);
    DATA.iter()
        .fold(text, |text, variable| text.replace(variable, data))
}

/// All files below a folder, as paths relative to it.
pub(crate) fn files(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        let cannot_read = || format!("cannot read {}", path.display());
        for entry in fs::read_dir(&path).with_context(cannot_read)? {
            let entry = entry.with_context(cannot_read)?;
            let name = inner.join(entry.file_name());
            // Follows links, because some package managers make folders of links.
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                files.insert(name);
            }
        }
    }
    Ok(files)
}

/// Removes a file, and then the folders that became empty.
fn remove(target: &Path, file: &Path) -> anyhow::Result<()> {
    let path = target.join(file);
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    let inner = file.ancestors().skip(1);
    for folder in inner.filter(|folder| !folder.as_os_str().is_empty()) {
        if fs::remove_dir(target.join(folder)).is_err() {
            break; // not empty
        }
    }
    Ok(())
}

/// Writes a file atomically, unless it already has this content.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let replace = || -> anyhow::Result<()> {
        let folder = path.parent().context("the path has no parent folder")?;
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
    fn configurations_have_the_ports_and_paths_of_this_start() {
        let text = "\
path: ${OTELIX_DATA:-./volumes}/loki
directory: ${env:OTELIX_DATA:-./volumes}/otel-collector
log.dirs=${env:OTELIX_DATA}/kafka
port: 3100
url: http://127.0.0.1:9090
other: ${env:OTHER}";
        let rendered = render_one(
            text,
            "/data",
            &ports(&["--loki-port=3111"]),
            &Addresses::default(),
        );
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
    fn stale_files_are_removed_and_unchanged_files_are_not_written() {
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
        let selection = Selection::of(Broker::Redpanda, &[], false);
        let render = |port: &str| {
            let mut config = config(&[port]);
            config.configs.clone_from(&configs);
            config.runbooks.clone_from(&runbooks);
            let (addresses, overlay) = (Addresses::default(), Overlay::default());
            render(&config, &data, &selection, &addresses, &overlay).unwrap();
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
    fn a_path_that_needs_escaping_is_not_plain() {
        for path in ["/data", "/home/änn/my files (1)/x-1.0_2"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/a: b", "/a #b", "/$a", "/a\"b", "/a\nb", "/a\\b", "/a,b"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
