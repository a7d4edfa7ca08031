//! SQLite keeps the contract, and what it says is on disk is still there after a restart.
#![cfg(test)]

use std::path::PathBuf;
use std::sync::Arc;

use reveille_model::{
    Audience, CredentialSet, DryRun, Duration, EventType, LeaseId, Limit, MessageType,
    NewSubscription, Notification, NotificationId, Policy, Provider, Reason, Settled, Shuffle,
    Spread, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{
    Acceptance, Claim, Claimed, End, Item, Keys as _, Outbox, Quarantine as _, SettleBatch,
    Settlement, Subscriptions, Suspicion, TokenMessage, contract,
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

const SEED: [u8; 32] = [7; 32];
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
async fn a_limit_holds_across_a_restart() {
    let dir = Dir::new("limit");
    let file = dir.database("reveille");
    let limit = Some(Limit { count: 2, per: Duration::from_s(3600) });
    let alice = User::parse("alice").unwrap();
    for number in 1..=4 {
        let store = SqliteStore::open(&file, NOW).unwrap();
        let token = Token::parse(Provider::Fcm, "phone").unwrap();
        let new = NewSubscription { user: alice.clone(), set: set(), topic: None, token };
        store.put(new, SubscriptionId::from_bytes([1; 16]), 10, NOW).await.unwrap();
        let notification = Notification {
            id: NotificationId::from_bytes([number; 16]),
            event_type: EventType::parse("mention").unwrap(),
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            audience: Audience::Users(vec![alice.clone()]),
            ttl: Duration::from_s(3600),
            dry_run: DryRun::No,
            deliver_after: None,
            spread: Spread::default(),
            policy: Policy { wakes: true, limit },
            content: None,
        };
        let items = vec![Item::Notification(notification)];
        let end = NOW.plus(Duration::from_s(10));
        store.accept(Acceptance { items, ..acceptance(&[], end) }).await.unwrap();
        let ledger = Outbox::depth(&store).await.unwrap().ledger;
        assert_eq!(ledger.waiting, u64::from(number.min(2)));
        assert_eq!(ledger.settled(Settled::Limited), u64::from(number.saturating_sub(2)));
        store.close();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_registrations_at_once_never_exceed_the_cap() {
    let dir = Dir::new("cap");
    let store = Arc::new(SqliteStore::open(&dir.database("reveille"), NOW).unwrap());
    let alice = User::parse("alice").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..2_000_u32 {
        let (store, alice) = (Arc::clone(&store), alice.clone());
        tasks.spawn(async move {
            let token = Token::parse(Provider::Fcm, &format!("phone-{number}")).unwrap();
            let new = NewSubscription { user: alice.clone(), set: set(), topic: None, token };
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            store.put(new, SubscriptionId::from_bytes(id), 10, NOW).await.unwrap();
            store.list(&alice).await.unwrap().len()
        });
    }
    while let Some(seen) = tasks.join_next().await {
        assert!((1..=10).contains(&seen.unwrap()));
    }
    assert_eq!(store.list(&alice).await.unwrap().len(), 10);
}

#[tokio::test]
async fn one_process_at_a_time_and_no_newer_schema() {
    let dir = Dir::new("open");
    let file = dir.database("reveille");
    let (before, known) =
        SqliteStore::migrate(&file, &dir.database("reveille").with_extension("db.key")).unwrap();
    assert_eq!(before, 0);
    assert_eq!(
        SqliteStore::migrate(&file, &dir.database("reveille").with_extension("db.key")).unwrap(),
        (known, known)
    );
    let store = SqliteStore::open(&file, NOW).unwrap();
    assert!(matches!(SqliteStore::open(&file, NOW), Err(OpenError::InUse)));
    store.close();
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(raw);
    let newer = SqliteStore::open(&file, NOW);
    let is_told =
        matches!(newer, Err(OpenError::Newer { found: 99, known: told }) if told == known);
    assert!(is_told, "{newer:?}");
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
         VALUES (x'00000000000000000000000000000001', 1, 9, 4, 0, 0, 9, 99999999, 0, 'checkEchoV1', x'00000000000000000000000000000002');
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
async fn a_database_of_the_second_version_keeps_what_was_in_flight() {
    let dir = Dir::new("second");
    let file = dir.database("reveille");
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch(include_str!("../src/migrations/0001_start.sql")).unwrap();
    raw.execute_batch(include_str!("../src/migrations/0002_suspects.sql")).unwrap();
    // One of the same device in flight and waiting, and one in flight alone; what is in flight is due when its lease ends.
    raw.execute_batch(
        "INSERT INTO credential_sets (id, name) VALUES (1, 'fcm.default');
         INSERT INTO wakeups (key, set_id, due_at, sort_key, lease, attempts, window_end, expires_at,
           dry_run, message_type, token)
         VALUES
           (x'000000000000000000000000000000aa', 1, 99999999, 4, 7, 1, 9, 99999999, 0, 'checkEchoV1', 'a'),
           (x'000000000000000000000000000000aa', 1, 9, 5, 0, 0, 9, 99999998, 0, 'checkEchoV1', 'a'),
           (x'000000000000000000000000000000bb', 1, 99999999, 6, 7, 1, 9, 99999999, 0, 'checkEchoV1', 'b');
         INSERT INTO gathered (window_end, message_type, ttl_ms, dry_run, set_id, count, targets)
         VALUES (20, 'checkEchoV1', 99999999, 0, 1, 1, x'010063');
         UPDATE state SET accepted = 4, waiting = 4, closed_until = 9, expanded_until = 9;
         PRAGMA user_version = 2",
    )
    .unwrap();
    drop(raw);
    let store = SqliteStore::open(&file, NOW).unwrap();
    store.close_window(NOW).await;
    let claimed = store.claim(claim(NOW)).await.unwrap();
    let tokens: Vec<_> = claimed.iter().map(|claimed| claimed.token.expose()).collect();
    assert_eq!(tokens, ["a", "b", "c"]);
    assert_eq!(claimed[0].expires_at, Timestamp::from_ms(99_999_999), "the longer life of both");
    let ledger = Outbox::depth(&store).await.unwrap().ledger;
    assert!(ledger.fits());
    assert_eq!((ledger.waiting, ledger.collapsed), (3, 1));
    store.close();
}

/// The tokens of all that can be claimed, in their order.
async fn leaving(store: &SqliteStore, now: Timestamp) -> Vec<String> {
    let mut tokens = Vec::new();
    loop {
        let claimed = store.claim(claim(now)).await.unwrap();
        if claimed.is_empty() {
            return tokens;
        }
        tokens.extend(claimed.into_iter().map(|claimed| claimed.token.expose().to_owned()));
    }
}

async fn gather_many(store: &SqliteStore, window_end: Timestamp) {
    let tokens: Vec<String> = (0..3_500).map(|number| format!("token-{number}")).collect();
    for some in tokens.chunks(300) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        store.accept(acceptance(&some, window_end)).await.unwrap();
    }
}

#[tokio::test]
async fn a_release_goes_on_where_a_crash_ended_it() {
    let dir = Dir::new("release");
    let end = NOW.plus(Duration::from_s(10));
    let whole = SqliteStore::open(&dir.database("whole"), NOW).unwrap();
    gather_many(&whole, end).await;
    whole.close_window(end).await;
    let expected = leaving(&whole, end).await;
    assert_eq!(expected.len(), 3_500);
    whole.close();

    let file = dir.database("broken");
    let mut store = SqliteStore::open(&file, NOW).unwrap();
    gather_many(&store, end).await;
    Outbox::close(&store, end).await.unwrap();
    let (mut steps, mut wakeups, mut is_released) = (0, 0, false);
    loop {
        // Another seed each time: only that of its beginning counts.
        let expanded =
            store.expand(end, Shuffle::from_seed(if steps == 0 { SEED } else { [8; 32] }));
        let expanded = expanded.await.unwrap();
        wakeups += expanded.wakeups;
        steps += 1;
        let ledger = Outbox::depth(&store).await.unwrap().ledger;
        assert!(ledger.fits());
        assert_eq!(ledger.waiting, 3_500);
        if expanded.is_done() {
            break;
        }
        is_released |= expanded.released;
        if !is_released {
            assert!(
                store.claim(claim(end)).await.unwrap().is_empty(),
                "half a window leaves nothing"
            );
        }
        store.close();
        store = SqliteStore::open(&file, NOW).unwrap();
    }
    assert!(steps >= 5, "{steps} steps");
    assert_eq!(wakeups, 3_500);
    assert_eq!(leaving(&store, end).await, expected, "the order of one that was never broken off");
    store.close();
}

#[tokio::test]
async fn a_clock_set_back_during_a_release_opens_the_windows_to_come_again() {
    let dir = Dir::new("back");
    let file = dir.database("reveille");
    let ahead = NOW.plus(Duration::from_s(7200));
    let store = SqliteStore::open(&file, ahead).unwrap();
    gather_many(&store, ahead).await;
    Outbox::close(&store, ahead).await.unwrap();
    store.expand(ahead, Shuffle::from_seed(SEED)).await.unwrap();
    store.close();

    let store = SqliteStore::open(&file, NOW).unwrap();
    let next = NOW.plus(Duration::from_s(10));
    while !store.expand(NOW, Shuffle::from_seed(SEED)).await.unwrap().is_done() {}
    store.accept(acceptance(&["late"], next)).await.expect("a window that is to come is open");
    store.close_window(next).await;
    assert_eq!(leaving(&store, next).await, ["late"]);
    assert_eq!(leaving(&store, ahead).await.len(), 3_500, "nothing of what was ahead is lost");
    store.close();
}

#[tokio::test]
async fn one_in_flight_and_one_that_waits_are_one_after_a_crash() {
    let dir = Dir::new("twins");
    let file = dir.database("reveille");
    let (first, second) = (NOW.plus(Duration::from_s(10)), NOW.plus(Duration::from_s(20)));
    let store = SqliteStore::open(&file, NOW).unwrap();
    store.accept(acceptance(&["a"], first)).await.unwrap();
    store.close_window(first).await;
    assert_eq!(leaving(&store, first).await, ["a"]);
    store.accept(acceptance(&["a"], second)).await.unwrap();
    store.close_window(second).await;
    assert_eq!(Outbox::depth(&store).await.unwrap().ledger.collapsed, 0);
    store.close();

    let store = SqliteStore::open(&file, second).unwrap();
    assert_eq!(leaving(&store, second).await, ["a"]);
    let ledger = Outbox::depth(&store).await.unwrap().ledger;
    assert!(ledger.fits());
    assert_eq!((ledger.waiting, ledger.collapsed), (1, 1));
    store.close();
}

#[tokio::test]
async fn a_crash_does_not_make_a_quarantined_device_be_tried_again_at_once() {
    let dir = Dir::new("tried");
    let file = dir.database("reveille");
    let end = NOW.plus(Duration::from_s(10));
    let store = SqliteStore::open(&file, NOW).unwrap();
    store.accept(acceptance(&["a"], end)).await.unwrap();
    store.close_window(end).await;
    // Held for a minute, not an hour: what was accepted expires after one.
    let hold = Duration::from_s(60);
    let ask = |now| Claim { hold, ..claim(now) };
    let claimed = store.claim(ask(end)).await.unwrap();
    let Claimed { id, lease, device, .. } = claimed[0];
    let suspicion = Suspicion { reason: Reason("LOOKS_DEAD"), is_trusted: true };
    let settlement = Settlement { id, lease, device, end: End::Suspected(suspicion), strike: None };
    let batch = SettleBatch { settlements: vec![settlement], now: end, hold, tell: vec![] };
    store.settle(batch).await.unwrap();
    let later = end.plus(hold);
    assert_eq!(store.claim(ask(later)).await.unwrap().len(), 1, "its time has come");
    store.close();

    let store = SqliteStore::open(&file, later).unwrap();
    assert!(store.claim(ask(later)).await.unwrap().is_empty());
    assert_eq!(store.claim(ask(later.plus(hold))).await.unwrap().len(), 1);
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
        while !self.expand(until, Shuffle::from_seed(SEED)).await.unwrap().is_done() {}
    }
}
