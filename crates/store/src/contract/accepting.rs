//! Cases of accepting: what is counted, what is refused, what is remembered.

use reveille_model::{Settled, SubscriptionId};

use super::Case;
use super::scene::{Scene, at, message, notification};
use crate::{AcceptError, Acceptance, Accepted, Idempotency, Item, Sweep, TakeBack, TokenMessage};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("what is accepted waits and is counted", |store| Box::pin(counted(Scene::new(store)))),
        ("a closed window takes nothing more", |store| Box::pin(closed(Scene::new(store)))),
        ("a full outbox takes all of a request or nothing", |store| {
            Box::pin(full(Scene::new(store)))
        }),
        ("an unusable token settles at once", |store| Box::pin(unusable(Scene::new(store)))),
        ("a repeated request is accepted once", |store| Box::pin(repeated(Scene::new(store)))),
        ("a user without devices is no error", |store| Box::pin(nobody(Scene::new(store)))),
        ("a device named twice is woken once", |store| Box::pin(named_twice(Scene::new(store)))),
        ("a scheduled notification joins its window", |store| {
            Box::pin(scheduled(Scene::new(store)))
        }),
        ("what is scheduled counts as waiting", |store| {
            Box::pin(scheduled_counts(Scene::new(store)))
        }),
        ("a scheduled notification can be taken back", |store| {
            Box::pin(taken_back(Scene::new(store)))
        }),
    ]
}

async fn counted(scene: Scene) {
    scene.tokens(&["a", "b"], at(10)).await;
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting), (2, 2));
    let depth = scene.store.depth().await.expect("depth");
    assert_eq!(depth.oldest_window_end, Some(at(10)));
}

async fn closed(scene: Scene) {
    scene.end_window(at(10)).await;
    for end in [at(9), at(10)] {
        let late = scene.try_accept(Item::Tokens(message(&["a"])), end, None).await;
        assert!(matches!(late, Err(AcceptError::WindowClosed { .. })), "{late:?}");
    }
    // Closing an earlier window opens nothing.
    scene.store.close(at(5)).await.expect("close");
    let late = scene.try_accept(Item::Tokens(message(&["a"])), at(10), None).await;
    assert!(matches!(late, Err(AcceptError::WindowClosed { .. })), "{late:?}");
    scene.tokens(&["a"], at(11)).await;
}

async fn full(scene: Scene) {
    scene.tokens(&["a", "b"], at(10)).await;
    let accept = |items| {
        let acceptance =
            Acceptance { now: at(0), window_end: at(10), waiting_max: 2, idempotency: None, items };
        scene.store.accept(acceptance)
    };
    let items = vec![Item::Tokens(message(&["c"])), Item::Notification(notification(1, &["u"]))];
    let refused = accept(items).await;
    assert!(matches!(refused, Err(AcceptError::Full)), "{refused:?}");
    assert_eq!(scene.ledger().await.accepted, 2);
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find");
    assert_eq!(trail, None, "nothing of a refused request is written");
}

async fn unusable(scene: Scene) {
    let odd = TokenMessage { unusable: 3, ..message(&["a"]) };
    scene.try_accept(Item::Tokens(odd), at(10), None).await.expect("accepted");
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting), (4, 1));
    assert_eq!(ledger.settled(Settled::PayloadError), 3);
}

async fn repeated(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let (key, body) = ([1; 32], [2; 32]);
    let ask = |number, key, body| {
        let item = Item::Notification(notification(number, &["u"]));
        scene.try_accept(item, at(10), Some(Idempotency { key, body }))
    };
    let first = notification(1, &[]).id;
    assert_eq!(
        ask(1, key, body).await.expect("new"),
        Accepted::New { ids: vec![first], wakeups: 1, muted: 0 }
    );
    assert_eq!(ask(2, key, body).await.expect("repeat"), Accepted::Repeated { ids: vec![first] });
    assert_eq!(scene.ledger().await.accepted, 1);
    let reused = ask(3, key, [3; 32]).await;
    assert!(matches!(reused, Err(AcceptError::KeyReused)), "{reused:?}");
    // Remembered beyond the window, and for as long as it must be.
    scene.end_window(at(10)).await;
    let forget = |before| {
        let sweep = Sweep {
            now: at(20),
            trails_before: at(0),
            idempotency_before: before,
            suspects_before: at(0),
            counters_before: at(0),
            inbox_before: reveille_model::Timestamp::EPOCH,
            limit: 10,
        };
        scene.store.sweep(sweep)
    };
    assert_eq!(forget(at(0)).await.expect("sweep").idempotency_keys, 0);
    assert!(matches!(ask(2, key, body).await, Ok(Accepted::Repeated { .. })));
    assert_eq!(forget(at(1)).await.expect("sweep").idempotency_keys, 1);
    let forgotten = scene
        .try_accept(
            Item::Notification(notification(4, &["u"])),
            at(30),
            Some(Idempotency { key, body: [3; 32] }),
        )
        .await;
    assert!(matches!(forgotten, Ok(Accepted::New { .. })), "{forgotten:?}");
}

async fn nobody(scene: Scene) {
    let id = scene.notify(notification(1, &["nobody"]), at(10)).await;
    let trail = scene.store.find(id).await.expect("find").expect("a trail");
    assert_eq!((trail.ledger.accepted, trail.window_end), (0, Some(at(10))));
    assert_eq!(scene.end_window(at(10)).await, 0);
}

async fn named_twice(scene: Scene) {
    let device = scene.register("u", "t", at(0)).await;
    scene.notify(notification(1, &["u", "u"]), at(10)).await;
    let mut by_device = notification(2, &[]);
    let unknown = SubscriptionId::from_bytes([9; 16]);
    by_device.audience =
        reveille_model::Audience::Subscriptions(vec![device.id, device.id, unknown]);
    scene.notify(by_device, at(10)).await;
    assert_eq!(scene.ledger().await.accepted, 2, "one for each notification");
    assert_eq!(scene.end_window(at(10)).await, 1, "one waiting wake-up for the device");
}

async fn scheduled(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let mut later = notification(1, &["u"]);
    later.deliver_after = Some(at(15));
    let id = scene.notify(later, at(10)).await;
    assert_eq!(scene.store.depth().await.expect("depth").scheduled, 1);
    assert_eq!(scene.end_window(at(10)).await, 0);
    // A device registered in the meantime is woken too.
    scene.register("u", "t2", at(12)).await;
    let trail = scene.store.find(id).await.expect("find").expect("a trail");
    assert_eq!((trail.window_end, trail.deliver_after), (None, Some(at(15))));
    assert_eq!(scene.end_window(at(20)).await, 2);
    let trail = scene.store.find(id).await.expect("find").expect("a trail");
    assert_eq!((trail.window_end, trail.ledger.waiting), (Some(at(20)), 2));
    // One that falls due inside the open window joins it at once.
    let mut soon = notification(2, &["u"]);
    soon.deliver_after = Some(at(25));
    scene.notify(soon, at(30)).await;
    assert_eq!(scene.store.depth().await.expect("depth").scheduled, 0);
}

async fn scheduled_counts(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let schedule = |number: u8, waiting_max| {
        let mut later = notification(number, &["u", "v", "w"]);
        later.deliver_after = Some(at(15));
        let items = vec![Item::Notification(later)];
        let acceptance =
            Acceptance { now: at(0), window_end: at(10), waiting_max, idempotency: None, items };
        scene.store.accept(acceptance)
    };
    schedule(1, 3).await.expect("there is room");
    assert!(matches!(schedule(2, 3).await, Err(AcceptError::Full)), "three are named");
    let id = notification(1, &[]).id;
    assert_eq!(scene.store.take_back(id).await.expect("take back"), TakeBack::Taken);
    schedule(3, 3).await.expect("there is room again");
    assert_eq!(scene.end_window(at(20)).await, 1);
    let item = Item::Tokens(message(&["x"]));
    let acceptance = Acceptance {
        now: at(20),
        window_end: at(30),
        waiting_max: 2,
        idempotency: None,
        items: vec![item],
    };
    scene.store.accept(acceptance).await.expect("one waits, nobody is scheduled");
}

async fn taken_back(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let mut later = notification(1, &["u"]);
    later.deliver_after = Some(at(15));
    let id = scene.notify(later, at(10)).await;
    assert_eq!(scene.store.take_back(id).await.expect("take back"), TakeBack::Taken);
    assert_eq!(scene.store.take_back(id).await.expect("take back"), TakeBack::Taken, "again");
    assert_eq!(scene.end_window(at(20)).await, 0);
    let trail = scene.store.find(id).await.expect("find").expect("a trail");
    assert!(trail.taken_back);
    let joined = scene.notify(notification(2, &["u"]), at(30)).await;
    assert_eq!(scene.store.take_back(joined).await.expect("take back"), TakeBack::TooLate);
    let unknown = notification(9, &[]).id;
    assert_eq!(scene.store.take_back(unknown).await.expect("take back"), TakeBack::Unknown);
}
