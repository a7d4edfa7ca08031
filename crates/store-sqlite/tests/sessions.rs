//! SQLite keeps the contract of the session store, what it says is on disk is there after a restart, and its file does not grow for ever.
#![cfg(test)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use reveille_model::{Namespace, SessionKey, Timestamp, Ttl};
use reveille_store::contract::sessions::{World, run};
use reveille_store::{Condition, Quota, Sessions, Usage, Write};
use reveille_store_sqlite::{OpenError, SqliteSessions, SqliteStore};

/// An empty directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn open(&self, name: &str) -> SqliteSessions {
        SqliteSessions::open(&self.0.join(format!("{name}.db"))).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

struct Told {
    store: SqliteSessions,
    now: AtomicI64,
}

#[async_trait]
impl World for Told {
    fn store(&self) -> &dyn Sessions {
        &self.store
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now.load(Ordering::Relaxed))
    }

    async fn pass(&self, seconds: u32) {
        self.now.fetch_add(i64::from(seconds) * 1_000, Ordering::Relaxed);
    }
}

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

fn write(key: &str, value: Vec<u8>) -> Write {
    Write {
        key: SessionKey::parse(key).unwrap(),
        value: value.into(),
        ttl: Ttl::Seconds(60),
        namespace: Namespace::default_one(),
        quota: Quota::default(),
        condition: Condition::None,
    }
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let dir = Dir::new("sessions-contract");
    let world = async |name: &str| {
        let store = dir.open(&name.replace(' ', "-"));
        Arc::new(Told { store, now: AtomicI64::new(NOW.as_ms()) }) as Arc<dyn World>
    };
    run(world).await;
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_counted() {
    let dir = Dir::new("sessions-restart");
    let store = dir.open("sessions");
    for number in 0..10 {
        store.set(write(&number.to_string(), vec![number; 100]), NOW).await.unwrap();
    }
    store.delete(&SessionKey::parse("3").unwrap(), Condition::None, NOW).await.unwrap();
    store.ready().await.unwrap();
    assert!(matches!(SqliteSessions::open(&dir.0.join("sessions.db")), Err(OpenError::InUse)));
    store.close();
    let store = dir.open("sessions");
    let expected = Usage { entries: 9, bytes: 9 * 101 };
    assert_eq!(store.usage().await.unwrap(), Some(vec![(Namespace::default_one(), expected)]));
    for number in 0..10 {
        let entry = store.get(&SessionKey::parse(&number.to_string()).unwrap(), NOW).await.unwrap();
        assert_eq!(
            entry.map(|entry| entry.value.to_vec()),
            (number != 3).then(|| vec![number; 100])
        );
    }
    assert_eq!(SqliteSessions::migrate(&dir.0.join("other.db")).unwrap(), (0, 1));
    assert_eq!(SqliteSessions::migrate(&dir.0.join("other.db")).unwrap(), (1, 1));
}

#[tokio::test]
async fn a_file_is_for_its_owner_and_for_one_kind_of_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new("sessions-kinds");
    let store = dir.open("sessions");
    store.set(write("k", vec![1]), NOW).await.unwrap();
    for name in ["sessions.db", "sessions.db-wal"] {
        let mode = std::fs::metadata(dir.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    store.close();
    let push = SqliteStore::open(&dir.0.join("sessions.db"), NOW);
    assert!(matches!(push, Err(OpenError::Another)));
    SqliteStore::open(&dir.0.join("push.db"), NOW).unwrap().close();
    assert!(matches!(SqliteSessions::open(&dir.0.join("push.db")), Err(OpenError::Another)));
}

/// Rounds of new entries, of which those of the round before have ended: what the file has grown to after a few rounds, it stays at.
#[tokio::test]
async fn under_constant_churn_the_file_stays_as_large() {
    let dir = Dir::new("sessions-churn");
    let store = Arc::new(dir.open("sessions"));
    let mut sizes = Vec::new();
    for round in 0..30_u32 {
        let now = NOW.plus(reveille_model::Duration::from_s(60 * round));
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..1_000 {
            let store = Arc::clone(&store);
            let length = 100 + (number * 37 + round * 11) % 3_000;
            let write = write(&format!("{round}:{number}"), vec![7; length as usize]);
            writes.spawn(async move { store.set(write, now).await });
        }
        assert!(writes.join_all().await.iter().all(Result::is_ok));
        while store.upkeep(now).await.unwrap() > 0 {}
        let usage = store.usage().await.unwrap().unwrap();
        assert_eq!(usage[0].1.entries, 1_000);
        // The log is written back into the file every so many pages: both count.
        let size = |name: &str| std::fs::metadata(dir.0.join(name)).unwrap().len();
        sizes.push(size("sessions.db") + size("sessions.db-wal"));
    }
    let (early, late) = (sizes[..15].iter().max().unwrap(), sizes[15..].iter().max().unwrap());
    assert!(late * 10 <= early * 11, "{early} became {late} bytes");
}
