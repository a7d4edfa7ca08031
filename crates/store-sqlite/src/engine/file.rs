//! The file of a database.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reveille_store::StoreError;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::OpenError;

/// Longest time that a connection waits for a lock of another one.
pub(crate) const BUSY_TIME_MAX: Duration = Duration::from_secs(5);

/// A file beside a database, by what its name ends with.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Whether a process has a database.
fn is_in_use(path: &Path) -> bool {
    let lock = File::open(beside(path, ".lock")).map(|file| file.try_lock());
    matches!(lock, Ok(Err(std::fs::TryLockError::WouldBlock)))
}

/// Takes a database for this process alone, until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, OpenError> {
    let file = File::create(beside(path, ".lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// What stands where a database is to be, as far as that shows without changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No file, or an empty one: opening makes it.
    Nothing,
    /// A database of an earlier schema: opening brings it to `known`, and what knows no more than `found` refuses it then.
    Older {
        /// The schema of the database.
        found: usize,
        /// The latest schema this version knows.
        known: usize,
    },
    /// Something to be opened.
    Something,
}

/// Where the header of a database has its `user_version` (file format of SQLite, section 1.3).
const USER_VERSION_AT: usize = 60;

/// Looks at the header of a file. `known` is the latest schema.
pub(crate) fn look(path: &Path, known: usize) -> Result<Found, OpenError> {
    // What was written last may not be in the file yet: only opening shows it.
    let log = beside(path, "-wal").metadata();
    if log.is_ok_and(|log| log.len() > 0) || is_in_use(path) {
        return Ok(Found::Something);
    }
    let mut header = [0; USER_VERSION_AT + 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(error.into()),
    }
    let version = header.last_chunk().copied().map_or(0, u32::from_be_bytes);
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    Ok(if found < known { Found::Older { found, known } } else { Found::Something })
}

/// Opens a database so that a commit is on disk when it returns.
pub(crate) fn connect(path: &Path) -> Result<Connection, OpenError> {
    // Nobody else on this machine is to read it. SQLite gives its log the same mode.
    drop(File::options().write(true).create_new(true).mode(0o600).open(path));
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    // A partial index otherwise makes SQLite plan a statement anew for each value it is bound to, in case the value implies the condition.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: a commit is on disk when it returns. The WAL is cut back to 64 MiB after a checkpoint; 32 MiB of pages are cached.
    connection.execute_batch(concat!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;",
        " PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;",
        // What is deleted is overwritten with zeros.
        " PRAGMA secure_delete = ON;"
    ))?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if synchronous != 2 || journal != "wal" {
        return Err(StoreError::Unavailable(
            "the database cannot be put into WAL mode with synchronous=FULL; is it on a network file system?"
                .to_owned(),
        )
        .into());
    }
    Ok(connection)
}

/// Writes a database anew, without what lies between its parts.
pub(crate) fn rewrite(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY;")
}

#[cfg(test)]
mod tests {
    use super::{Found, connect, lock, look};

    #[test]
    fn looking_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("reveille-{}-look", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("x.db");
        let names = || std::fs::read_dir(&folder).unwrap().count();
        let older = Found::Older { found: 2, known: 3 };
        assert_eq!(look(&path, 3).unwrap(), Found::Nothing);
        assert_eq!(names(), 0);
        std::fs::write(&path, "").unwrap();
        assert_eq!(look(&path, 3).unwrap(), Found::Nothing);
        let connection = connect(&path).unwrap();
        connection.execute_batch("CREATE TABLE a (b); PRAGMA user_version = 2").unwrap();
        // It is in the log only.
        assert_eq!(look(&path, 3).unwrap(), Found::Something);
        drop(connection);
        assert_eq!(look(&path, 3).unwrap(), older);
        assert_eq!(look(&path, 2).unwrap(), Found::Something);
        assert_eq!(names(), 1);
        let held = lock(&path).unwrap();
        assert_eq!(look(&path, 3).unwrap(), Found::Something);
        drop(held);
        assert_eq!(look(&path, 3).unwrap(), older);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
