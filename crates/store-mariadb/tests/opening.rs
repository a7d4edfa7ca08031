//! What a database must be like to be opened, and that two nodes of it cannot settle the same.
#![cfg(test)]

use std::path::PathBuf;

use reveille_model::{
    CredentialSet, DryRun, Duration, LeaseId, MessageType, Provider, Settled, Shuffle, Timestamp,
    Token,
};
use reveille_store::{
    Acceptance, Claim, Claimed, End, Item, Outbox, SettleBatch, SettleReport, Settlement, Sweep,
    TokenMessage,
};
use reveille_store_mariadb::{MariaDbError, MariaDbSettings, MariaDbStore, SCHEMA_VERSION};
use reveille_testkit::{Dir, MariaDb, needs_all};

const NOW: Timestamp = Timestamp::from_ms(1_000_000);
const END: Timestamp = Timestamp::from_ms(1_010_000);

fn settings(url: String, key_file: PathBuf) -> MariaDbSettings {
    let mut settings = MariaDbSettings::new(url, key_file);
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    settings.connections_max = 4;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_is_not_opened() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("the store on a real MariaDB"));
        return;
    };
    let dir = Dir::new();
    let settings = settings(server.url(), dir.join("reveille.key"));
    let refused = async |settings: &MariaDbSettings| {
        MariaDbStore::open(settings.clone(), NOW).await.map(drop).unwrap_err()
    };
    assert!(matches!(refused(&settings).await, MariaDbError::Empty));
    let version = SCHEMA_VERSION;
    assert_eq!(MariaDbStore::migrate(&settings).await.unwrap(), (0, version));
    assert_eq!(MariaDbStore::migrate(&settings).await.unwrap(), (version, version));
    MariaDbStore::open(settings.clone(), NOW).await.unwrap().close().await;
    MariaDbStore::check(&settings, NOW).await.unwrap();

    // A 2xx would not mean that it is on disk.
    server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 2;");
    let why = refused(&settings).await.to_string();
    assert!(why.contains("innodb_flush_log_at_trx_commit is not 1"), "{why}");
    assert!(MariaDbStore::check(&settings, NOW).await.is_err());
    server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1;");

    let other_key = MariaDbSettings { key_file: dir.join("other.key"), ..settings.clone() };
    assert!(matches!(refused(&other_key).await, MariaDbError::KeyMissing { .. }));
    let clock = std::time::Duration::from_secs(2);
    let other_time = MariaDbSettings { clock_skew_max: Some(clock), ..settings.clone() };
    assert!(matches!(refused(&other_time).await, MariaDbError::Clock { .. }));
    let other_password = MariaDbSettings { password: Some("x".to_owned()), ..settings.clone() };
    assert!(matches!(refused(&other_password).await, MariaDbError::Connect(_)));

    // A later version says whether those before it may go on while they are replaced.
    server.run("UPDATE schema_version SET version = version + 1;");
    MariaDbStore::open(settings.clone(), NOW).await.unwrap().close().await;
    server.run("UPDATE schema_version SET usable_since = version;");
    assert!(matches!(refused(&settings).await, MariaDbError::Newer { .. }));
    assert!(matches!(MariaDbStore::migrate(&settings).await, Err(MariaDbError::Newer { .. })));
}

/// A clock that steps ahead while the node runs: what it would end, claim or close is everybody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_ahead_decides_nothing_for_the_others() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("a node whose clock is ahead"));
        return;
    };
    let dir = Dir::new();
    let mut settings = settings(server.url(), dir.join("reveille.key"));
    MariaDbStore::migrate(&settings).await.unwrap();
    settings.clock_skew_max = Some(std::time::Duration::from_mins(1));
    let answer = server.run("SELECT UNIX_TIMESTAMP();");
    let seconds: i64 = answer.lines().nth(1).unwrap().parse().unwrap();
    let now = Timestamp::from_ms(seconds * 1_000);
    let store = MariaDbStore::open(settings, now).await.unwrap();
    let hour = Duration::from_s(3_600);
    let swept = async |now: Timestamp| {
        let before = now.minus(hour);
        let sweep = Sweep {
            now,
            trails_before: before,
            idempotency_before: before,
            suspects_before: before,
            counters_before: before,
            inbox_before: before,
            limit: 10,
        };
        store.sweep(sweep).await.map(drop)
    };
    let claimed = async |now: Timestamp| {
        let claim = Claim {
            set: set(),
            now,
            lease: LeaseId::from_random(1),
            lease_until: now.plus(Duration::from_s(60)),
            hold: hour,
            limit: 10,
        };
        store.claim(claim).await.map(drop)
    };
    for (moment, is_well) in [(now, true), (now.plus(hour), false), (now.minus(hour), true)] {
        assert_eq!(swept(moment).await.is_ok(), is_well);
        assert_eq!(claimed(moment).await.is_ok(), is_well);
        assert_eq!(Outbox::close(&store, moment).await.is_ok(), is_well);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_lease_settles_nothing() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("the store on a real MariaDB"));
        return;
    };
    let dir = Dir::new();
    let settings = settings(server.url(), dir.join("reveille.key"));
    MariaDbStore::migrate(&settings).await.unwrap();
    let first = MariaDbStore::open(settings.clone(), NOW).await.unwrap();
    let second = MariaDbStore::open(settings, NOW).await.unwrap();
    first.accept(acceptance()).await.unwrap();
    end_window(&first).await;
    let held = claim(&first, END, 1).await;
    assert_eq!(held.len(), 2);
    assert!(claim(&second, END, 2).await.is_empty(), "they are another's");

    // The first one hangs, and the second goes on with it, a little after it should have been the first.
    let later = END.plus(Duration::from_s(63));
    let taken = claim(&second, later, 2).await;
    assert_eq!(taken.len(), 2, "a lease ends by itself");
    assert_eq!(settle(&first, &held, later).await.lost, 2, "it comes too late");
    assert_eq!(settle(&second, &taken, later).await, SettleReport::default());
    let ledger = second.depth().await.unwrap().ledger;
    assert!(ledger.fits());
    assert_eq!((ledger.settled(Settled::Sent), ledger.waiting), (2, 0));
    first.close().await;
    second.close().await;
}

fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").unwrap()
}

fn acceptance() -> Acceptance {
    let message = TokenMessage {
        set: set(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3600),
        dry_run: DryRun::No,
        tokens: ["a", "b"].map(|text| Token::parse(Provider::Fcm, text).unwrap()).to_vec(),
        unusable: 0,
    };
    let items = vec![Item::Tokens(message)];
    Acceptance { now: NOW, window_end: END, waiting_max: 1_000, idempotency: None, items }
}

async fn claim(store: &MariaDbStore, now: Timestamp, lease: u64) -> Vec<Claimed> {
    let claim = Claim {
        set: set(),
        now,
        lease: LeaseId::from_random(lease << 1),
        lease_until: now.plus(Duration::from_s(60)),
        limit: 100,
        hold: Duration::from_s(3600),
    };
    store.claim(claim).await.unwrap()
}

async fn settle(store: &MariaDbStore, claimed: &[Claimed], now: Timestamp) -> SettleReport {
    let settlements = claimed.iter().map(|each| Settlement {
        id: each.id,
        lease: each.lease,
        device: each.device,
        end: End::Settled(Settled::Sent),
        strike: None,
    });
    let hold = Duration::from_s(3600);
    let batch = SettleBatch { settlements: settlements.collect(), now, hold, tell: Vec::new() };
    store.settle(batch).await.unwrap()
}

async fn end_window(store: &MariaDbStore) {
    Outbox::close(store, END).await.unwrap();
    while !store.expand(END, Shuffle::from_seed([7; 32])).await.unwrap().is_done() {}
}
