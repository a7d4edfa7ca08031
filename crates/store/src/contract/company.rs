//! Cases of what wakes devices beside cohorts, and for no news of theirs.

use reveille_model::{MessageType, NewSubscription, Settled, SubscriptionChange, SubscriptionId};

use super::Case;
use super::cohort_scene::{SIZES, apns, iphones, mix, phones};
use super::scene::{Scene, at, message, notification, set, token, user};
use crate::{Accepted, Imported, Item, Mix};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("tokens of one request are one nobody has named", |store| {
            Box::pin(unnamed(Scene::new(store)))
        }),
        ("sealed devices are woken by the beat alone", |store| Box::pin(beats(Scene::new(store)))),
        ("a device that is sealed no longer is woken once more", |store| {
            Box::pin(unsealed(Scene::new(store)))
        }),
        ("decoys go to any silent device", |store| Box::pin(decoys(Scene::new(store)))),
        ("devices that are not silent are woken by themselves", |store| {
            Box::pin(beside(Scene::new(store)))
        }),
    ]
}

async fn unnamed(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.tokens(&["p1", "p2"], at(10)).await;
    scene.tokens(&["q1"], at(10)).await;
    assert_eq!(scene.in_nurseries().await, [(2, 1)], "two who have no names");
    scene.tokens(&["p2", "p3"], at(10)).await;
    assert_eq!(scene.in_nurseries().await, [(2, 1)], "a token joins those it came with");
    scene.phones("a").await;
    scene.tokens(&["r1"], at(10)).await;
    assert_eq!(scene.in_nurseries().await, [(4, 1)]);
    scene.form().await;
    assert_eq!(scene.ledger().await.waiting, 1);
    assert_eq!(scene.leave(at(10)).await, ["p1", "p2", "p3", "phone-a", "q1", "r1"]);
    // A registered one stands for its user, and a list for all it touches.
    let accepted =
        scene.accept(at(11), at(20), Item::Tokens(message(&["phone-a", "p1", "new"]))).await;
    assert!(matches!(accepted, Accepted::New { wakeups: 2, .. }), "{accepted:?}");
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![(1, 1)]));
    // Whoever registers a token has it from then on, and its place. Those without a name leave no ghost.
    for token in ["p1", "p2"] {
        scene.register("b", token, at(12)).await;
    }
    // So has whoever it comes to from elsewhere.
    let new = NewSubscription { user: user("b"), set: set(), topic: None, token: token("p3") };
    let device = (new, SubscriptionId::from_bytes([9; 16]), at(12));
    let imported = scene.store.import(vec![device], 10).await.expect("imported");
    assert_eq!(imported, [Imported::Created { evicted: 0 }]);
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![(1, 1)]));
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 0);
}

async fn beats(scene: Scene) {
    scene.mix(None).await;
    scene.phones("abc").await;
    for name in ["a", "b"] {
        let id = scene.store.list(&user(name)).await.expect("list").first().expect("one").id;
        let seal = SubscriptionChange { sealed: Some(true), ..SubscriptionChange::default() };
        scene.store.change(&user(name), id, seal, at(1)).await.expect("change");
    }
    assert_eq!(scene.store.census(at(0)).await.expect("census").sealed, 2);
    scene.notify(notification(1, &["a", "c"]), at(10)).await;
    scene.tokens(&["phone-b"], at(10)).await;
    assert_eq!(scene.leave(at(10)).await, ["phone-c"], "what happens does not wake them");
    let beat = async |at_beat, window_end| {
        let is_over = scene.store.beat(at_beat, window_end).await.expect("beat");
        scene.ledger().await;
        is_over
    };
    assert!(beat(at(20), at(30)).await);
    assert!(beat(at(20), at(30)).await, "once");
    let types = vec![MessageType::parse("checkEchoV1").expect("a word")];
    assert_eq!(scene.store.fetched(&user("a"), types).await.expect("fetched"), 0);
    assert_eq!(scene.leave(at(30)).await, phones("ab"));
    assert!(beat(at(30), at(40)).await);
    assert_eq!(scene.leave(at(40)).await, phones("ab"));
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn unsealed(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("a").await;
    let id = scene.store.list(&user("a")).await.expect("list").first().expect("one").id;
    for sealed in [true, false] {
        let change = SubscriptionChange { sealed: Some(sealed), ..SubscriptionChange::default() };
        let changed = scene.store.change(&user("a"), id, change, at(1)).await.expect("change");
        assert_eq!(changed.map(|each| each.sealed), Some(sealed));
    }
    assert_eq!(scene.in_nurseries().await, [], "until the next beat it is sealed all the same");
    assert!(scene.store.beat(at(10), at(20)).await.expect("beat"));
    assert_eq!(scene.in_nurseries().await, [(1, 1)]);
    assert_eq!(scene.leave(at(20)).await, phones("a"));
    assert!(scene.store.beat(at(20), at(30)).await.expect("beat"));
    assert_eq!(scene.leave(at(30)).await, [""; 0]);
}

async fn decoys(scene: Scene) {
    scene.mix(None).await;
    assert_eq!(scene.store.noops(at(10), vec![1, 2, 3]).await.expect("noops"), 0, "nobody");
    scene.phones("abcdefgh").await;
    let mut woken = std::collections::BTreeSet::new();
    for number in 1..=40 {
        let end = at(number * 10);
        let draw = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(scene.store.noops(end, vec![draw, draw]).await.expect("noops"), 2);
        let tokens = scene.leave(end).await;
        assert_eq!(tokens.len(), 1, "the same one twice is woken once");
        woken.extend(tokens);
        assert_eq!(scene.ledger().await.waiting, 0);
    }
    assert_eq!(woken.len(), 8, "everybody in time: {woken:?}");
}

async fn beside(scene: Scene) {
    scene.store.mix(Mix { silent: [apns()].into(), ..mix(Some(SIZES)) }).await.expect("mix");
    scene.phones("ae").await;
    scene.iphones("abcd").await;
    scene.forget("e").await;
    scene.form().await;
    let census = scene.store.census(at(0)).await.expect("census");
    assert_eq!((census.devices, census.silent), (5, 4));
    let accepted = scene.accept(at(1), at(10), Item::Notification(notification(1, &["a"]))).await;
    assert!(matches!(accepted, Accepted::New { wakeups: 2, .. }), "{accepted:?}");
    assert_eq!(scene.leave(at(10)).await, [iphones("abcd"), phones("a")].concat());
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find").expect("a trail");
    assert_eq!((trail.cohorts, trail.ledger.settled(Settled::Sent)), (1, 1));
}
