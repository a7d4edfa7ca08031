//! What may be a little old is asked of a server that follows, and nothing else is.
#![cfg(test)]

use reveille_model::{
    CredentialSet, NewSubscription, Provider, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{Cohorts as _, Outbox as _, Subscriptions as _};
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, MariaDb, needs_all};

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

async fn register(store: &MariaDbStore, number: u8) {
    let new = NewSubscription {
        user: User::parse("alice").unwrap(),
        set: CredentialSet::new(Provider::Fcm, "default").unwrap(),
        topic: None,
        token: Token::parse(Provider::Fcm, &format!("phone-{number}")).unwrap(),
    };
    store.put(new, SubscriptionId::from_bytes([number; 16]), 10, NOW).await.unwrap();
}

/// What is counted, and what there is.
async fn seen(store: &MariaDbStore) -> (u64, u64, usize) {
    let (all, _) = store.count().await.unwrap();
    let devices = store.census(NOW).await.unwrap().devices;
    (all, devices, store.list(&User::parse("alice").unwrap()).await.unwrap().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_asked_what_may_be_old_and_may_be_gone() {
    let first = ["--server-id=1", "--log-bin=binlog", "--binlog-format=ROW"];
    let second = ["--server-id=2", "--read-only=ON"];
    let Some(server) = MariaDb::start_with(&first).await else {
        println!("{}", needs_all("a replica of a real MariaDB"));
        return;
    };
    let replica = MariaDb::start_with(&second).await.unwrap();
    replica.follow(&server);
    let dir = Dir::new();
    let mut settings = MariaDbSettings::new(server.create("followed"), dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    let url = replica.url();
    settings.replica_url = Some(format!("{}/followed", url.strip_suffix("/wiki").unwrap()));
    MariaDbStore::migrate(&settings).await.unwrap();
    replica.catch_up(&server);
    MariaDbStore::check(&settings, NOW).await.unwrap();
    let store = MariaDbStore::open(settings, NOW).await.unwrap();
    register(&store, 1).await;
    replica.catch_up(&server);
    assert_eq!(seen(&store).await, (1, 1, 1));
    // It falls behind: counts are old, and what a user has is not.
    replica.run("STOP SLAVE;");
    register(&store, 2).await;
    assert_eq!(seen(&store).await, (1, 1, 2));
    replica.run("START SLAVE;");
    replica.catch_up(&server);
    assert_eq!(seen(&store).await, (2, 2, 2));
    // It is gone: the first one is asked.
    replica.run("STOP SLAVE;");
    register(&store, 3).await;
    drop(replica);
    assert_eq!(seen(&store).await, (3, 3, 3));
    assert!(store.depth().await.unwrap().ledger.fits());
    store.close().await;
}
