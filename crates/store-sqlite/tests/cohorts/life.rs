//! What cohorts survive.

use reveille_model::limits::EXPAND_MAX;
use reveille_model::{
    CohortSizes, CredentialSet, Duration, MessageType, Notification, Provider, Shuffle,
    SubscriptionChange, Timestamp, Token,
};
use reveille_store::{Cohorts as _, Mix, Next, Outbox as _, Subscriptions as _, Users as _};
use reveille_store_sqlite::SqliteStore;

use crate::rig::{
    Dir, NOW, SIZES, WINDOW, accept, accept_tokens, deliver, event, expand, expand_some, form, ids,
    lead, mix, open, register, user,
};

#[tokio::test]
async fn a_cohort_is_whole_wherever_the_process_ends() {
    let dir = Dir::new("ends");
    let file = dir.database("reveille");
    let store = open(&file).await;
    for number in 0..24 {
        register(&store, number).await;
    }
    form(&store).await;
    accept(&store, event(1, 3)).await;
    drop(store);
    let store = open(&file).await;
    store.close_at_window().await;
    drop(store);
    let store = open(&file).await;
    let marked = store.marked(WINDOW).await.unwrap();
    assert_eq!(marked.iter().map(|each| each.is_leaving).collect::<Vec<_>>(), [false]);
    let two = &ids(&store).await[..2];
    lead(&store, WINDOW, two).await;
    lead(&store, WINDOW, &[marked[0].cohort.id]).await;
    let leaving = store.marked(WINDOW).await.unwrap();
    drop(store);
    let mut store = open(&file).await;
    assert_eq!(store.marked(WINDOW).await.unwrap(), leaving, "what was decided stays decided");
    // After every step.
    loop {
        let is_done = expand_some(&store, WINDOW).await;
        drop(store);
        store = open(&file).await;
        if is_done {
            break;
        }
    }
    let woken = deliver(&store, WINDOW).await.len();
    assert_eq!(woken, 8 * leaving.len());
    assert_eq!(store.census(WINDOW).await.unwrap().partial, 0);
    assert_eq!(store.depth().await.unwrap().ledger.waiting, 0);
}

#[tokio::test]
async fn a_release_that_was_interrupted_is_not_mustered_again() {
    let dir = Dir::new("interrupted");
    let file = dir.database("reveille");
    let store = open(&file).await;
    for number in 0..8 {
        register(&store, number).await;
    }
    form(&store).await;
    // What is scheduled for a device that is sealed no longer by then marks its cohort while its batch is released.
    let id = store.list(&user(3)).await.unwrap()[0].id;
    let seal = async |sealed| {
        let change = SubscriptionChange { sealed: Some(sealed), ..SubscriptionChange::default() };
        store.change(&user(3), id, change, NOW).await.unwrap();
    };
    seal(true).await;
    let late = WINDOW.plus(Duration::from_s(60));
    accept(&store, Notification { deliver_after: Some(WINDOW), ..event(1, 3) }).await;
    seal(false).await;
    assert!(store.beat(NOW, WINDOW).await.unwrap());
    // More than is released at once.
    let tokens = (0..2 * EXPAND_MAX).map(|number| format!("loud-{number}"));
    let tokens = tokens.map(|token| Token::parse(Provider::Fcm, &token).unwrap()).collect();
    accept_tokens(&store, tokens, late).await;
    store.close_before(late).await;
    let mut wakeups = 0;
    while wakeups == 0 || store.marked(late).await.unwrap().is_empty() {
        let expanded = store.expand(late, Shuffle::from_seed([9; 32])).await.unwrap();
        assert!(!expanded.is_done() && !expanded.released, "{expanded:?}");
        if expanded.next == Next::Muster {
            store.mustered(late).await.unwrap();
        }
        wakeups += expanded.wakeups;
    }
    drop(store);
    let store = open(&file).await;
    loop {
        let expanded = store.expand(late, Shuffle::from_seed([9; 32])).await.unwrap();
        assert_ne!(expanded.next, Next::Muster, "it would leave after its batch");
        if expanded.is_done() {
            break;
        }
    }
    assert_eq!(store.marked(late).await.unwrap().len(), 1, "with the next window");
}

trait Closing {
    async fn close_before(&self, until: Timestamp);

    async fn close_at_window(&self) {
        self.close_before(WINDOW).await;
    }
}

impl Closing for SqliteStore {
    async fn close_before(&self, until: Timestamp) {
        reveille_store::Outbox::close(self, until).await.unwrap();
    }
}

#[tokio::test]
async fn users_of_a_database_without_cohorts_come_to_be_in_some() {
    let dir = Dir::new("switch");
    let file = dir.database("reveille");
    let store = SqliteStore::open(&file, NOW).unwrap();
    store.mix(mix(None)).await.unwrap();
    for number in 0..1_203 {
        register(&store, number).await;
    }
    assert_eq!(store.census(NOW).await.unwrap().provisional, []);
    store.mix(mix(Some(SIZES))).await.unwrap();
    assert_eq!(store.census(NOW).await.unwrap().provisional, [(1_203, 1)]);
    form(&store).await;
    assert_eq!(store.census(NOW).await.unwrap().sizes, [(8, 150)]);
    // Cohorts outlast a time without them; who has gone meanwhile is found to be gone.
    store.mix(mix(None)).await.unwrap();
    store.delete_all(&user(7)).await.unwrap();
    register(&store, 2_000).await;
    drop(store);
    let store = open(&file).await;
    let census = store.census(NOW).await.unwrap();
    assert_eq!((census.sizes, census.provisional), (vec![(7, 1), (8, 149)], vec![(4, 1)]));
    assert_eq!(census.ghosts, 1);
    // Credentials that show a user they were woken: nobody may be woken for others.
    store.mix(Mix { silent: [].into(), ..mix(Some(SIZES)) }).await.unwrap();
    let census = store.census(NOW).await.unwrap();
    assert_eq!((census.sizes, census.provisional, census.ghosts), (vec![], vec![], 0));
}

#[tokio::test]
async fn larger_sizes_retire_what_is_too_small() {
    let dir = Dir::new("sizes");
    let store = open(&dir.database("reveille")).await;
    for number in 0..16 {
        register(&store, number).await;
    }
    form(&store).await;
    assert_eq!(store.census(NOW).await.unwrap().sizes, [(8, 2)]);
    accept(&store, event(1, 3)).await;
    store.mix(mix(Some(CohortSizes { form: 16, floor: 12 }))).await.unwrap();
    let census = store.census(NOW).await.unwrap();
    assert_eq!((census.sizes, census.provisional), (vec![], vec![(16, 1)]));
    form_all(&store).await;
    assert_eq!(store.census(NOW).await.unwrap().sizes, [(16, 1)]);
    store.close_at_window().await;
    lead(&store, WINDOW, &ids(&store).await).await;
    expand(&store, WINDOW).await;
    assert_eq!(deliver(&store, WINDOW).await.len(), 16, "what was accepted is not lost");
}

async fn form_all(store: &SqliteStore) {
    let nurseries = store.nurseries().await.unwrap();
    let groups = nurseries[0].groups.iter().map(|(group, _)| *group).collect();
    assert!(store.found(nurseries[0].stratum, vec![groups]).await.unwrap());
}

#[tokio::test]
async fn a_ghost_outlives_its_user_and_the_change_of_keys() {
    let dir = Dir::new("ghost");
    let file = dir.database("reveille");
    let store = open(&file).await;
    for number in 0..8 {
        register(&store, number).await;
    }
    form(&store).await;
    let types = vec![MessageType::parse("checkEchoV1").unwrap()];
    store.erase(&user(3), types).await.unwrap();
    store.close();
    for name in ["reveille.db", "reveille.db-wal"] {
        let bytes = std::fs::read(file.with_file_name(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("user-00003-planted"), "{name}");
        assert!(name.ends_with("wal") || text.contains("user-00004-planted"), "the search works");
    }
    let key_file = file.with_extension("db.key");
    SqliteStore::change_key(&file, &key_file, &mut |_, _| {}).unwrap();
    let store = open(&file).await;
    assert_eq!(store.census(NOW).await.unwrap().ghosts, 1);
    accept(&store, event(1, 3)).await;
    assert_eq!(store.marked(WINDOW).await.unwrap().len(), 1, "their events go on");
}

#[tokio::test]
async fn a_database_of_the_ninth_version_keeps_its_cohorts() {
    let dir = Dir::new("ninth");
    let file = dir.database("reveille");
    let store = open(&file).await;
    for number in 0..8 {
        register(&store, number).await;
    }
    form(&store).await;
    accept(&store, event(1, 3)).await;
    store.close();
    // As version 9 wrote it, which moved whoever got a device at another provider. User 3 waits with both, four others are in a cohort with both; all of
    // them have left ghosts.
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch(
        "ALTER TABLE strata DROP COLUMN providers;
         ALTER TABLE members DROP COLUMN lacks;
         ALTER TABLE scheduled DROP COLUMN since;
         ALTER TABLE scheduled DROP COLUMN spread;
         DROP TABLE seen;
         DROP TABLE moved;
         DROP TRIGGER subscription_kind_came;
         DROP TRIGGER subscription_kind_went;
         DROP TRIGGER subscription_kind_changed;
         DROP TABLE device_kinds;
         ALTER TABLE state DROP COLUMN halted;
         INSERT INTO credential_sets (name, silent) VALUES ('apns.app', 1);
         INSERT INTO subscriptions (id, user_name, set_id, topic, token, token_key, generation, created_at, refreshed_at)
           SELECT randomblob(16), user_name, (SELECT id FROM credential_sets WHERE name = 'apns.app'),
             'org.example.app', token, randomblob(16), 1, 1, 1
           FROM subscriptions WHERE user_name >= 'user-00003-planted';
         INSERT INTO strata (name) VALUES ('apns.app org.example.app|fcm.default');
         INSERT INTO cohorts (id, stratum, standing, formed, live)
           SELECT 1000, id, 0, 0, 1 FROM strata WHERE name LIKE '%|%'
           UNION SELECT 2000, id, 1, 4, 4 FROM strata WHERE name LIKE '%|%';
         CREATE TEMP TABLE moved AS SELECT * FROM members WHERE user_name >= 'user-00003-planted';
         UPDATE members SET user_name = NULL WHERE id IN (SELECT id FROM moved);
         INSERT INTO members (key, cohort, user_name)
           SELECT key, CASE user_name WHEN 'user-00003-planted' THEN 1000 ELSE 2000 END, user_name FROM moved;
         UPDATE cohorts SET live = 3 WHERE formed = 8;
         DELETE FROM changed;
         PRAGMA user_version = 9",
    )
    .unwrap();
    drop(raw);
    let store = SqliteStore::open(&file, NOW).unwrap();
    let apns = CredentialSet::new(Provider::Apns, "app").unwrap();
    let both = Mix { silent: [crate::rig::set(), apns].into(), ..mix(Some(SIZES)) };
    store.mix(both).await.unwrap();
    let census = store.census(NOW).await.unwrap();
    // The phone of user 3 is back in its place, and the iPhone waits. Those who were moved for good are not moved back.
    assert_eq!((census.sizes, census.provisional), (vec![(4, 2)], vec![(1, 1)]));
    assert_eq!((census.ghosts, census.partial), (0, 0));
    store.close_at_window().await;
    lead(&store, WINDOW, &ids(&store).await).await;
    expand(&store, WINDOW).await;
    assert_eq!(deliver(&store, WINDOW).await.len(), 8);
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_nobody_up() {
    let dir = Dir::new("clock");
    let file = dir.database("reveille");
    let late = WINDOW.plus(Duration::from_s(86_400));
    let store = SqliteStore::open(&file, late).unwrap();
    store.mix(mix(Some(SIZES))).await.unwrap();
    for number in 0..8 {
        register(&store, number).await;
    }
    form(&store).await;
    store.close_before(late).await;
    lead(&store, late, &ids(&store).await).await;
    expand(&store, late).await;
    assert_eq!(deliver(&store, late).await.len(), 8);
    assert!(store.beat(late, late.plus(Duration::from_s(60))).await.unwrap());
    drop(store);
    // It was a day ahead.
    let store = open(&file).await;
    assert_eq!(store.census(WINDOW).await.unwrap().paying, 0, "nothing is to be paid tomorrow");
    let paid = store.cohorts().await.unwrap();
    assert!(paid.iter().all(|cohort| cohort.paid_at.is_none()), "{paid:?}");
    let sealed = store.list(&user(3)).await.unwrap()[0].id;
    let seal = SubscriptionChange { sealed: Some(true), ..SubscriptionChange::default() };
    store.change(&user(3), sealed, seal, NOW).await.unwrap();
    assert!(store.beat(WINDOW, WINDOW).await.unwrap());
    expand(&store, WINDOW).await;
    assert_eq!(deliver(&store, WINDOW).await, ["phone-3"], "the beat goes on");
}
