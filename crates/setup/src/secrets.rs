//! Secrets: files in `DATA/secrets` that only their owner can read. A secret is made once, never
//! replaced and never printed.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rand::{TryRng as _, rngs::SysRng};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::{create_private, name_user};

/// The permissions of group and others.
const OTHERS: u32 = 0o077;

/// A secret: a text without a line break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Secret {
    /// The key that signs sessions.
    Jwt,
    /// The password of Grafana's administrator.
    GrafanaAdminPassword,
}

/// A file or folder that is not safe to use. The message has no part of the secret.
#[derive(Debug, thiserror::Error)]
#[error("{what} {remedy}")]
pub struct Unusable {
    /// The problem, a sentence that names the path.
    pub what: String,
    /// The remedy, a sentence.
    pub remedy: String,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The existing file or folder is not safe to use.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The file cannot be created.
    #[error("cannot create the secret {}", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// The folder of all secrets.
#[must_use]
pub fn folder(data: &Path) -> PathBuf {
    data.join("secrets")
}

/// Checks the mode of the folder of secrets, if it exists.
///
/// # Errors
/// When group or others can enter it.
pub fn check_folder(data: &Path) -> Result<(), Unusable> {
    let folder = folder(data);
    let Ok(metadata) = folder.metadata() else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_dir() || mode & OTHERS == 0 {
        return Ok(());
    }
    let folder = folder.display();
    Err(Unusable {
        what: format!(
            "Other users can enter the folder of the secrets: {folder} has mode {mode:o}."
        ),
        remedy: format!(
            "Run chmod 700 {folder}. If others may have read a secret, remove it: a new one is made."
        ),
    })
}

impl Secret {
    /// The secret's file, which is created if it is missing.
    ///
    /// Several programs may call this at the same time: all of them get the same secret. A file from an
    /// earlier version, which had another path, is moved here.
    ///
    /// # Errors
    /// When the file cannot be created, or when [`check_secrets_folder`](crate::check_secrets_folder) or
    /// [`Secret::check`] fails.
    pub fn provide(self, data: &Path) -> Result<PathBuf, SecretError> {
        check_folder(data)?;
        self.check(data)?;
        let path = self.path(data);
        let made = create_private(&folder(data)).and_then(|()| self.make(data, &path));
        match made {
            Ok(()) => Ok(path),
            Err(source) => Err(SecretError::Create {
                path,
                source: name_user(source),
            }),
        }
    }

    /// The file of an earlier version, if [`Self::provide`] did not move it because the new path was
    /// taken.
    #[must_use]
    pub fn former(self, data: &Path) -> Option<PathBuf> {
        self.former_path(data).filter(|path| path.exists())
    }

    /// Checks the secret's file, if it exists.
    ///
    /// # Errors
    /// When it cannot be read, when group or others can read it, or when it is too short.
    pub fn check(self, data: &Path) -> Result<(), Unusable> {
        let paths = [Some(self.path(data)), self.former_path(data)];
        paths
            .iter()
            .flatten()
            .find_map(|path| self.check_file(path))
            .unwrap_or(Ok(()))
    }

    /// The path of the secret's file.
    #[must_use]
    pub fn path(self, data: &Path) -> PathBuf {
        folder(data).join(match self {
            Self::Jwt => "jwt",
            Self::GrafanaAdminPassword => "grafana-admin-password",
        })
    }

    /// The path of the secret in earlier versions of otelix.
    fn former_path(self, data: &Path) -> Option<PathBuf> {
        (self == Self::Jwt).then(|| data.join("jwt-secret"))
    }

    /// The minimum length in bytes.
    fn least(self) -> u64 {
        match self {
            Self::Jwt => 32,
            Self::GrafanaAdminPassword => 1,
        }
    }

    /// Checks a file; `None` if it does not exist. A file in place of its folder is an error when the folder is made.
    fn check_file(self, path: &Path) -> Option<Result<(), Unusable>> {
        let unusable = |what, remedy| Some(Err(Unusable { what, remedy }));
        let metadata = match File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return None;
            }
            Err(error) => {
                return unusable(
                    format!("The secret {} cannot be read: {error}.", path.display()),
                    "Make your user its owner, or remove it: a new one is made.".to_owned(),
                );
            }
        };
        let path = path.display();
        let mode = metadata.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return unusable(
                format!("Other users can read the secret {path}: it has mode {mode:o}."),
                format!(
                    "Run chmod 600 {path}, or remove it if others may have read it: a new one is made."
                ),
            );
        }
        let (length, least) = (metadata.len(), self.least());
        if !metadata.is_file() || length < least {
            return unusable(
                format!(
                    "The secret {path} is too short, or no file: it has {length} bytes and needs \
                     {least}. An interrupted start may have left it."
                ),
                "Remove it: a new one is made.".to_owned(),
            );
        }
        Some(Ok(()))
    }

    /// Creates the file with mode 0600. It appears complete or not at all. If several programs create it,
    /// the first one wins, and the others use its file.
    fn make(self, data: &Path, path: &Path) -> io::Result<()> {
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        if let Some(former) = self.former_path(data)
            && is_moved(&former, path)?
        {
            return Ok(());
        }
        let folder = folder(data);
        let mut file = NamedTempFile::new_in(&folder)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(self.draw()?.as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => File::open(folder)?.sync_all(),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
        }
    }

    /// A new secret: 256 random bits for sessions, and 142 for the password, which people may have to type.
    fn draw(self) -> io::Result<Zeroizing<String>> {
        let (length, alphabet): (_, &[u8]) = match self {
            Self::Jwt => (64, b"0123456789abcdef"),
            Self::GrafanaAdminPassword => (
                24,
                b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            ),
        };
        let mut secret = Zeroizing::new(String::with_capacity(length));
        let mut bytes = Zeroizing::new([0; 64]);
        while secret.len() < length {
            SysRng
                .try_fill_bytes(&mut bytes[..])
                .map_err(io::Error::other)?;
            // Values beyond the alphabet are skipped, so all characters are equally likely.
            let mask = alphabet.len().next_power_of_two() - 1;
            let drawn = bytes
                .iter()
                .filter_map(|byte| alphabet.get(usize::from(*byte) & mask));
            let missing = length - secret.len();
            secret.extend(drawn.take(missing).copied().map(char::from));
        }
        Ok(secret)
    }
}

/// Moves a file if it exists, never over another one. Returns whether the target exists afterwards.
fn is_moved(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => {}
        // Another program has created the target first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    fs::remove_file(from)?;
    for folder in [to, from].into_iter().filter_map(Path::parent) {
        File::open(folder)?.sync_all()?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Barrier, thread::scope};

    use tempfile::TempDir;

    use super::*;

    /// Writes a file with a mode, at the path of a secret.
    fn write(path: &Path, text: &str, mode: u32) {
        create_private(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    /// The secrets that eight programs read which start at the same time.
    fn started_at_once(data: &TempDir) -> BTreeSet<String> {
        let barrier = Barrier::new(8);
        let start = || {
            barrier.wait();
            let path = Secret::Jwt.provide(data.path()).unwrap();
            fs::read_to_string(path).unwrap()
        };
        scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            let read = threads.into_iter().map(|thread| thread.join().unwrap());
            read.collect()
        })
    }

    #[test]
    fn secrets_are_text_of_their_length_and_differ() {
        for (secret, length) in [(Secret::Jwt, 64), (Secret::GrafanaAdminPassword, 24)] {
            let made: BTreeSet<_> = (0..50)
                .map(|_| secret.draw().unwrap().to_string())
                .collect();
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
            .map(|_| Secret::GrafanaAdminPassword.draw().unwrap().to_string())
            .collect();
        let seen: BTreeSet<_> = all.chars().collect();
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let data = tempfile::tempdir().unwrap();
        let path = Secret::Jwt.provide(data.path()).unwrap();
        assert_eq!(path, data.path().join("secrets/jwt"));
        let secret = fs::read(&path).unwrap();
        assert_eq!((secret.len(), mode(&path)), (64, 0o600));
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        Secret::Jwt.provide(data.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), secret);
    }

    #[test]
    fn programs_that_start_at_once_agree_and_leave_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(started_at_once(&data).len(), 1);
        let folder = data.path().join("secrets");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn the_secret_of_an_earlier_version_is_moved_and_stays_the_same() {
        let data = tempfile::tempdir().unwrap();
        let former = data.path().join("jwt-secret");
        let text = format!("{}\n", "x".repeat(64));
        write(&former, &text, 0o600);
        assert_eq!(started_at_once(&data), BTreeSet::from([text]));
        assert!(!former.exists());
        assert_eq!(mode(&data.path().join("secrets/jwt")), 0o600);
    }

    #[test]
    fn an_existing_secret_is_kept_and_so_is_the_file_of_an_earlier_version() {
        let data = tempfile::tempdir().unwrap();
        let former = data.path().join("jwt-secret");
        write(&former, &"x".repeat(64), 0o600);
        write(&data.path().join("secrets/jwt"), &"y".repeat(64), 0o600);
        assert_eq!(started_at_once(&data), BTreeSet::from(["y".repeat(64)]));
        // As if another program had created the file between the check and the move.
        assert!(is_moved(&former, &data.path().join("secrets/jwt")).unwrap());
        assert!(former.exists());
    }

    #[test]
    fn a_secret_that_others_can_read_is_named_and_not_changed() {
        for name in ["secrets/jwt", "jwt-secret"] {
            let data = tempfile::tempdir().unwrap();
            let path = data.path().join(name);
            for open in [0o644, 0o640, 0o620] {
                write(&path, &"x".repeat(64), open);
                let error = Secret::Jwt.provide(data.path()).unwrap_err().to_string();
                assert!(error.contains(&path.display().to_string()), "{error}");
                assert!(error.contains(&format!("{open:o}")), "{error}");
                assert!(error.contains("chmod 600"), "{error}");
                assert!(!error.contains("xxx"), "{error}");
                assert_eq!(mode(&path), open);
            }
        }
    }

    #[test]
    fn a_folder_that_others_can_enter_is_named() {
        let data = tempfile::tempdir().unwrap();
        Secret::Jwt.provide(data.path()).unwrap();
        let folder = data.path().join("secrets");
        fs::set_permissions(&folder, Permissions::from_mode(0o750)).unwrap();
        let error = Secret::Jwt.provide(data.path()).unwrap_err().to_string();
        assert!(
            error.contains("750") && error.contains("chmod 700"),
            "{error}"
        );
    }

    #[test]
    fn a_file_in_place_of_the_data_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("file");
        fs::write(&data, "").unwrap();
        let Err(SecretError::Create { path, source }) = Secret::Jwt.provide(&data) else {
            panic!("it was made");
        };
        assert_eq!(path, data.join("secrets/jwt"));
        let expected = format!("{} is a file, not a folder", data.display());
        assert_eq!(source.to_string(), expected);
    }

    #[test]
    fn a_file_that_a_crash_has_left_is_named_and_not_changed() {
        for (name, text) in [
            ("secrets/jwt", ""),
            ("secrets/jwt", "short"),
            ("jwt-secret", ""),
        ] {
            let data = tempfile::tempdir().unwrap();
            let path = data.path().join(name);
            write(&path, text, 0o600);
            let error = Secret::Jwt.provide(data.path()).unwrap_err().to_string();
            let length = format!("it has {}", text.len());
            for words in [&*path.to_string_lossy(), &length, "needs 32", "Remove it"] {
                assert!(error.contains(words), "{error}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
