//! Cases of keeping: subscriptions, pauses, keys.

use super::Case;
use super::scene::{Scene, at, set};
use crate::Put;

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("registering again refreshes", |store| Box::pin(refresh(Scene::new(store)))),
        ("a token moves to whoever registers it", |store| Box::pin(moves(Scene::new(store)))),
        ("the least recently refreshed make room", |store| Box::pin(evicts(Scene::new(store)))),
        ("a pause is remembered", |store| Box::pin(pause(Scene::new(store)))),
        ("a key is created once", |store| Box::pin(key(Scene::new(store)))),
        ("a check succeeds", |store| Box::pin(check(Scene::new(store)))),
    ]
}

async fn refresh(scene: Scene) {
    let first = scene.register("u", "t", at(0)).await;
    let Put::Refreshed(again) = scene.put("u", "t", at(5)).await else { unreachable!("known") };
    assert_eq!((again.id, again.generation), (first.id, first.generation + 1));
    assert_eq!((again.created_at, again.refreshed_at), (at(0), at(5)));
    assert_eq!(scene.devices("u").await, ["t"]);
    assert_eq!(scene.store.count().await.expect("count"), (1, 0));
}

async fn moves(scene: Scene) {
    let first = scene.register("u", "t", at(0)).await;
    let Put::Created { subscription, .. } = scene.put("v", "t", at(5)).await else {
        unreachable!("another user's")
    };
    assert_ne!(subscription.id, first.id, "waiting wake-ups of the old owner must not reach it");
    assert_eq!((scene.devices("u").await.len(), scene.devices("v").await.len()), (0, 1));
}

async fn evicts(scene: Scene) {
    for (token, second) in [("t1", 1), ("t2", 2), ("t3", 3)] {
        scene.register("u", token, at(second)).await;
    }
    scene.register("u", "t1", at(4)).await;
    assert_eq!(scene.devices("u").await, ["t1", "t2", "t3"], "a refresh at the cap evicts nobody");
    let Put::Created { evicted, .. } = scene.put("u", "t4", at(5)).await else {
        unreachable!("new")
    };
    assert_eq!(evicted, 1);
    assert_eq!(scene.devices("u").await, ["t1", "t3", "t4"]);
}

async fn pause(scene: Scene) {
    assert_eq!(scene.store.paused_until(&set()).await.expect("pause"), None);
    for until in [at(50), at(40)] {
        scene.store.pause(&set(), until).await.expect("pause");
        assert_eq!(scene.store.paused_until(&set()).await.expect("pause"), Some(until));
    }
}

async fn key(scene: Scene) {
    let first = scene.store.key("windows", [1; 32]).await.expect("key");
    assert_eq!(first, [1; 32]);
    assert_eq!(scene.store.key("windows", [2; 32]).await.expect("key"), [1; 32]);
    assert_eq!(scene.store.key("other", [2; 32]).await.expect("key"), [2; 32]);
}

async fn check(scene: Scene) {
    scene.store.check(at(1)).await.expect("usable");
}
