//! Tokens are secrets: no file of a database shows one, and without its key none can be read.
#![cfg(test)]

use std::path::{Path, PathBuf};

use reveille_model::{
    Audience, Content, CredentialSet, DryRun, Duration, EventType, LeaseId, MessageType,
    NewSubscription, Notification, NotificationId, Policy, Proof, Provider, Reason, Shuffle,
    Spread, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{
    Acceptance, Claim, Claimed, Destination, End, Feedback as _, Inbox as _, Item, Keys as _,
    Outbox as _, Quarantine as _, SettleBatch, Settlement, Subscriptions as _, Suspicion,
    TokenMessage, Which,
};
use reveille_store_sqlite::{KeyFile, OpenError, SqliteStore};

const NOW: Timestamp = Timestamp::from_ms(1_000_000);
const HOLD: Duration = Duration::from_s(100);
/// What every token here holds.
const MARK: &str = "planted";

/// An empty directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn database(&self) -> PathBuf {
        self.0.join("reveille.db")
    }

    /// The files that hold a text.
    fn files_with(&self, text: &str) -> Vec<String> {
        let files = std::fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path());
        let holds = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        files.filter(holds).map(|path| path.display().to_string()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").unwrap()
}

fn token(name: &str) -> Token {
    Token::parse(Provider::Fcm, &format!("{MARK}-{name}")).unwrap()
}

async fn accept(store: &SqliteStore, name: &str, window_end: Timestamp) {
    let message = TokenMessage {
        set: set(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3600),
        dry_run: DryRun::No,
        tokens: vec![token(name)],
        unusable: 0,
    };
    let items = vec![Item::Tokens(message)];
    let acceptance =
        Acceptance { now: NOW, window_end, waiting_max: 1_000, idempotency: None, items };
    store.accept(acceptance).await.unwrap();
}

async fn release(store: &SqliteStore, until: Timestamp) {
    store.close(until).await.unwrap();
    while !store.expand(until, Shuffle::from_seed([7; 32])).await.unwrap().is_done() {}
}

async fn claim(store: &SqliteStore, now: Timestamp) -> Vec<Claimed> {
    let claim = Claim {
        set: set(),
        now,
        lease: LeaseId::from_random(7),
        lease_until: now.plus(Duration::from_s(60)),
        limit: 100,
        hold: HOLD,
    };
    let mut claimed = store.claim(claim).await.unwrap();
    claimed.sort_by(|a, b| a.token.cmp(&b.token));
    claimed
}

async fn settle(store: &SqliteStore, claimed: &Claimed, end: End, now: Timestamp) {
    let Claimed { id, lease, device, .. } = *claimed;
    let settlements = vec![Settlement { id, lease, device, end, strike: None }];
    let batch = SettleBatch { settlements, now, hold: HOLD, tell: vec![Destination::Webhook] };
    store.settle(batch).await.unwrap();
}

/// Brings a token into every table that holds any: a registered one, one in quarantine with its wake-up, a death to be told, one that waits,
/// one that is gathered.
async fn fill(store: &SqliteStore) {
    let new = NewSubscription {
        user: User::parse("alice").unwrap(),
        set: set(),
        topic: None,
        token: token("registered"),
    };
    store.put(new, SubscriptionId::from_bytes([1; 16]), 10, NOW).await.unwrap();
    store.key("windows", [9; 32]).await.unwrap();
    let end = NOW.plus(Duration::from_s(10));
    for name in ["dead", "suspect", "waiting"] {
        accept(store, name, end).await;
    }
    release(store, end).await;
    let claimed = claim(store, end).await;
    let [dead, suspect, waiting] = claimed.as_slice() else { panic!("{}", claimed.len()) };
    settle(store, dead, End::Dead(Proof::Unguarded, Reason("Unregistered")), end).await;
    let suspicion = Suspicion { reason: Reason("BadDeviceToken"), is_trusted: false };
    settle(store, suspect, End::Suspected(suspicion), end).await;
    settle(store, waiting, End::Retry(end), end).await;
    accept(store, "gathered", NOW.plus(Duration::from_s(20))).await;
    for deliver_after in [None, Some(NOW.plus(Duration::from_s(15)))] {
        let notification = Notification {
            id: NotificationId::from_bytes([u8::from(deliver_after.is_some()); 16]),
            event_type: EventType::parse("mention").unwrap(),
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            audience: Audience::Users(vec![User::parse("bob").unwrap()]),
            ttl: Duration::from_s(3600),
            dry_run: DryRun::No,
            deliver_after,
            spread: Spread::default(),
            policy: Policy::OPEN,
            content: Some(Content::from_json(format!("\"{MARK} news\""))),
        };
        let items = vec![Item::Notification(notification)];
        let window_end = NOW.plus(Duration::from_s(12));
        let acceptance =
            Acceptance { now: NOW, window_end, waiting_max: 1_000, idempotency: None, items };
        store.accept(acceptance).await.unwrap();
    }
}

/// All that [`fill`] brought in is there and works; an earlier version had no inbox.
async fn check(store: &SqliteStore, inbox_items: usize) {
    assert_eq!(store.key("windows", [8; 32]).await.unwrap(), [9; 32]);
    let listed = store.list(&User::parse("alice").unwrap()).await.unwrap();
    assert_eq!(listed.first().unwrap().token, token("registered"));
    let deaths = store.untold(Destination::Webhook, NOW.plus(HOLD), 10).await.unwrap();
    assert_eq!(deaths.first().unwrap().token, token("dead"));
    let later = NOW.plus(Duration::from_s(20));
    // It joins the one that waits, which its key must find.
    accept(store, "waiting", later).await;
    release(store, later).await;
    let tokens =
        |claimed: Vec<Claimed>| claimed.into_iter().map(|each| each.token).collect::<Vec<_>>();
    assert_eq!(tokens(claim(store, later).await), [token("gathered"), token("waiting")]);
    let items = store.items(&User::parse("bob").unwrap(), None, 10).await.unwrap();
    let contents: Vec<&str> = items.iter().map(|item| item.content.expose()).collect();
    assert_eq!(contents, vec![format!("\"{MARK} news\""); inbox_items]);
    assert_eq!(store.release(Which::All, later).await.unwrap(), 1);
    assert_eq!(tokens(claim(store, later).await), [token("suspect")]);
    // The same device is found, not made a second time.
    let again = NewSubscription {
        user: User::parse("alice").unwrap(),
        set: set(),
        topic: None,
        token: token("registered"),
    };
    store.put(again, SubscriptionId::from_bytes([2; 16]), 10, later).await.unwrap();
    assert_eq!(store.count().await.unwrap().0, 1);
    assert!(store.depth().await.unwrap().ledger.fits());
}

#[tokio::test]
async fn no_file_shows_a_token() {
    let dir = Dir::new("no-plain");
    let store = SqliteStore::open(&dir.database(), NOW).unwrap();
    fill(&store).await;
    assert_eq!(dir.files_with(MARK), [""; 0], "while it is open");
    assert_ne!(dir.files_with("alice"), [""; 0], "what is not secret is found");
    store.close();
    assert_eq!(dir.files_with(MARK), [""; 0]);
    let store = SqliteStore::open(&dir.database(), NOW).unwrap();
    check(&store, 2).await;
    store.close();
}

#[tokio::test]
async fn without_its_key_a_database_does_not_open_and_nothing_is_made_in_its_place() {
    let dir = Dir::new("no-key");
    let key_file = dir.0.join("reveille.db.key");
    SqliteStore::open(&dir.database(), NOW).unwrap().close();
    let key = std::fs::read(&key_file).unwrap();
    std::fs::remove_file(&key_file).unwrap();
    let opened = SqliteStore::open(&dir.database(), NOW);
    assert!(matches!(opened, Err(OpenError::KeyMissing { .. })), "{opened:?}");
    assert!(!key_file.exists());
    KeyFile::create(&key_file).unwrap();
    let opened = SqliteStore::open(&dir.database(), NOW);
    assert!(matches!(opened, Err(OpenError::KeyMissing { .. })), "{opened:?}");
    std::fs::write(&key_file, key).unwrap();
    SqliteStore::open(&dir.database(), NOW).unwrap().close();
}

fn change_key(database: &Path) {
    let key_file = database.with_extension("db.key");
    let mut seen = (0, 0);
    let mut progress = |done, total| seen = (done, total);
    let (old, new) = SqliteStore::change_key(database, &key_file, &mut progress).unwrap();
    assert_ne!(old, new);
    assert!(seen.0 > 0 && seen.0 <= seen.1, "{seen:?}");
    let file = KeyFile::read(&key_file).unwrap().unwrap();
    assert!(file.vault(old).is_none() && file.newest().id() == new);
}

#[tokio::test]
async fn a_key_is_changed_under_everything_and_an_interruption_is_gone_on_with() {
    let dir = Dir::new("rotate");
    let store = SqliteStore::open(&dir.database(), NOW).unwrap();
    fill(&store).await;
    let in_use = SqliteStore::change_key(&dir.database(), &dir.0.join("k"), &mut |_, _| {});
    assert!(matches!(in_use, Err(OpenError::InUse)));
    store.close();
    change_key(&dir.database());
    // As if the next change had stopped after its key was made.
    let key_file = dir.0.join("reveille.db.key");
    let mut file = KeyFile::read(&key_file).unwrap().unwrap();
    file.add().unwrap();
    let prepared = file.newest().id();
    SqliteStore::open(&dir.database(), NOW).unwrap().close();
    change_key(&dir.database());
    assert_eq!(KeyFile::read(&key_file).unwrap().unwrap().newest().id(), prepared);
    let store = SqliteStore::open(&dir.database(), NOW).unwrap();
    check(&store, 2).await;
    store.close();
}

#[tokio::test]
async fn what_an_earlier_version_kept_in_plain_is_sealed() {
    let dir = Dir::new("upgrade");
    let old = rusqlite::Connection::open(dir.database()).unwrap();
    for step in ["0001_start", "0002_suspects", "0003_release", "0004_devices"] {
        let file = format!("{}/src/migrations/{step}.sql", env!("CARGO_MANIFEST_DIR"));
        old.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
    }
    old.execute_batch(&format!(
        "PRAGMA user_version = 4;
         INSERT INTO keys VALUES ('windows', x'{key}');
         INSERT INTO credential_sets (id, name) VALUES (1, 'fcm.default');
         INSERT INTO subscriptions VALUES (x'{id}', 'alice', 1, NULL, '{MARK}-registered', x'00', 1, 0, 0, NULL, 0);
         INSERT INTO deaths VALUES (1, 'webhook', x'01', 1, NULL, '{MARK}-dead', NULL, NULL, 'Unregistered', 0, 0, 0);
         INSERT INTO suspects VALUES (x'{id}', 1, NULL, '{MARK}-suspect', NULL, 'BadDeviceToken', 0, 1, 9000000);
         INSERT INTO wakeups VALUES (1, x'02', 1, 9000000, 0, 1, 1010000, 4610000, 0, 'checkEchoV1', NULL, NULL, NULL, '{MARK}-suspect', x'{id}');
         INSERT INTO wakeups VALUES (2, x'03', 1, 1010000, 0, 1, 1010000, 4610000, 0, 'checkEchoV1', NULL, NULL, NULL, '{MARK}-waiting', NULL);
         INSERT INTO gathered VALUES (1, 1020000, NULL, 'checkEchoV1', 3600000, 0, 1, NULL, 1, x'{targets}');
         UPDATE state SET accepted = 3, waiting = 3, closed_until = 1010000, expanded_until = 1010000;",
        key = "09".repeat(32),
        id = "01".repeat(16),
        targets = format!("{MARK}-gathered").bytes().fold(
            format!("{:02x}00", MARK.len() + "-gathered".len()),
            |text, byte| format!("{text}{byte:02x}")
        ),
    ))
    .unwrap();
    drop(old);
    assert_ne!(dir.files_with(MARK), [""; 0]);
    let store = SqliteStore::open(&dir.database(), NOW).unwrap();
    assert_eq!(dir.files_with(MARK), [""; 0]);
    check(&store, 0).await;
    store.close();
}
