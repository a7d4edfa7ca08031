//! A database of users in cohorts.

use std::path::{Path, PathBuf};

use reveille_model::{
    Audience, CohortId, CohortSizes, CredentialSet, DryRun, Duration, EventType, LeaseId, Limit,
    MessageType, NewSubscription, Notification, NotificationId, Policy, Provider, Settled, Shuffle,
    Spread, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{
    Acceptance, Claim, Cohorts as _, End, Group, Item, Leaving, Mix, Next, Outbox as _,
    SettleBatch, Settlement, Subscriptions as _, TokenMessage,
};
use reveille_store_sqlite::SqliteStore;

pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_000_000);
pub(crate) const WINDOW: Timestamp = Timestamp::from_ms(1_060_000);
pub(crate) const SIZES: CohortSizes = CohortSizes { form: 8, floor: 4 };

/// A directory that goes with the test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("reveille-{}-cohorts-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.db"))
    }

    /// Another copy of a database that nobody has open.
    pub(crate) fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.database(name);
        std::fs::copy(from, &to).unwrap();
        std::fs::copy(from.with_extension("db.key"), to.with_extension("db.key")).unwrap();
        to
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(crate) fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").unwrap()
}

pub(crate) fn user(number: u32) -> User {
    User::parse(&format!("user-{number:05}-planted")).unwrap()
}

pub(crate) fn mix(sizes: Option<CohortSizes>) -> Mix {
    Mix {
        sizes,
        silent: [set()].into(),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3_600),
        ghost_after_erasure: true,
    }
}

/// Opens a database whose users are woken in cohorts.
pub(crate) async fn open(file: &Path) -> SqliteStore {
    let store = SqliteStore::open(file, NOW).unwrap();
    store.mix(mix(Some(SIZES))).await.unwrap();
    store
}

pub(crate) async fn register(store: &SqliteStore, number: u32) {
    let token = Token::parse(Provider::Fcm, &format!("phone-{number}")).unwrap();
    let new = NewSubscription { user: user(number), set: set(), topic: None, token };
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    store.put(new, SubscriptionId::from_bytes(id), 10, NOW).await.unwrap();
}

/// Forms cohorts of eight, in the order in which those who wait are given out.
pub(crate) async fn form(store: &SqliteStore) {
    loop {
        let nurseries = store.nurseries().await.unwrap();
        let Some(nursery) = nurseries.first() else { return };
        let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).collect();
        let cohorts = groups.chunks_exact(SIZES.form).map(<[Group]>::to_vec).collect();
        assert!(store.found(nursery.stratum, cohorts).await.unwrap());
    }
}

/// Something happens to a user.
pub(crate) fn event(number: u8, of: u32) -> Notification {
    Notification {
        id: NotificationId::from_bytes([number; 16]),
        event_type: EventType::parse("mention").unwrap(),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        audience: Audience::Users(vec![user(of)]),
        ttl: Duration::from_s(60),
        dry_run: DryRun::No,
        deliver_after: None,
        spread: Spread::default(),
        policy: Policy::OPEN,
        content: None,
    }
}

pub(crate) fn limited(notification: Notification) -> Notification {
    let limit = Some(Limit { count: 5, per: Duration::from_s(60) });
    Notification { policy: Policy { wakes: true, limit }, ..notification }
}

pub(crate) async fn accept(store: &SqliteStore, notification: Notification) {
    let acceptance = Acceptance {
        now: NOW,
        window_end: WINDOW,
        waiting_max: 1_000_000,
        idempotency: None,
        items: vec![Item::Notification(notification)],
    };
    store.accept(acceptance).await.unwrap();
    assert!(store.depth().await.unwrap().ledger.fits());
}

/// Tokens that nobody has registered, of an app that shows what wakes it.
pub(crate) async fn accept_tokens(store: &SqliteStore, tokens: Vec<Token>, window_end: Timestamp) {
    let message = TokenMessage {
        set: CredentialSet::new(Provider::Fcm, "loud").unwrap(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(60),
        dry_run: DryRun::No,
        tokens,
        unusable: 0,
    };
    let items = vec![Item::Tokens(message)];
    let acceptance =
        Acceptance { now: NOW, window_end, waiting_max: 1_000_000, idempotency: None, items };
    store.accept(acceptance).await.unwrap();
}

/// Lets these cohorts leave with what ended at `until`.
pub(crate) async fn lead(store: &SqliteStore, until: Timestamp, ids: &[CohortId]) {
    let paid_at = until.plus(Duration::from_s(2_400));
    let leaving = ids.iter().map(|id| Leaving { id: *id, paid_at }).collect();
    assert!(store.lead(until, leaving).await.unwrap());
}

/// The ids of all cohorts.
pub(crate) async fn ids(store: &SqliteStore) -> Vec<CohortId> {
    store.cohorts().await.unwrap().iter().map(|each| each.id).collect()
}

pub(crate) async fn expand(store: &SqliteStore, until: Timestamp) {
    while !expand_some(store, until).await {}
    assert!(store.depth().await.unwrap().ledger.fits());
}

/// One transaction of it, once it is decided what leaves. Returns whether it was the last.
pub(crate) async fn expand_some(store: &SqliteStore, until: Timestamp) -> bool {
    let expanded = store.expand(until, Shuffle::from_seed([7; 32])).await.unwrap();
    if expanded.next != Next::Muster {
        return expanded.is_done();
    }
    store.mustered(until).await.unwrap();
    let expanded = store.expand(until, Shuffle::from_seed([7; 32])).await.unwrap();
    assert!(expanded.next != Next::Muster);
    expanded.is_done()
}

/// Sends what is due; returns whose phones it reached, sorted.
pub(crate) async fn deliver(store: &SqliteStore, now: Timestamp) -> Vec<String> {
    let mut tokens = Vec::new();
    loop {
        let claim = Claim {
            set: set(),
            now,
            lease: LeaseId::from_random(77),
            lease_until: now.plus(Duration::from_s(60)),
            limit: 500,
            hold: Duration::from_s(60),
        };
        let claimed = store.claim(claim).await.unwrap();
        if claimed.is_empty() {
            tokens.sort_unstable();
            return tokens;
        }
        tokens.extend(claimed.iter().map(|each| each.token.expose().to_owned()));
        let settle = |each: &reveille_store::Claimed| Settlement {
            id: each.id,
            lease: each.lease,
            device: each.device,
            end: End::Settled(Settled::Sent),
            strike: None,
        };
        let settlements = claimed.iter().map(settle).collect();
        let hold = Duration::from_s(60);
        store.settle(SettleBatch { settlements, now, hold, tell: Vec::new() }).await.unwrap();
    }
}
