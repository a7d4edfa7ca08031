//! A real `MariaDB` keeps the contract.
#![cfg(test)]

use std::sync::Arc;

use reveille_model::Timestamp;
use reveille_store::contract;
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, MariaDb, needs_all};
use tokio::task::JoinSet;

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

fn settings(url: String, dir: &Dir) -> MariaDbSettings {
    let mut settings = MariaDbSettings::new(url, dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    settings.connections_max = 4;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_contract() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("the store on a real MariaDB"));
        return;
    };
    let (dir, mut broken) = (Dir::new(), Vec::new());
    for (number, (name, case)) in contract::cases().into_iter().enumerate() {
        println!("case: {name}");
        let settings = settings(server.create(&format!("case{number}")), &dir);
        MariaDbStore::migrate(&settings).await.unwrap();
        let store = Arc::new(MariaDbStore::open(settings, NOW).await.unwrap());
        let mut running = JoinSet::new();
        running.spawn(case(Arc::clone(&store) as Arc<_>));
        // The others are tried all the same.
        if running.join_next().await.is_some_and(|done| done.is_err()) {
            broken.push(name);
        }
        if let Ok(store) = Arc::try_unwrap(store) {
            store.close().await;
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}
