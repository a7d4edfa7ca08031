//! Opening and closing a database.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use reveille_model::Timestamp;
use reveille_store::StoreError;
use reveille_vault::{KeyFileError, KeyId, Vault};

use crate::codec::store_error;
use crate::engine::{Activity, Found, Readers, Tables, Writer, WriterThread, connect, lock, look};
use crate::migrations::{SCHEMA_VERSION, migrate_push};
use crate::moving::refuse_moved;
use crate::outbox::{Waiting, find_waiting};
use crate::sealing::{Progress, change_key, default_key_file, unlock};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "another reveille process is using this database; stop it first, or give this one a database of its own"
    )]
    InUse,
    /// A later version made it.
    #[error(
        "the database has schema {found}, this version knows up to {known}; run the version that made it, or a later one"
    )]
    Newer {
        /// The schema of the database.
        found: usize,
        /// The latest schema this version knows.
        known: usize,
    },
    /// It is a database of another part of ours.
    #[error(
        "the file is a database of another kind: the push server and the session store have one each"
    )]
    Another,
    /// What is in it is on its way elsewhere.
    #[error(
        "its content is being moved to another store; run `reveille move` again to go on, or with --take-back to give that up"
    )]
    Moving,
    /// What is in it is elsewhere.
    #[error(
        "its content was moved to another store: name that one in the configuration (the way back is `reveille move --take-back`)"
    )]
    Moved,
    /// The key it was sealed with is not in the file of keys.
    #[error("the database was sealed with the key {id}, which is not in {}; put that file back (push.key_file names it)", path.display())]
    KeyMissing {
        /// The key.
        id: KeyId,
        /// The file of keys.
        path: PathBuf,
    },
    /// The file of keys cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The file or its folder cannot be used.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is stored cannot be understood.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The embedded store. One process at a time may have a database.
#[derive(Debug)]
pub struct SqliteStore {
    pub(crate) writer: Writer<Tables>,
    pub(crate) readers: Readers,
    /// Seals tokens and finds them.
    pub(crate) vault: Arc<Vault>,
    /// Where the database is.
    pub(crate) path: PathBuf,
    /// The file, for looking at what is left in it. Never closed: see [`crate::residue::is_left`].
    pub(crate) file: OnceLock<&'static File>,
    // Declared after the senders: the thread ends once they are gone.
    thread: WriterThread,
}

impl SqliteStore {
    /// What is there, without changing anything.
    pub fn look(path: &Path) -> Result<Found, OpenError> {
        look(path, SCHEMA_VERSION)
    }

    /// Opens a database with the key file beside it, `FILE.key`. See [`Self::open_with_key`].
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_with_key(path, &default_key_file(path), now)
    }

    /// Opens a database, creating and migrating it as needed, and the key file with it. Wake-ups that a crashed process had claimed are due
    /// again.
    pub fn open_with_key(path: &Path, key_file: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let mut connection = connect(path)?;
        migrate_push(&mut connection)?;
        refuse_moved(&connection)?;
        let vault = Arc::new(unlock(&mut connection, key_file)?);
        let Waiting { by_head, twins } = find_waiting(&connection)?;
        let mut tables = Tables::load(connection, Arc::clone(&vault), by_head)?;
        tables.recover(&twins, now)?;
        let (writer, thread, ended) = Writer::start(tables)?;
        let readers = Readers::start(path)?;
        Ok(Self {
            writer,
            readers,
            vault,
            path: path.to_owned(),
            file: OnceLock::new(),
            thread: WriterThread::new(thread, ended, lock),
        })
    }

    /// Brings a database to this version's schema. Returns the version it had and the one it has.
    pub fn migrate(path: &Path, key_file: &Path) -> Result<(usize, usize), OpenError> {
        let _lock = lock(path)?;
        let mut connection = connect(path)?;
        let steps = migrate_push(&mut connection)?;
        unlock(&mut connection, key_file)?;
        Ok((SCHEMA_VERSION - steps, SCHEMA_VERSION))
    }

    /// Seals everything in a database with a fresh key, and takes the one before out of the file. Nobody else may have the database open.
    /// Returns the ids of both keys. Interrupted, it leaves a database that opens, and goes on when it is called again.
    pub fn change_key(
        path: &Path,
        key_file: &Path,
        progress: Progress<'_>,
    ) -> Result<(KeyId, KeyId), OpenError> {
        let _lock = lock(path)?;
        let mut connection = connect(path)?;
        migrate_push(&mut connection)?;
        refuse_moved(&connection)?;
        change_key(&mut connection, key_file, progress)
    }

    /// Returns when the writer has ended, which without a `close` means that it panicked: nothing can be stored any more, and the process
    /// should end. For one caller; to any other it never returns.
    pub fn writer_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.thread.ended()
    }

    /// What the writer did since the database was opened.
    pub fn activity(&self) -> Arc<Activity> {
        self.writer.activity()
    }

    /// Waits until the writer has ended and the database is free for another process. For a shutdown and for tests; dropping a store
    /// lets its thread end by itself.
    pub fn close(self) {
        let Self { writer, readers, thread, .. } = self;
        drop(writer);
        drop(readers);
        thread.join();
    }
}

impl From<&rusqlite::Error> for OpenError {
    fn from(error: &rusqlite::Error) -> Self {
        Self::Store(store_error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::SqliteStore;
    use reveille_model::{
        CredentialSet, DryRun, Duration, MessageType, Provider, Timestamp, Token,
    };
    use reveille_store::{
        AcceptError, Acceptance, Accepted, Item, Outbox, StoreError, TokenMessage,
    };

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    async fn accept(store: &SqliteStore, number: usize) -> Result<Accepted, AcceptError> {
        let token = format!("{number:0>4000}");
        let message = TokenMessage {
            set: CredentialSet::new(Provider::Fcm, "default").unwrap(),
            topic: None,
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            ttl: Duration::from_s(3600),
            dry_run: DryRun::No,
            tokens: vec![Token::parse(Provider::Fcm, &token).unwrap(); 4],
            unusable: 0,
        };
        let (window_end, items) = (NOW.plus(Duration::from_s(10)), vec![Item::Tokens(message)]);
        let acceptance =
            Acceptance { now: NOW, window_end, waiting_max: 1_000_000, idempotency: None, items };
        store.accept(acceptance).await
    }

    async fn pages_max(store: &SqliteStore, pages: u32) {
        let set = move |tables: &mut crate::engine::Tables| {
            tables
                .connection
                .pragma_update(None, "max_page_count", pages)
                .map_err(|error| crate::codec::store_error(&error))
        };
        store.writer.write(set).await.unwrap();
    }

    /// A database may not grow beyond its pages: SQLite fails as it does on a full disk.
    #[tokio::test]
    async fn a_full_disk_refuses_loses_nothing_and_heals() {
        let folder = std::env::temp_dir().join(format!("reveille-{}-full", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store =
            std::sync::Arc::new(SqliteStore::open(&folder.join("reveille.db"), NOW).unwrap());
        pages_max(&store, 200).await;
        let (mut accepted, mut refused) = (0_u64, 0);
        for round in 0..20 {
            let mut requests = tokio::task::JoinSet::new();
            for number in 0..10 {
                let store = std::sync::Arc::clone(&store);
                requests.spawn(async move { accept(&store, round * 10 + number).await });
            }
            for answer in requests.join_all().await {
                match answer {
                    Ok(_) => accepted += 4,
                    Err(AcceptError::Store(StoreError::Unavailable(_))) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        assert!(accepted > 0 && refused > 0, "{accepted} {refused}");
        let depth = Outbox::depth(&*store).await.unwrap();
        assert!(depth.ledger.fits());
        assert_eq!(
            depth.ledger.accepted, accepted,
            "exactly what was answered with success is there"
        );
        pages_max(&store, 100_000).await;
        accept(&store, 9_999).await.expect("there is room again, without a restart");
        assert_eq!(Outbox::depth(&*store).await.unwrap().ledger.accepted, accepted + 4);
        drop(store);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_writer_that_panics_is_noticed() {
        let folder = std::env::temp_dir().join(format!("reveille-{}-panics", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = SqliteStore::open(&folder.join("reveille.db"), NOW).unwrap();
        let ended = store.writer_ended();
        let panics =
            |_: &mut crate::engine::Tables| -> Result<(), StoreError> { panic!("planted") };
        assert!(matches!(store.writer.write(panics).await, Err(StoreError::Unavailable(_))));
        ended.await;
        assert!(matches!(
            accept(&store, 1).await,
            Err(AcceptError::Store(StoreError::Unavailable(_)))
        ));
        drop(store);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
