//! The file of a database.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use reveille_store::StoreError;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::OpenError;

/// Takes a database for this process alone, until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::create(Path::new(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Opens a database so that a commit is on disk when it returns.
pub(crate) fn connect(path: &Path) -> Result<Connection, OpenError> {
    // Nobody else on this machine is to read it. SQLite gives its log the same mode.
    drop(File::options().write(true).create_new(true).mode(0o600).open(path));
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
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
