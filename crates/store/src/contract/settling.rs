//! Cases of settling: how wake-ups end, and what that means for a device.

use reveille_model::{Duration, Ledger, Proof, Reason, Settled};

use super::Case;
use super::scene::{Scene, at, message, notification, set};
use crate::{End, Item, Sweep, TokenMessage};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("each end is counted once", |store| Box::pin(counted(Scene::new(store)))),
        ("a retry waits for its time and remembers its attempts", |store| {
            Box::pin(retry(Scene::new(store)))
        }),
        ("what is given back is due at once", |store| Box::pin(given_back(Scene::new(store)))),
        ("a waiting retry absorbs a newer one and keeps its time", |store| {
            Box::pin(absorbs(Scene::new(store)))
        }),
        ("a retry joins a newer one, which inherits its time", |store| {
            Box::pin(joins(Scene::new(store)))
        }),
        ("a dead device goes on proof", |store| Box::pin(dead(Scene::new(store)))),
        ("a device registered anew stays", |store| Box::pin(renewed(Scene::new(store)))),
        ("dated proof counts against older registrations only", |store| {
            Box::pin(dated(Scene::new(store)))
        }),
        ("the trail follows each wake-up", |store| Box::pin(trail(Scene::new(store)))),
        ("a sweep expires what nobody claims", |store| Box::pin(sweep(Scene::new(store)))),
    ]
}

async fn counted(scene: Scene) {
    scene.tokens(&["a", "b", "c", "d", "e", "f", "g"], at(10)).await;
    scene.end_window(at(10)).await;
    for (claimed, how) in scene.claim(at(10), 1).await.iter().zip(Settled::ALL) {
        scene.settle(claimed, End::Settled(how), at(11)).await;
    }
    let ledger = scene.ledger().await;
    assert_eq!((ledger.waiting, ledger.settled), (0, [1; 7]));
}

async fn retry(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    for attempt in 0..3 {
        let now = at(10 + 20 * attempt);
        let claimed = scene.claim(now, u64::from(attempt) + 1).await;
        let one = claimed.first().expect("due");
        assert_eq!(one.attempts, attempt);
        scene.settle(one, End::Retry(now.plus(Duration::from_s(20))), now).await;
        assert!(scene.claim(now.plus(Duration::from_s(19)), 9).await.is_empty(), "not yet");
    }
}

async fn given_back(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    let claimed = scene.claim(at(10), 1).await;
    scene.settle(claimed.first().expect("one"), End::Postpone(at(12)), at(12)).await;
    let again = scene.claim(at(12), 2).await;
    assert_eq!(again.first().expect("due at once").attempts, 0, "it was not an attempt");
}

async fn absorbs(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    let claimed = scene.claim(at(10), 1).await;
    scene.settle(claimed.first().expect("one"), End::Retry(at(50)), at(11)).await;
    let newer = TokenMessage { ttl: Duration::from_s(7_200), ..message(&["a"]) };
    scene.try_accept(Item::Tokens(newer), at(20), None).await.expect("accepted");
    assert_eq!(scene.end_window(at(20)).await, 0);
    assert!(scene.claim(at(49), 2).await.is_empty(), "the provider's time is kept");
    let claimed = scene.claim(at(50), 3).await;
    let one = claimed.first().expect("one");
    assert_eq!(one.expires_at, at(20 + 7_200), "it lives as long as the newer one would");
}

async fn joins(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    let first = scene.claim(at(10), 1).await;
    scene.tokens(&["a"], at(20)).await;
    scene.end_window(at(20)).await;
    let report = scene.settle(first.first().expect("one"), End::Retry(at(50)), at(21)).await;
    assert_eq!(report.collapsed, 1);
    assert!(scene.claim(at(49), 2).await.is_empty(), "the newer one inherits the provider's time");
    let claimed = scene.claim(at(50), 3).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(scene.ledger().await.collapsed, 1);
    // And the longer life of the two, whichever had it.
    scene.finish(&claimed, at(51)).await;
    scene.tokens(&["b"], at(60)).await;
    scene.end_window(at(60)).await;
    let long = scene.claim(at(60), 4).await;
    let short = TokenMessage { ttl: Duration::from_s(5), ..message(&["b"]) };
    scene.try_accept(Item::Tokens(short), at(70), None).await.expect("accepted");
    scene.end_window(at(70)).await;
    scene.settle(long.first().expect("one"), End::Retry(at(90)), at(71)).await;
    assert_eq!(
        scene.claim(at(90), 5).await.first().expect("still worth sending").expires_at,
        at(60 + 3_600)
    );
}

async fn dead(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    // By whichever way the push came about: here a caller named the token.
    scene.tokens(&["t", "stranger"], at(10)).await;
    scene.end_window(at(10)).await;
    let mut dropped = 0;
    for claimed in scene.claim(at(10), 1).await {
        dropped += scene
            .settle(&claimed, End::Dead(Proof::Unguarded, Reason::OTHER), at(11))
            .await
            .dropped;
    }
    assert_eq!(dropped, 1);
    assert_eq!(scene.ledger().await.settled(Settled::Dead), 2);
    assert!(scene.devices("u").await.is_empty());
    // The token is free again.
    scene.register("v", "t", at(12)).await;
    assert_eq!(scene.devices("v").await, ["t"]);
}

async fn renewed(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.notify(notification(1, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    let claimed = scene.claim(at(10), 1).await;
    scene.register("u", "t", at(11)).await;
    let one = claimed.first().expect("one");
    let report = scene.settle(one, End::Dead(Proof::Unguarded, Reason::OTHER), at(12)).await;
    assert_eq!((report.dropped, report.renewed), (0, 1));
    assert_eq!(scene.devices("u").await, ["t"], "the app came back in the meantime");
    assert_eq!(scene.claim(at(12), 2).await.len(), 1, "and is woken all the same");
}

async fn dated(scene: Scene) {
    scene.register("u", "t", at(5)).await;
    let verdict = |window: u32, date: u32| {
        let scene = scene.clone();
        async move {
            scene.tokens(&["t"], at(window)).await;
            scene.end_window(at(window)).await;
            let claimed = scene.claim(at(window), u64::from(window)).await;
            let end = End::Dead(Proof::Dated(at(date)), Reason::OTHER);
            let report = scene.settle(claimed.first().expect("due"), end, at(window)).await;
            (report.dropped, report.renewed)
        }
    };
    assert_eq!(verdict(10, 4).await, (0, 1), "it was registered since");
    assert_eq!(scene.devices("u").await, ["t"]);
    assert_eq!(verdict(20, 6).await, (1, 0));
    assert!(scene.devices("u").await.is_empty());
    assert_eq!(scene.ledger().await.settled(Settled::Dead), 2);
}

async fn trail(scene: Scene) {
    for device in ["t1", "t2", "t3"] {
        scene.register("u", device, at(0)).await;
    }
    let first = scene.notify(notification(1, &["u"]), at(10)).await;
    let second = scene.notify(notification(2, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    let ends = [
        End::Settled(Settled::Sent),
        End::Dead(Proof::Unguarded, Reason::OTHER),
        End::Retry(at(50)),
    ];
    for (claimed, end) in scene.claim(at(10), 1).await.iter().zip(ends) {
        scene.settle(claimed, end, at(11)).await;
    }
    let ledger = |id| {
        let scene = scene.clone();
        async move {
            let trail = scene.store.find(id).await.expect("find").expect("a trail");
            assert!(trail.ledger.fits(), "{trail:?}");
            trail.ledger
        }
    };
    // Which of the two a device is woken for is up to the shuffle.
    let (one, other) = (ledger(first).await, ledger(second).await);
    let both = |part: fn(&Ledger) -> u64| part(&one) + part(&other);
    assert_eq!((one.accepted, other.accepted), (3, 3));
    assert_eq!((both(|it| it.waiting), both(|it| it.collapsed)), (1, 3));
    assert_eq!(
        (both(|it| it.settled(Settled::Sent)), both(|it| it.settled(Settled::Dead))),
        (1, 1)
    );
    // Kept for its time, then forgotten; what is under way goes on.
    let forget = |before| {
        let sweep = Sweep {
            now: at(12),
            trails_before: before,
            idempotency_before: at(0),
            suspects_before: at(0),
            counters_before: at(0),
            inbox_before: reveille_model::Timestamp::EPOCH,
            limit: 10,
        };
        scene.store.sweep(sweep)
    };
    assert_eq!(forget(at(10)).await.expect("sweep").trails, 0);
    assert_eq!(forget(at(11)).await.expect("sweep").trails, 2);
    assert_eq!(scene.store.find(first).await.expect("find"), None);
    let claimed = scene.claim(at(50), 2).await;
    scene.finish(&claimed, at(51)).await;
    assert_eq!(scene.ledger().await.settled(Settled::Sent), 2);
}

async fn sweep(scene: Scene) {
    scene.tokens(&["a", "b", "c"], at(10)).await;
    scene.end_window(at(10)).await;
    let end = 10 + 3_600;
    // A long lease is still held when its wake-up expires; a worker may be waiting for the answer.
    let claim = crate::Claim {
        set: set(),
        now: at(end - 1),
        lease: reveille_model::LeaseId::from_random(2),
        lease_until: at(end + 60),
        limit: 1,
        hold: Duration::from_s(100),
    };
    assert_eq!(scene.store.claim(claim).await.expect("claim").len(), 1);
    let sweep = |now| {
        let sweep = Sweep {
            now,
            trails_before: at(0),
            idempotency_before: at(0),
            suspects_before: at(0),
            counters_before: at(0),
            inbox_before: reveille_model::Timestamp::EPOCH,
            limit: 2,
        };
        let scene = scene.clone();
        async move {
            let mut expired = 0;
            // Twice around, in bounded steps.
            for _ in 0..4 {
                expired += scene.store.sweep(sweep).await.expect("sweep").expired;
            }
            expired
        }
    };
    assert_eq!(sweep(at(end - 1)).await, 0);
    assert_eq!(sweep(at(end)).await, 2);
    assert_eq!(sweep(at(end + 60)).await, 1, "the lease has run out");
    assert_eq!(scene.ledger().await.settled(Settled::Expired), 3);
}
