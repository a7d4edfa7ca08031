//! What cohorts survive.

use reveille_model::{CohortSizes, MessageType, Shuffle};
use reveille_store::{Cohorts as _, Mix, Outbox as _, Subscriptions as _, Users as _};
use reveille_store_sqlite::SqliteStore;

use crate::rig::{
    Dir, NOW, SIZES, WINDOW, accept, deliver, event, expand, form, ids, lead, mix, open, register,
    user,
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
        let expanded = store.expand(WINDOW, Shuffle::from_seed([9; 32])).await.unwrap();
        drop(store);
        store = open(&file).await;
        if expanded.done {
            break;
        }
    }
    let woken = deliver(&store, WINDOW).await.len();
    assert_eq!(woken, 8 * leaving.len());
    assert_eq!(store.census(WINDOW).await.unwrap().partial, 0);
    assert_eq!(store.depth().await.unwrap().ledger.waiting, 0);
}

trait Closing {
    async fn close_at_window(&self);
}

impl Closing for SqliteStore {
    async fn close_at_window(&self) {
        reveille_store::Outbox::close(self, WINDOW).await.unwrap();
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
