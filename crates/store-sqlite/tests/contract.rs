//! SQLite keeps the contract, and what it says is on disk is still there after a restart.
#![cfg(test)]

use std::path::PathBuf;
use std::sync::Arc;

use reveille_model::{
    CredentialSet, DryRun, Duration, LeaseId, MessageType, Provider, Timestamp, Token,
};
use reveille_store::{
    Acceptance, Claim, Item, Keys as _, Outbox, Quarantine as _, Subscriptions, TokenMessage,
    contract,
};
use reveille_store_sqlite::{OpenError, SqliteStore};

/// An empty directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn database(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.db"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").unwrap()
}

fn acceptance(tokens: &[&str], window_end: Timestamp) -> Acceptance {
    let message = TokenMessage {
        set: set(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3600),
        dry_run: DryRun::No,
        tokens: tokens.iter().map(|text| Token::parse(Provider::Fcm, text).unwrap()).collect(),
        unusable: 0,
    };
    Acceptance {
        now: NOW,
        window_end,
        waiting_max: 1_000_000,
        idempotency: None,
        items: vec![Item::Tokens(message)],
    }
}

fn claim(now: Timestamp) -> Claim {
    Claim {
        set: set(),
        now,
        lease: LeaseId::from_random(77),
        lease_until: now.plus(Duration::from_s(60)),
        limit: 100,
        hold: Duration::from_s(3600),
    }
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let dir = Dir::new("contract");
    contract::run(|name| {
        println!("case: {name}");
        let file = dir.database(&name.replace(' ', "-"));
        Arc::new(SqliteStore::open(&file, NOW).unwrap())
    })
    .await;
}

#[tokio::test]
async fn everything_is_still_there_after_a_restart_and_claims_come_back() {
    let dir = Dir::new("restart");
    let file = dir.database("reveille");
    let end = NOW.plus(Duration::from_s(10));
    let store = SqliteStore::open(&file, NOW).unwrap();
    store.accept(acceptance(&["a", "b"], end)).await.unwrap();
    store.pause(&set(), end).await.unwrap();
    let key = store.key("windows", [7; 32]).await.unwrap();
    store.close();

    let store = SqliteStore::open(&file, NOW).unwrap();
    assert_eq!(store.key("windows", [8; 32]).await.unwrap(), key);
    assert_eq!(store.paused_until(&set()).await.unwrap(), Some(end));
    assert_eq!(Outbox::depth(&store).await.unwrap().ledger.waiting, 2);
    store.close_window(end).await;
    assert_eq!(store.claim(claim(end)).await.unwrap().len(), 2);
    store.close();

    let store = SqliteStore::open(&file, end).unwrap();
    let again = store.claim(claim(end)).await.unwrap();
    assert_eq!(again.len(), 2, "the leases of a process that is gone are given back");
    assert!(Outbox::depth(&store).await.unwrap().ledger.fits());
    let late = store.accept(acceptance(&["c"], end)).await;
    assert!(late.is_err(), "a closed window stays closed");
    store.close();
}

#[tokio::test]
async fn one_process_at_a_time_and_no_newer_schema() {
    let dir = Dir::new("open");
    let file = dir.database("reveille");
    assert_eq!(SqliteStore::migrate(&file).unwrap(), (0, 2));
    assert_eq!(SqliteStore::migrate(&file).unwrap(), (2, 2));
    let store = SqliteStore::open(&file, NOW).unwrap();
    assert!(matches!(SqliteStore::open(&file, NOW), Err(OpenError::InUse)));
    store.close();
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(raw);
    let newer = SqliteStore::open(&file, NOW);
    assert!(matches!(newer, Err(OpenError::Newer { found: 99, known: 2 })), "{newer:?}");
}

#[tokio::test]
async fn a_database_of_the_first_version_keeps_what_it_holds() {
    let dir = Dir::new("first");
    let file = dir.database("reveille");
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch(include_str!("../src/migrations/0001_start.sql")).unwrap();
    // As version 1 wrote them: a device it held for dead, one it did not, a wake-up for the first.
    raw.execute_batch(
        "INSERT INTO credential_sets (id, name) VALUES (1, 'fcm.default');
         INSERT INTO subscriptions VALUES
           (x'00000000000000000000000000000001', 'u', 1, NULL, 'a', x'0a', 1, 5, 5, 7),
           (x'00000000000000000000000000000002', 'u', 1, NULL, 'b', x'0b', 1, 5, 5, NULL);
         INSERT INTO wakeups (key, set_id, due_at, sort_key, lease, attempts, window_end, expires_at,
           dry_run, message_type, subscription)
         VALUES (x'01', 1, 9, 4, 0, 0, 9, 99999999, 0, 'checkEchoV1', x'00000000000000000000000000000002');
         UPDATE state SET accepted = 1, waiting = 1, closed_until = 9, expanded_until = 9;
         UPDATE subscriptions SET token_key = x'0000000000000000000000000000000b' WHERE token = 'b';
         UPDATE subscriptions SET token_key = x'0000000000000000000000000000000a' WHERE token = 'a';
         PRAGMA user_version = 1",
    )
    .unwrap();
    drop(raw);
    let store = SqliteStore::open(&file, NOW).unwrap();
    let held = store.quarantined(None, 10).await.unwrap();
    assert_eq!((held.len(), held[0].since, held[0].verdicts), (1, Timestamp::from_ms(7), 1));
    assert_eq!(Subscriptions::count(&store).await.unwrap(), (2, 1));
    let claimed = store.claim(claim(NOW)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].token.expose(), "b");
    assert!(Outbox::depth(&store).await.unwrap().ledger.fits());
    store.close();
}

#[tokio::test]
async fn concurrent_requests_share_commits() {
    let dir = Dir::new("group");
    let store = Arc::new(SqliteStore::open(&dir.database("reveille"), NOW).unwrap());
    let end = NOW.plus(Duration::from_s(10));
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..500 {
        let store = Arc::clone(&store);
        let token = format!("token-{number}");
        requests.spawn(async move { store.accept(acceptance(&[&token], end)).await.unwrap() });
    }
    requests.join_all().await;
    let activity = store.activity();
    assert_eq!(activity.commands(), 500);
    assert!(activity.commits() < 500, "{} commits", activity.commits());
    assert_eq!(Outbox::depth(&*store).await.unwrap().ledger.accepted, 500);
}

/// Ends a window.
trait CloseWindow {
    async fn close_window(&self, until: Timestamp);
}

impl CloseWindow for SqliteStore {
    async fn close_window(&self, until: Timestamp) {
        Outbox::close(self, until).await.unwrap();
        while !self.expand(until, vec![0; 5_000]).await.unwrap().done {}
    }
}
