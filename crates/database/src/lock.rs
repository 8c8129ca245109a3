//! Lock that allows one process for each database file.
//!
//! SQLite lets several processes write to a file. But a service keeps counts of its rows in memory and sends the
//! events of the outbox. A second process would make the counts wrong and send events twice.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::OpenError;

/// The files that this process has locked.
static LOCKED: Mutex<Option<HashMap<PathBuf, Weak<File>>>> = Mutex::new(None);

/// Locks a database for this process, with a lock file beside it that holds the process id.
///
/// The lock ends with the last copy of the returned handle, or with the process, even after SIGKILL. The file
/// stays. A process may open a database several times.
///
/// # Errors
/// When another process has locked it, or the file cannot be created.
pub(crate) fn lock(database: &Path) -> Result<Arc<File>, OpenError> {
    // Every path to a file must lead to the same lock.
    let database = fs::canonicalize(database).map_err(|source| cannot_lock(database, source))?;
    let path = setup::lock_file(&database);

    let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
    let locked = locked.get_or_insert_default();
    locked.retain(|_, file| file.strong_count() > 0);
    if let Some(file) = locked.get(&path).and_then(Weak::upgrade) {
        return Ok(file);
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| cannot_lock(&database, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::InUse {
                path: database,
                holder: setup::lock_holder(&path),
            });
        }
        Err(TryLockError::Error(source)) => return Err(cannot_lock(&database, source)),
    }
    write_pid(&mut file).map_err(|source| cannot_lock(&database, source))?;
    let file = Arc::new(file);
    locked.insert(path, Arc::downgrade(&file));
    Ok(file)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn cannot_lock(path: &Path, source: io::Error) -> OpenError {
    OpenError::Lock {
        path: path.to_owned(),
        source,
    }
}
