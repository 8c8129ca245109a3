//! What nobody but the stack's owner may read. Once made, a secret is never replaced and never printed.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rand::{TryRng as _, rngs::SysRng};
use tempfile::NamedTempFile;

use crate::{
    processes::Selection,
    report::{Findings, Problem},
};

/// Whoever is not the owner.
const OTHERS: u32 = 0o077;

/// A secret, which is text without a line break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Secret {
    /// What sessions are signed with.
    Jwt,
    /// What Grafana's administrator signs in with.
    GrafanaAdminPassword,
}

impl Secret {
    fn path(self, data: &Path) -> PathBuf {
        folder(data).join(match self {
            Self::Jwt => "jwt",
            Self::GrafanaAdminPassword => "grafana-admin-password",
        })
    }

    /// A new one: 256 bits for sessions, 142 for the password, which people may have to type.
    fn make(self) -> anyhow::Result<String> {
        let (length, alphabet): (_, &[u8]) = match self {
            Self::Jwt => (64, b"0123456789abcdef"),
            Self::GrafanaAdminPassword => (
                24,
                b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            ),
        };
        let mut secret = String::with_capacity(length);
        let mut bytes = [0; 64];
        while secret.len() < length {
            SysRng
                .try_fill_bytes(&mut bytes)
                .context("the system has no random numbers")?;
            // All are equally likely: what is beyond the alphabet is left out and not folded into it.
            let mask = alphabet.len().next_power_of_two() - 1;
            let drawn = bytes
                .iter()
                .filter_map(|byte| alphabet.get(usize::from(*byte) & mask));
            let missing = length - secret.len();
            secret.extend(drawn.take(missing).copied().map(char::from));
        }
        Ok(secret)
    }

    /// The fewest characters that can be taken for a secret.
    fn least(self) -> u64 {
        match self {
            Self::Jwt => 32,
            Self::GrafanaAdminPassword => 1,
        }
    }
}

pub(crate) fn folder(data: &Path) -> PathBuf {
    data.join("secrets")
}

/// Looks at the secrets that there are already.
pub(crate) fn check(data: &Path, selection: &Selection, findings: &mut Findings) {
    let folder = folder(data);
    if let Ok(metadata) = folder.metadata()
        && metadata.is_dir()
        && metadata.permissions().mode() & OTHERS != 0
    {
        let mode = metadata.permissions().mode() & 0o777;
        let folder = folder.display();
        findings.problems.push(Problem {
            what: format!(
                "The folder of the secrets is open to others: {folder} has mode {mode:o}."
            ),
            remedy: format!("If nobody has used that: chmod 700 {folder}"),
        });
    }
    let problems = selection
        .secrets()
        .filter_map(|secret| check_one(secret, &secret.path(data)));
    findings.problems.extend(problems);
}

fn check_one(secret: Secret, path: &Path) -> Option<Problem> {
    let metadata = match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            return Some(Problem {
                what: format!("The secret {} cannot be read: {error}.", path.display()),
                remedy: "Make it yours, or remove it: a new one is made.".to_owned(),
            });
        }
    };
    let path = path.display();
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Some(Problem {
            what: format!("The secret {path} is open to others: it has mode {mode:o}."),
            remedy: format!(
                "If nobody has read it: chmod 600 {path}. Else remove it: a new one is made."
            ),
        });
    }
    if !metadata.is_file() || metadata.len() < secret.least() {
        return Some(Problem {
            what: format!("The secret {path} is none: it is too short, or no file."),
            remedy: "Remove it: a new one is made.".to_owned(),
        });
    }
    None
}

/// Makes the secrets that are not there.
pub(crate) fn create(data: &Path, selection: &Selection) -> anyhow::Result<()> {
    for secret in selection.secrets() {
        let path = secret.path(data);
        create_one(secret, &path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    Ok(())
}

/// The file appears complete and for its owner alone, or not at all; whoever is second keeps the first one's.
fn create_one(secret: Secret, path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let folder = path.parent().context("it is in no folder")?;
    let mut file = NamedTempFile::new_in(folder)?;
    let only_owner = fs::Permissions::from_mode(0o600);
    file.as_file().set_permissions(only_owner)?;
    file.write_all(secret.make()?.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => File::open(folder)?.sync_all()?,
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Barrier, thread::scope};

    use super::*;

    #[test]
    fn secrets_are_text_of_their_length_and_differ() {
        for (secret, length) in [(Secret::Jwt, 64), (Secret::GrafanaAdminPassword, 24)] {
            let made: BTreeSet<_> = (0..50).map(|_| secret.make().unwrap()).collect();
            assert_eq!(made.len(), 50);
            for text in made {
                assert_eq!(text.len(), length);
                assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            }
        }
    }

    #[test]
    fn every_character_is_drawn() {
        let all: String = (0..200)
            .map(|_| Secret::GrafanaAdminPassword.make().unwrap())
            .collect();
        let seen: BTreeSet<_> = all.chars().collect();
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_one(Secret::Jwt, &path).unwrap();
        let secret = fs::read(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        create_one(Secret::Jwt, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), secret);
        assert_eq!(check_one(Secret::Jwt, &path), None);
    }

    #[test]
    fn many_at_once_agree_on_one_and_leave_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let barrier = Barrier::new(8);
        let read: BTreeSet<_> = scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        create_one(Secret::Jwt, &path).unwrap();
                        fs::read(&path).unwrap()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(read.len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_others_can_read_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwt");
        fs::write(&path, "x".repeat(64)).unwrap();
        for mode in [0o644, 0o640, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let problem = check_one(Secret::Jwt, &path).unwrap();
            assert!(problem.what.contains(&path.display().to_string()));
            assert!(problem.what.contains(&format!("{mode:o}")), "{problem:?}");
            assert!(!format!("{problem:?}").contains("xxx"), "{problem:?}");
            let left = path.metadata().unwrap().permissions().mode();
            assert_eq!(left & 0o777, mode);
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwt");
        fs::write(&path, "short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(check_one(Secret::Jwt, &path).is_some());
        assert_eq!(check_one(Secret::GrafanaAdminPassword, &path), None);
        fs::write(&path, "").unwrap();
        assert!(check_one(Secret::GrafanaAdminPassword, &path).is_some());
    }
}
