//! What goes wrong: at opening, and in a transaction.

use std::path::PathBuf;

use reveille_store::StoreError;
use reveille_vault::{KeyFileError, KeyId};
use sqlx::mysql::MySqlDatabaseError;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MariaDbError {
    /// The address is none.
    #[error("the address is not of the form mariadb://USER@HOST[:PORT]/DATABASE")]
    Address,
    /// It would cross the network in the clear.
    #[error(
        "the connection to {0} is not encrypted; the server needs TLS (ssl_cert, ssl_key), or the address ?ssl-mode=disabled if the network is yours alone"
    )]
    Plain(String),
    /// It cannot be reached, or refuses.
    #[error("{0}")]
    Connect(String),
    /// An answer means less than it says.
    #[error("{0}")]
    Setting(String),
    /// Nobody has made the tables.
    #[error("the database has no tables of ours yet; run `reveille migrate --config FILE`")]
    Empty,
    /// A former version made it.
    #[error(
        "the database has schema {found}, this version needs {known}; run `reveille migrate --config FILE`"
    )]
    Older {
        /// The schema of the database.
        found: i64,
        /// The one this version knows.
        known: i64,
    },
    /// A later version made it.
    #[error(
        "the database has schema {found}, this version knows up to {known}; run the version that made it, or a later one"
    )]
    Newer {
        /// The schema of the database.
        found: i64,
        /// The latest schema this version knows.
        known: i64,
    },
    /// The clocks disagree.
    #[error(
        "this machine's clock is {off_ms} ms off the database's, and {max_ms} ms are allowed; set it (NTP), windows end by it"
    )]
    Clock {
        /// By so much, in milliseconds.
        off_ms: i64,
        /// What is allowed.
        max_ms: i64,
    },
    /// More processes than there are places.
    #[error(
        "all {0} places for nodes are taken; stop one, or wait a minute for one that was killed"
    )]
    Crowded(usize),
    /// It is being filled from another store.
    #[error(
        "a store is being moved into this database; run `reveille move` again until it says that all of it is there"
    )]
    Moving,
    /// It is being filled, or was, from another store than the one that is to come.
    #[error(
        "another store was moved into this database, or is being moved; take an empty one, or drop this one and run `reveille migrate` again"
    )]
    AnotherMove,
    /// Servers are running on it.
    #[error(
        "{0} servers are running on this database; stop them first, or wait 15 s for those that were killed"
    )]
    Served(u64),
    /// There is something in it.
    #[error(
        "the database is not empty (there are rows in `{0}`); a store is moved into an empty one only"
    )]
    NotEmpty(&'static str),
    /// Another process moves the same store.
    #[error("another process has gone on with this move; run it again once that has ended")]
    Overtaken,
    /// The key it was sealed with is not in the file of keys.
    #[error("the database was sealed with the key {id}, which is not in {}; every node needs the same file (push.key_file names it)", path.display())]
    KeyMissing {
        /// The key.
        id: KeyId,
        /// The file of keys.
        path: PathBuf,
    },
    /// The file of keys cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// What is stored cannot be understood, or not be asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for MariaDbError {
    fn from(error: sqlx::Error) -> Self {
        Self::Connect(error.to_string())
    }
}

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The database says so, or does not answer.
    Sql(sqlx::Error),
    /// We do.
    Store(StoreError),
    /// Rows that were there are gone: somebody else was first, who has counted them. Counted again they would be accounted for twice.
    Overtaken,
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a step of a transaction comes to.
pub(crate) type Done<T> = Result<T, Failed>;

/// A deadlock, or another Galera node's transaction that was first.
const DEADLOCK: u16 = 1213;
/// A lock was not to be had in time.
const LOCK_WAIT: u16 = 1205;
/// Somebody else has written the same row since we looked.
const DUPLICATE: u16 = 1062;
/// A row has changed since it was read.
const CHANGED: u16 = 1020;

impl Failed {
    /// Whether nothing of the transaction has happened, and all of it may go well the next time.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        let known = [DEADLOCK, LOCK_WAIT, DUPLICATE, CHANGED];
        matches!(self, Self::Overtaken) || known.into_iter().any(|it| self.number() == Some(it))
    }

    /// Whether the database has answered, and does not take it. Else nobody knows what has happened, or it does not answer anybody.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(_)))
    }

    fn number(&self) -> Option<u16> {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
            }
            _ => None,
        }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Store(error) => error,
            Failed::Sql(error) => store_error(&error),
            Failed::Overtaken => StoreError::Busy,
        }
    }
}

/// A driver's error by what the caller can do. What the server says of a duplicate repeats the value, which may be a secret.
pub(crate) fn store_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. } => {
            StoreError::Corrupt("a column is not of its kind".to_owned())
        }
        sqlx::Error::Database(error) => {
            let number =
                error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
            let number = number.unwrap_or_default();
            StoreError::Unavailable(format!("the database refuses (error {number})"))
        }
        sqlx::Error::PoolTimedOut => {
            StoreError::Unavailable("no connection to the database was free in time".to_owned())
        }
        other => StoreError::Unavailable(format!("the database does not answer: {other}")),
    }
}

/// A stored blob that cannot be read.
pub(crate) fn corrupt() -> Failed {
    Failed::Store(StoreError::Corrupt("a list of targets cannot be read".to_owned()))
}
