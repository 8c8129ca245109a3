//! The data folder and its mode.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use clap::Args;

/// The setting for the data folder.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct DataFolder {
    /// Folder for all data: databases, secrets, logs, configurations
    #[arg(
        id = "data",
        long = "data",
        env = "OTELIX_DATA",
        value_name = "FOLDER",
        default_value = "volumes"
    )]
    pub path: PathBuf,
}

/// Creates a folder and its missing parents, with mode 0700. Existing folders are not changed.
///
/// # Errors
/// When the system refuses. If the path is or leads through a file, the message names that file.
pub fn create_private(folder: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        let is_file = |path: &&Path| path.metadata().is_ok_and(|metadata| !metadata.is_dir());
        let Some(file) = folder.ancestors().find(is_file) else {
            return error;
        };
        let text = format!("{} is a file, not a folder", file.display());
        io::Error::new(io::ErrorKind::NotADirectory, text)
    })
}

/// Adds the user of this process to a "permission denied" error. In a container, that user is rarely
/// the owner of a folder of the host.
#[must_use]
pub fn name_user(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let user = nix::unistd::geteuid();
    let text = format!("{error}: this process runs as user {user}, which must own the folder");
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn only_a_denied_permission_names_the_user() {
        let user = nix::unistd::geteuid().to_string();
        let refused = name_user(io::ErrorKind::PermissionDenied.into());
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(
            refused.to_string().contains(&format!("user {user},")),
            "{refused}"
        );
        let other = name_user(io::ErrorKind::StorageFull.into());
        assert!(!other.to_string().contains("user"), "{other}");
    }

    #[test]
    fn all_new_folders_belong_to_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&there, open).unwrap();
        create_private(&there.join("a/b")).unwrap();
        create_private(&there.join("a/b")).unwrap();
        let mode = |name: &str| there.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode("a"), mode("a/b")], [0o700, 0o700]);
        assert_eq!(mode(""), 0o755);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("a/b")] {
            let error = create_private(&path).unwrap_err().to_string();
            let expected = format!("{} is a file, not a folder", file.display());
            assert_eq!(error, expected);
        }
    }
}
