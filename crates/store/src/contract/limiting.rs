//! Cases of preferences and limits.

use reveille_model::{Audience, DryRun, Duration, EventType, Limit, Notification, Policy, Settled};

use super::Case;
use super::scene::{Scene, at, notification, user};
use crate::{Accepted, Item, Wakes};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("users say what wakes them", |store| Box::pin(prefers(Scene::new(store)))),
        ("a period has its limit", |store| Box::pin(limits(Scene::new(store)))),
        ("a limit is of one user and one event type", |store| Box::pin(apart(Scene::new(store)))),
        ("what is scheduled is asked when it falls due", |store| Box::pin(due(Scene::new(store)))),
        ("a dry run counts for nothing", |store| Box::pin(dry(Scene::new(store)))),
    ]
}

fn word(text: &str) -> EventType {
    EventType::parse(text).expect("a word")
}

/// So many in a minute.
fn limited(number: u8, count: u32, users: &[&str]) -> Notification {
    let limit = Some(Limit { count, per: Duration::from_s(60) });
    Notification { policy: Policy { wakes: true, limit }, ..notification(number, users) }
}

/// Accepts one and returns how many wake-ups joined, and how many users did not want it.
async fn notify(scene: &Scene, notification: Notification, second: u32) -> (u64, u64) {
    let now = at(second);
    let item = Item::Notification(notification);
    let accepted = scene.accept(now, at(10_000), item).await;
    let Accepted::New { wakeups, muted, .. } = accepted else { unreachable!("new") };
    (wakeups, muted)
}

async fn prefers(scene: Scene) {
    scene.register("u", "a", at(0)).await;
    scene.register("v", "b", at(0)).await;
    let store = &scene.store;
    assert_eq!(store.preferences(&user("u")).await.expect("preferences"), Wakes::new());
    let said: Wakes = [(word("mention"), false), (word("thanks"), true)].into();
    store.prefer(&user("u"), said.clone()).await.expect("prefer");
    assert_eq!(store.preferences(&user("u")).await.expect("preferences"), said);
    assert_eq!(notify(&scene, notification(1, &["u", "v"]), 1).await, (1, 1));
    let off = Policy { wakes: false, limit: None };
    let mention = Notification { policy: off, ..notification(2, &["u", "v"]) };
    assert_eq!(notify(&scene, mention, 1).await, (0, 2), "off unless somebody says otherwise");
    let thanks =
        Notification { event_type: word("thanks"), policy: off, ..notification(3, &["u", "v"]) };
    assert_eq!(notify(&scene, thanks, 1).await, (1, 1));
    let device = store.list(&user("u")).await.expect("list").first().expect("one").id;
    let audience = Audience::Subscriptions(vec![device]);
    let by_id = Notification { audience, ..notification(4, &[]) };
    assert_eq!(notify(&scene, by_id, 1).await, (0, 1), "a device is its user's");
    store.prefer(&user("u"), Wakes::new()).await.expect("prefer");
    assert_eq!(
        notify(&scene, notification(5, &["u"]), 1).await,
        (1, 0),
        "nothing is said any more"
    );
    assert_eq!(scene.ledger().await.accepted, 3, "who is not woken is not counted");
}

async fn limits(scene: Scene) {
    scene.register("u", "a", at(0)).await;
    scene.register("u", "b", at(0)).await;
    // Periods are of the clock: this one ends 20 s after the start of the cases' time.
    assert_eq!(Limit { count: 1, per: Duration::from_s(60) }.period_end(at(0)), at(20));
    for (number, second, expected) in
        [(1, 1, 2), (2, 2, 2), (3, 19, 0), (4, 20, 2), (5, 79, 2), (6, 79, 0)]
    {
        let woken = notify(&scene, limited(number, 2, &["u"]), second).await;
        assert_eq!(woken, (expected, 0), "at {second} s");
    }
    // The clock is set back: nothing begins anew.
    assert_eq!(notify(&scene, limited(7, 2, &["u"]), 1).await, (0, 0));
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.settled(Settled::Limited)), (14, 6));
    let trail = scene.store.find(notification(3, &[]).id).await.expect("trail").expect("kept");
    assert_eq!((trail.ledger.accepted, trail.ledger.settled(Settled::Limited)), (2, 2));
    assert_eq!(scene.sweep(at(79)).await.counters, 0);
    assert_eq!(scene.sweep(at(80)).await.counters, 1, "a counter goes with its period");
}

async fn apart(scene: Scene) {
    scene.register("u", "a", at(0)).await;
    scene.register("v", "b", at(0)).await;
    assert_eq!(notify(&scene, limited(1, 1, &["u", "u", "v", "nobody"]), 1).await, (2, 0));
    assert_eq!(notify(&scene, limited(2, 1, &["u", "v"]), 1).await, (0, 0));
    let thanks = Notification { event_type: word("thanks"), ..limited(3, 1, &["u"]) };
    assert_eq!(notify(&scene, thanks, 1).await, (1, 0));
    assert_eq!(scene.sweep(at(1_000)).await.counters, 3, "who has no device leaves no trace");
    assert_eq!(scene.ledger().await.settled(Settled::Limited), 2);
}

async fn due(scene: Scene) {
    scene.register("u", "a", at(0)).await;
    let later = |number| Notification { deliver_after: Some(at(15)), ..limited(number, 1, &["u"]) };
    for number in [1, 2] {
        scene.notify(later(number), at(10)).await;
    }
    scene.end_window(at(20)).await;
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting, ledger.settled(Settled::Limited)), (2, 1, 1));
    // By the time it joins its window the period in which it fell due may be over, and its counter gone.
    scene.sweep(at(20)).await;
    let last = Notification { deliver_after: Some(at(79)), ..limited(3, 1, &["u"]) };
    scene.notify(last, at(30)).await;
    notify(&scene, limited(4, 1, &["u"]), 70).await;
    scene.sweep(at(81)).await;
    scene.end_window(at(85)).await;
    assert_eq!(notify(&scene, limited(5, 1, &["u"]), 86).await, (0, 0), "it counts where it joins");
}

async fn dry(scene: Scene) {
    scene.register("u", "a", at(0)).await;
    for number in 1..4 {
        let dry = Notification { dry_run: DryRun::Yes, ..limited(number, 1, &["u"]) };
        assert_eq!(notify(&scene, dry, 1).await, (1, 0));
    }
    assert_eq!(notify(&scene, limited(4, 1, &["u"]), 1).await, (1, 0));
}
