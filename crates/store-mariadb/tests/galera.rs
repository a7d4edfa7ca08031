//! On several masters a transaction is written whole, or not at all.
#![cfg(test)]

use std::sync::Arc;

use reveille_model::{
    CohortSizes, CredentialSet, Duration, MessageType, NewSubscription, Provider, SubscriptionId,
    Timestamp, Token, Topic, User,
};
use reveille_store::{Cohorts as _, Mix, StoreError, Subscriptions as _};
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, Galera, MariaDb, is_long, needs_all};
use tokio::task::JoinSet;

const NOW: Timestamp = Timestamp::from_ms(1_000_000);
const MASTERS: usize = 3;
/// How many register a device at once, in each round. More than ever form a cohort.
const USERS: usize = 24;
const FORM: usize = 10_000;
/// How often somebody tries who hears that others are in the way.
const TRIES_MAX: usize = 20;

fn apns() -> CredentialSet {
    CredentialSet::new(Provider::Apns, "default").unwrap()
}

async fn open(url: String, dir: &Dir) -> Arc<MariaDbStore> {
    let mut settings = MariaDbSettings::new(url, dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    let store = MariaDbStore::open(settings, NOW).await.unwrap();
    let mix = Mix {
        sizes: Some(CohortSizes { form: FORM, floor: 2 }),
        silent: [apns()].into(),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3_600),
        ghost_after_erasure: true,
    };
    store.mix(mix).await.unwrap();
    Arc::new(store)
}

async fn register(store: Arc<MariaDbStore>, number: usize) {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    for _ in 0..TRIES_MAX {
        let new = NewSubscription {
            user: User::parse(&format!("user-{number}")).unwrap(),
            set: apns(),
            topic: Some(Topic::parse("org.example.app").unwrap()),
            token: Token::parse(Provider::Apns, &format!("{number:032x}")).unwrap(),
        };
        match store.put(new, SubscriptionId::from_bytes(id), 3, NOW).await {
            Ok(_) => return,
            Err(StoreError::Unavailable(_) | StoreError::Busy) => {}
            Err(error) => unreachable!("{error}"),
        }
    }
    unreachable!("{number} cannot be registered");
}

/// Whoever registers a device is in a cohort in the same transaction, and counted there. All are in each other's way, and no connection has seen a statement before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_take_back_is_taken_back_whole() {
    let Some(cluster) = Galera::start().await else {
        println!("{}", needs_all("transactions on a real Galera"));
        return;
    };
    let dir = Dir::new();
    let mut settings = MariaDbSettings::new(cluster.url(0), dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    MariaDbStore::migrate(&settings).await.unwrap();
    for round in 0..if is_long() { 100 } else { 10 } {
        let mut stores = Vec::new();
        for master in 0..MASTERS {
            stores.push(open(cluster.url(master), &dir).await);
        }
        let mut registering = JoinSet::new();
        for number in 0..USERS {
            let store = Arc::clone(&stores[number % MASTERS]);
            registering.spawn(register(store, round * USERS + number));
        }
        registering.join_all().await;
        let found = cluster.run(
            0,
            "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM subscriptions), (SELECT SUM(count) FROM device_counts), (SELECT COUNT(*) FROM members), (SELECT COUNT(*) FROM cohorts), (SELECT SUM(live) FROM cohorts));",
        );
        let all = (round + 1) * USERS;
        assert_eq!(found.lines().last().unwrap(), format!("{all} {all} {all} 1 {all}"));
        for store in stores {
            Arc::into_inner(store).unwrap().close().await;
        }
    }
}
