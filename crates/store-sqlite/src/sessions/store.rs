//! Opening and closing, and the trait.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::{Namespace, SessionKey, Timestamp, Ttl};
use reveille_store::{Condition, Entry, Etag, Refused, Sessions, StoreError, Usage, Write};

use super::entries::read;
use super::migrations::STEPS;
use super::state::Shelves;
use crate::OpenError;
use crate::engine::{Activity, Found, Readers, Writer, WriterThread, connect, lock, look};
use crate::migrations::migrate;

/// "RvSs": what the file says it is.
const APPLICATION: i32 = 0x5276_5373;

/// The embedded session store. One process at a time may have a database.
#[derive(Debug)]
pub struct SqliteSessions {
    writer: Writer<Shelves>,
    readers: Readers,
    // Declared after the senders: the thread ends once they are gone.
    thread: WriterThread,
}

impl SqliteSessions {
    /// What is there, without changing anything.
    pub fn look(path: &Path) -> Result<Found, OpenError> {
        look(path, STEPS.len())
    }

    /// Opens a database, creating and migrating it as needed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let mut connection = connect(path)?;
        migrate(&mut connection, (&STEPS, APPLICATION))?;
        let (writer, thread, ended) = Writer::start(Shelves::load(connection)?)?;
        let readers = Readers::start(path)?;
        Ok(Self { writer, readers, thread: WriterThread::new(thread, ended, lock) })
    }

    /// Brings a database to this version's schema. Returns the version it had and the one it has.
    pub fn migrate(path: &Path) -> Result<(usize, usize), OpenError> {
        let _lock = lock(path)?;
        let steps = migrate(&mut connect(path)?, (&STEPS, APPLICATION))?;
        Ok((STEPS.len() - steps, STEPS.len()))
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

    /// Waits until the writer has ended and the database is free for another process.
    pub fn close(self) {
        let Self { writer, readers, thread } = self;
        drop(writer);
        drop(readers);
        thread.join();
    }
}

#[async_trait]
impl Sessions for SqliteSessions {
    async fn get(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| read(connection, &key, now)).await
    }

    async fn set(&self, write: Write, now: Timestamp) -> Result<(), Refused> {
        self.writer.write_or_refuse(move |shelves| shelves.set(&write, now)).await
    }

    async fn delete(
        &self,
        key: &SessionKey,
        condition: Condition,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let key = key.clone();
        self.writer.write_or_refuse(move |shelves| shelves.delete(&key, &condition, now)).await
    }

    async fn touch(
        &self,
        key: &SessionKey,
        ttl: Ttl,
        condition: Condition,
        now: Timestamp,
    ) -> Result<Etag, Refused> {
        let key = key.clone();
        self.writer
            .write_or_refuse(move |shelves| shelves.touch(&key, (ttl, &condition), now))
            .await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.writer.write_or_refuse(|shelves| shelves.probe()).await?;
        let some = SessionKey::parse("ready").map_err(|_| StoreError::Busy)?;
        self.get(&some, Timestamp::EPOCH).await.map(drop)
    }

    async fn upkeep(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.writer.write(move |shelves| shelves.sweep(now)).await
    }

    async fn usage(&self) -> Result<Option<Vec<(Namespace, Usage)>>, StoreError> {
        self.writer.write(|shelves| Ok(Some(shelves.usage()))).await
    }
}

#[cfg(test)]
mod tests {
    use reveille_model::{Namespace, SessionKey, Timestamp, Ttl};
    use reveille_store::{Condition, Quota, Refused, Sessions, StoreError, Write};

    use super::SqliteSessions;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn key(number: usize) -> SessionKey {
        SessionKey::parse(&number.to_string()).unwrap()
    }

    async fn set(store: &SqliteSessions, number: usize) -> Result<(), Refused> {
        let write = Write {
            key: key(number),
            value: vec![7; 3_000].into(),
            ttl: Ttl::Seconds(60),
            namespace: Namespace::parse("late").unwrap(),
            quota: Quota::default(),
            condition: Condition::None,
        };
        store.set(write, NOW).await
    }

    async fn pages_max(store: &SqliteSessions, pages: u32) {
        let set = move |shelves: &mut super::Shelves| {
            shelves
                .connection
                .pragma_update(None, "max_page_count", pages)
                .map_err(|error| crate::codec::store_error(&error))
        };
        store.writer.write(set).await.unwrap();
    }

    /// A database may not grow beyond its pages: SQLite fails as it does on a full disk.
    #[tokio::test]
    async fn a_full_disk_refuses_loses_nothing_and_heals() {
        let folder = std::env::temp_dir().join(format!("reveille-{}-full-2", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = SqliteSessions::open(&folder.join("sessions.db")).unwrap();
        pages_max(&store, 60).await;
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        for number in 0..200 {
            match set(&store, number).await {
                Ok(()) => written.push(number),
                Err(Refused::Store(StoreError::Unavailable(_))) => refused.push(number),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(written.len() > 5 && refused.len() > 5, "{written:?} {refused:?}");
        assert!(matches!(store.get(&key(refused[0]), NOW).await, Ok(None)));
        let usage = store.usage().await.unwrap().unwrap();
        assert_eq!(usage[0].1.entries, written.len() as u64);
        pages_max(&store, 100_000).await;
        set(&store, 999).await.expect("there is room again, without a restart");
        for number in written {
            assert_eq!(store.get(&key(number), NOW).await.unwrap().unwrap().value, [7; 3_000][..]);
        }
        store.close();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_writer_that_panics_is_noticed() {
        let folder = std::env::temp_dir().join(format!("reveille-{}-panics-2", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = SqliteSessions::open(&folder.join("sessions.db")).unwrap();
        let ended = store.writer_ended();
        let panics = |_: &mut super::Shelves| -> Result<(), StoreError> { panic!("planted") };
        assert!(matches!(store.writer.write(panics).await, Err(StoreError::Unavailable(_))));
        ended.await;
        assert!(set(&store, 1).await.is_err());
        assert!(store.ready().await.is_err());
        drop(store);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
