//! A data centre is away: reading and writing go on in the other, and what is deleted meanwhile is deleted there once it is back.

use http::Method;
use reveille_model::SessionKey;
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_store::Sessions as _;
use reveille_store_cassandra::{CassandraSessions, DeleteAnswer};
use reveille_testkit::Cassandra;

use crate::load::Load;
use crate::server::Running;
use crate::settings;

const KEYS: [&str; 3] = ["strict", "lenient", "written-again"];

pub(crate) async fn data_center_is_away(cassandra: &mut Cassandra) {
    let strict = Running::start(settings(cassandra, "dc1")).await;
    let mut lenient = settings(cassandra, "dc1");
    lenient.delete_answer = DeleteAnswer::LocalQuorum;
    let lenient = Running::start(lenient).await;
    for key in KEYS {
        assert_eq!(strict.status(Method::POST, key, "before").await, 201);
    }
    assert_eq!(strict.status(Method::DELETE, "nobody", "").await, 204);
    let mut load = Load::start(&strict.client, "away");
    load.more(100).await;
    cassandra.kill(4);
    load.more(100).await;
    cassandra.wait_until_noticed(4).await;
    load.more(100).await;
    let (count, failed) = load.end().await;
    println!("dc2 away: {count} entries written and read in dc1");
    assert_eq!(failed, Vec::<String>::new());

    assert_eq!(strict.status(Method::DELETE, "strict", "").await, 500);
    assert_eq!(lenient.status(Method::DELETE, "lenient", "").await, 204);
    assert_eq!(lenient.status(Method::DELETE, "written-again", "").await, 204);
    for key in KEYS {
        assert_eq!(strict.status(Method::GET, key, "").await, 404, "{key} is gone here");
    }
    assert_eq!(strict.status(Method::POST, "written-again", "after").await, 201);
    // Another process finds what this one has written down.
    drop((strict, lenient));
    let other = CassandraSessions::open(settings(cassandra, "dc1")).await.unwrap();
    assert_eq!(other.upkeep(SystemClock.now()).await.unwrap(), 0, "it is still away");
    cassandra.restart(4).await;
    let there = CassandraSessions::open(settings(cassandra, "dc2")).await.unwrap();
    let mut done = 0;
    let mut now = SystemClock.now();
    while done < KEYS.len() {
        now = now.plus(reveille_model::Duration::from_s(30));
        done += other.upkeep(now).await.unwrap();
    }
    let found = async |store: &CassandraSessions, key| {
        let key = SessionKey::parse(key).unwrap();
        store.get(&key, SystemClock.now()).await.unwrap().map(|entry| entry.value)
    };
    for key in ["strict", "lenient"] {
        assert_eq!(found(&there, key).await, None, "{key}");
    }
    assert_eq!(found(&other, "written-again").await.unwrap(), "after");
    // What was written while it was away Cassandra brings there by itself, soon.
    while found(&there, "written-again").await.is_none_or(|value| value != "after") {}
    now = now.plus(reveille_model::Duration::from_s(60));
    assert_eq!(other.upkeep(now).await.unwrap(), 0, "nothing is left to be done");
}
