//! Lock files of databases. Each names the process that has locked it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

/// The lock file beside a database, such as `user.db.lock`.
#[must_use]
pub fn lock_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// A description of the process that has locked this lock file.
#[must_use]
pub fn lock_holder(lock: &Path) -> String {
    let text = fs::read_to_string(lock).unwrap_or_default();
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("another process (pid {pid})"),
        // The process has not written its id yet.
        Err(_) => "another process".to_owned(),
    }
}

/// A description of the process that uses a database; `None` if no process has locked it.
#[must_use]
pub fn database_holder(database: &Path) -> Option<String> {
    let lock = lock_file(&database.canonicalize().ok()?);
    // The lock of this check ends with the file. Shared locks let two checks run at the same time.
    match File::open(&lock).ok()?.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(lock_holder(&lock)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_locked_database_has_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        assert_eq!(database_holder(&database), None);
        fs::write(&database, "").unwrap();
        assert_eq!(database_holder(&database), None);
        let lock = File::create(folder.path().join("x.db.lock")).unwrap();
        assert_eq!(database_holder(&database), None);
        lock.lock().unwrap();
        let holder = database_holder(&database);
        assert_eq!(holder.as_deref(), Some("another process"));
        fs::write(lock_file(&database), "4711\n").unwrap();
        let holder = database_holder(&database);
        assert_eq!(holder.as_deref(), Some("another process (pid 4711)"));
    }
}
