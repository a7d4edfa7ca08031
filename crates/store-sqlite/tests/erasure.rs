//! A user who goes leaves nothing in any file, however much was written around them before.
#![cfg(test)]

use std::path::PathBuf;

use reveille_model::{
    Audience, Content, CredentialSet, DryRun, Duration, EventType, LeaseId, Limit, MessageType,
    NewSubscription, Notification, NotificationId, Policy, Proof, Provider, Reason, Rng, Shuffle,
    Spread, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{
    Acceptance, Claim, Destination, End, Inbox as _, Item, Outbox as _, Preferences as _,
    ReadWhich, SettleBatch, Settlement, Subscriptions as _, Users as _,
};
use reveille_store_sqlite::SqliteStore;

const NOW: Timestamp = Timestamp::from_ms(1_000_000);
const USERS: usize = 400;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// How often a text is in the database's files.
    fn count(&self, text: &str) -> usize {
        let files =
            ["reveille.db", "reveille.db-wal", "reveille.db-shm"].map(|name| self.0.join(name));
        let bytes = files.iter().filter_map(|file| std::fs::read(file).ok());
        // What is no UTF-8 cannot be part of what is looked for.
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).matches(text).count()).sum()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// No name is the beginning of another.
fn name(number: usize) -> String {
    format!("user-{number:04}-planted")
}

fn user(number: usize) -> User {
    User::parse(&name(number)).unwrap()
}

fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").unwrap()
}

fn check_echo() -> MessageType {
    MessageType::parse("checkEchoV1").unwrap()
}

async fn register(store: &SqliteStore, rng: &mut Rng, number: usize) {
    let token = format!("token-{:016x}-of-{}", rng.next_u64(), name(number));
    let token = Token::parse(Provider::Fcm, &token).unwrap();
    let new = NewSubscription { user: user(number), set: set(), topic: None, token };
    store.put(new, SubscriptionId::from_bytes(rng.bytes_16()), 4, NOW).await.unwrap();
}

async fn notify(store: &SqliteStore, rng: &mut Rng, users: Vec<User>, window_end: Timestamp) {
    let said = users.iter().map(User::expose).collect::<Vec<_>>().join(" and ");
    let notification = Notification {
        id: NotificationId::from_bytes(rng.bytes_16()),
        event_type: EventType::parse("mention").unwrap(),
        message_type: check_echo(),
        audience: Audience::Users(users),
        ttl: Duration::from_s(3600),
        dry_run: DryRun::No,
        deliver_after: (rng.below(3) == 0).then(|| NOW.plus(Duration::from_s(100_000))),
        spread: Spread::default(),
        policy: Policy { wakes: true, limit: Some(Limit { count: 5, per: Duration::from_s(60) }) },
        content: Some(Content::from_json(format!("\"a secret of {said}\""))),
    };
    let items = vec![Item::Notification(notification)];
    let acceptance =
        Acceptance { now: NOW, window_end, waiting_max: 1_000_000, idempotency: None, items };
    store.accept(acceptance).await.unwrap();
}

/// Ends a window; some of what left in it was for devices that are dead.
async fn deliver(store: &SqliteStore, until: Timestamp) {
    store.close(until).await.unwrap();
    while !store.expand(until, Shuffle::from_seed([7; 32])).await.unwrap().is_done() {}
    let claim = Claim {
        set: set(),
        now: until,
        lease: LeaseId::from_random(7),
        lease_until: until.plus(Duration::from_s(60)),
        limit: 200,
        hold: Duration::from_s(3600),
    };
    let dead = End::Dead(Proof::Unguarded, Reason("Unregistered"));
    let settlements = store.claim(claim).await.unwrap().into_iter().map(|claimed| Settlement {
        id: claimed.id,
        lease: claimed.lease,
        device: claimed.device,
        end: dead,
        strike: None,
    });
    let batch = SettleBatch {
        settlements: settlements.collect(),
        now: until,
        hold: Duration::from_s(3600),
        tell: vec![Destination::Webhook],
    };
    store.settle(batch).await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_user_who_goes() {
    let dir = Dir::new("erasure");
    let store = SqliteStore::open(&dir.0.join("reveille.db"), NOW).unwrap();
    let mut rng = Rng::from_seed([3; 32]);
    for round in 0..12_u32 {
        let end = NOW.plus(Duration::from_s(10 * (round + 1)));
        for _ in 0..USERS {
            let number = usize::try_from(rng.below(USERS as u64)).unwrap();
            match rng.below(4) {
                0 | 1 => register(&store, &mut rng, number).await,
                2 => {
                    let others = [number, (number + 7) % USERS, (number + 31) % USERS];
                    notify(&store, &mut rng, others.map(user).to_vec(), end).await;
                }
                _ => {
                    let said = [(EventType::parse("mention").unwrap(), rng.below(2) == 0)].into();
                    store.prefer(&user(number), said).await.unwrap();
                    store.read(&user(number), ReadWhich::All).await.unwrap();
                }
            }
        }
        deliver(&store, end).await;
    }
    for number in (0..USERS).step_by(40) {
        assert!(dir.count(&name(number)) > 0, "{} was written", name(number));
    }
    // One by one: what moves when one goes must not leave a copy of the next.
    for number in (0..USERS).step_by(3) {
        store.erase(&user(number), vec![check_echo()]).await.unwrap();
        assert_eq!(dir.count(&name(number)), 0, "{}", name(number));
    }
    assert_eq!(dir.count("a secret"), 0, "content is sealed");
    for number in (1..USERS).step_by(30) {
        assert!(dir.count(&name(number)) > 0, "{} is still there", name(number));
    }
    assert!(store.depth().await.unwrap().ledger.fits());
    store.close();
    assert_eq!((0..USERS).step_by(30).map(|number| dir.count(&name(number))).sum::<usize>(), 0);
}

/// A copy is made of the file, which takes as long as it takes. Who erases hears that it could not be done; nobody else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_for_long_keeps_an_erasure_from_its_end_and_nobody_from_writing() {
    let dir = Dir::new("erasure-read");
    let path = dir.0.join("reveille.db");
    let store = SqliteStore::open(&path, NOW).unwrap();
    let mut rng = Rng::from_number(3);
    register(&store, &mut rng, 0).await;
    register(&store, &mut rng, 1).await;
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM subscriptions;").unwrap();
    let zero = user(0);
    let erasing = store.erase(&zero, vec![check_echo()]);
    tokio::pin!(erasing);
    for number in 2..12 {
        tokio::select! {
            biased;
            ended = &mut erasing => panic!("{number} writes only: {ended:?}"),
            () = register(&store, &mut rng, number) => {}
        }
    }
    assert!(erasing.await.is_err(), "its traces are still in the log");
    reader.execute_batch("COMMIT").unwrap();
    store.erase(&zero, vec![check_echo()]).await.unwrap();
    assert_eq!(dir.count(&name(0)), 0);
}
