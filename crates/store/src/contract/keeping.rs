//! Cases of keeping: subscriptions, pauses, keys.

use reveille_model::{
    CredentialSet, Duration, NewSubscription, Provider, Providers, Settled, SubscriptionChange,
    SubscriptionId, Token, Topic,
};

use super::Case;
use super::scene::{Scene, at, notification, set, token, user};
use crate::{Halt, Imported, Put};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("registering again refreshes", |store| Box::pin(refresh(Scene::new(store)))),
        ("a token moves to whoever registers it", |store| Box::pin(moves(Scene::new(store)))),
        ("the least recently refreshed make room", |store| Box::pin(evicts(Scene::new(store)))),
        ("a rotated token takes over what waits", |store| Box::pin(replaces(Scene::new(store)))),
        ("sealing is no refresh", |store| Box::pin(seals(Scene::new(store)))),
        ("each day's registrations are counted", |store| Box::pin(days(Scene::new(store)))),
        ("each kind of device is counted", |store| Box::pin(kinds(Scene::new(store)))),
        ("what is deleted is not woken", |store| Box::pin(deletes(Scene::new(store)))),
        ("what is registered with a token is deleted", |store| {
            Box::pin(deletes_by_token(Scene::new(store)))
        }),
        ("what comes from elsewhere disturbs nobody", |store| Box::pin(imports(Scene::new(store)))),
        ("where delivery is halted is remembered", |store| Box::pin(halts(Scene::new(store)))),
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
    let Put::Created { subscription, moved: true, .. } = scene.put("v", "t", at(5)).await else {
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
    let Put::Created { evicted, moved: false, .. } = scene.put("u", "t4", at(5)).await else {
        unreachable!("new")
    };
    assert_eq!(evicted, 1);
    assert_eq!(scene.devices("u").await, ["t1", "t3", "t4"]);
}

async fn deletes_by_token(scene: Scene) {
    for (user, text) in [("u", "t1"), ("u", "t2"), ("v", "t3"), ("v", "t4")] {
        scene.register(user, text, at(0)).await;
    }
    scene.notify(notification(1, &["u", "v"]), at(10)).await;
    scene.end_window(at(10)).await;
    let delete = async |of: Option<&str>, texts: &[&str]| {
        let of = of.map(user);
        let tokens = texts.iter().map(|text| (Provider::Fcm, token(text))).collect();
        let gone = scene.store.delete_tokens(of.as_ref(), tokens).await.expect("deleted");
        assert!(gone.iter().all(|provider| *provider == Provider::Fcm));
        gone.len()
    };
    assert_eq!(delete(Some("u"), &["t3", "nobody's"]).await, 0, "it is not theirs");
    assert_eq!(delete(Some("u"), &["t1", "t3", "t1"]).await, 1);
    assert_eq!(scene.devices("u").await, ["t2"]);
    assert_eq!(delete(None, &["t2", "t3"]).await, 2, "whosever they are");
    let apples = vec![(Provider::Apns, token("t4"))];
    let of_apple = scene.store.delete_tokens(None, apples).await.expect("deleted");
    assert_eq!(of_apple, [], "it is another provider's");
    assert_eq!(scene.claim_tokens(at(11), 1).await, ["t4"], "what waited for the others is gone");
}

async fn imports(scene: Scene) {
    let new = |name: &str, text: &str| NewSubscription {
        user: user(name),
        set: set(),
        topic: None,
        token: token(text),
    };
    let import = async |first: u8, devices: &[(&str, &str, u32)]| {
        let devices = devices.iter().zip(first..).map(|((name, text, second), number)| {
            (new(name, text), SubscriptionId::from_bytes([number; 16]), at(*second))
        });
        scene.store.import(devices.collect(), 3).await.expect("imported")
    };
    let live = scene.register("u", "live", at(50)).await;
    scene.register("v", "moved", at(50)).await;
    let created = Imported::Created { evicted: 0 };
    let devices = [("u", "old", 1), ("u", "live", 2), ("u", "moved", 3), ("w", "w1", 60)];
    let expected = [created, Imported::Known, Imported::Elsewhere, created];
    assert_eq!(import(100, &devices).await, expected);
    let known = scene.store.list(&user("u")).await.expect("list");
    assert_eq!(known.iter().map(|each| each.refreshed_at).collect::<Vec<_>>(), [at(1), at(50)]);
    assert_eq!(known.last().map(|each| each.generation), Some(live.generation), "left alone");
    // A second time nothing happens.
    let again = [Imported::Known, Imported::Known, Imported::Elsewhere, Imported::Known];
    assert_eq!(import(110, &devices).await, again);

    // The newest three of each stay.
    let devices = [("u", "a", 10), ("u", "b", 20), ("u", "c", 5), ("u", "d", 51)];
    let expected = [
        created,
        Imported::Created { evicted: 1 },
        Imported::NoRoom,
        Imported::Created { evicted: 1 },
    ];
    assert_eq!(import(120, &devices).await, expected);
    let mut left = scene.devices("u").await;
    left.sort_unstable();
    assert_eq!(left, ["b", "d", "live"]);

    let mut all = Vec::new();
    while let Some(some) =
        Some(scene.all(all.last().copied(), 2).await).filter(|some| !some.is_empty())
    {
        all.extend(some);
    }
    assert_eq!(all.len(), 5, "all of them, each once");
    assert!(all.is_sorted());
}

impl Scene {
    async fn all(&self, after: Option<SubscriptionId>, limit: usize) -> Vec<SubscriptionId> {
        let some = self.store.all(after, limit).await.expect("all");
        some.into_iter().map(|each| each.id).collect()
    }
}

async fn replaces(scene: Scene) {
    let first = scene.register("u", "old", at(0)).await;
    let taken = scene.register("v", "new", at(0)).await;
    let other = scene.register("u", "other", at(0)).await;
    scene.notify(notification(1, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    let replace = async |name: &str, id, text: &str| {
        let change = SubscriptionChange { device: Some((set(), token(text))), sealed: None };
        scene.store.change(&user(name), id, change, at(11)).await.expect("change")
    };
    assert_eq!(replace("v", first.id, "mine").await, None, "it is not theirs");
    let replaced = replace("u", first.id, "new").await.expect("it is there");
    assert_eq!((replaced.id, replaced.generation), (first.id, first.generation + 1));
    assert_eq!((replaced.created_at, replaced.refreshed_at), (at(0), at(11)));
    assert_eq!(scene.store.get(&user("v"), taken.id).await.expect("find"), None, "it moved");
    assert_eq!(scene.store.get(&user("v"), first.id).await.expect("find"), None, "nor theirs now");
    assert_eq!(scene.store.get(&user("u"), first.id).await.expect("find"), Some(replaced));
    let mut woken = scene.claim_tokens(at(12), 1).await;
    woken.sort_unstable();
    assert_eq!(woken, ["new", "other"]);
    // The token it has: a refresh.
    let same = replace("u", other.id, "other").await.expect("it is there");
    assert_eq!(same.generation, other.generation + 1);
    let again = scene.register("u", "new", at(13)).await;
    assert_eq!(again.id, first.id, "it is found by its new token");
    // The one before is nobody's.
    scene.register("w", "old", at(14)).await;
    assert_eq!(scene.devices("u").await, ["new", "other"]);
}

async fn seals(scene: Scene) {
    let first = scene.register("u", "t", at(0)).await;
    assert!(!first.sealed);
    let seal = async |sealed| {
        let change = SubscriptionChange { device: None, sealed: Some(sealed) };
        let changed = scene.store.change(&user("u"), first.id, change, at(5)).await;
        changed.expect("change").expect("it is there")
    };
    let sealed = seal(true).await;
    assert!(sealed.sealed);
    assert_eq!((sealed.generation, sealed.refreshed_at), (first.generation, at(0)));
    assert!(scene.register("u", "t", at(6)).await.sealed, "registering again keeps it");
    assert!(!seal(false).await.sealed);
}

async fn days(scene: Scene) {
    let day = |days: u32| at(0).plus(Duration::from_s(days * 86_400));
    let counted = async || {
        let days = scene.store.refresh_days().await.expect("days");
        days.into_iter().map(|(day, count)| (day - at(0).day(), count)).collect::<Vec<_>>()
    };
    assert_eq!(counted().await, []);
    for token in ["a", "b", "c"] {
        scene.register("u", token, day(0)).await;
    }
    scene.register("u", "a", day(1)).await;
    assert_eq!(counted().await, [(0, 2), (1, 1)]);
    scene.register("v", "b", day(1)).await;
    assert_eq!(counted().await, [(0, 1), (1, 2)], "a token that moves");
    scene.store.delete_all(&user("u")).await.expect("delete");
    assert_eq!(counted().await, [(1, 1)]);
}

async fn kinds(scene: Scene) {
    let apns = CredentialSet::new(Provider::Apns, "app").expect("a name");
    let topic = |text: &str| Some(Topic::parse(text).expect("a topic"));
    let put = async |name: &str, hex: &str, text: &str| {
        let token = Token::parse(Provider::Apns, hex).expect("a token");
        let new =
            NewSubscription { user: user(name), set: apns.clone(), topic: topic(text), token };
        let mut id = [0; 16];
        for (place, byte) in id.iter_mut().zip(format!("{hex}/{name}").bytes()) {
            *place = byte;
        }
        scene.store.put(new, SubscriptionId::from_bytes(id), 3, at(0)).await.expect("put");
    };
    let counted = async || {
        let kinds = scene.store.kinds().await.expect("kinds").into_iter();
        kinds.filter(|(.., count)| *count > 0).collect::<Vec<_>>()
    };
    assert_eq!(counted().await, []);
    scene.register("u", "a", at(0)).await;
    scene.register("u", "b", at(0)).await;
    put("u", "aa11", "org.one").await;
    put("v", "bb22", "org.one").await;
    put("v", "cc33", "org.two").await;
    let two = [
        (apns.clone(), topic("org.one"), 2),
        (apns.clone(), topic("org.two"), 1),
        (set(), None, 2),
    ];
    assert_eq!(counted().await, two);
    put("v", "bb22", "org.two").await;
    put("long", "aa11", "org.one").await;
    let moved = [
        (apns.clone(), topic("org.one"), 1),
        (apns.clone(), topic("org.two"), 2),
        (set(), None, 2),
    ];
    assert_eq!(counted().await, moved, "a topic that changed, and a token that moved");
    scene.store.delete_all(&user("v")).await.expect("delete");
    scene.store.delete_all(&user("u")).await.expect("delete");
    assert_eq!(counted().await, [(apns.clone(), topic("org.one"), 1)]);
}

async fn deletes(scene: Scene) {
    for token in ["a", "b", "c"] {
        scene.register("u", token, at(0)).await;
    }
    let theirs = scene.register("v", "d", at(0)).await;
    let listed = scene.store.list(&user("u")).await.expect("list");
    let first = listed.first().expect("three").id;
    scene.notify(notification(1, &["u", "v"]), at(10)).await;
    let delete = async |id| scene.store.delete(&user("u"), id).await.expect("delete");
    assert_eq!(delete(theirs.id).await, None, "it is not theirs");
    assert_eq!(delete(first).await, Some(Provider::Fcm));
    assert_eq!(delete(first).await, None, "it is gone");
    assert_eq!(scene.devices("u").await.len(), 2);
    // Before the window is expanded or after, it comes to the same.
    scene.end_window(at(10)).await;
    assert_eq!(scene.store.delete_all(&user("u")).await.expect("delete").len(), 2);
    assert_eq!(scene.store.delete_all(&user("u")).await.expect("delete"), []);
    assert_eq!(scene.claim_tokens(at(10), 1).await, ["d"]);
    assert_eq!(scene.ledger().await.settled(Settled::Cancelled), 3);
}

async fn halts(scene: Scene) {
    let halted = async || scene.store.halted().await.expect("halted");
    assert!(halted().await.is_empty());
    let named = |providers: &[Provider]| providers.iter().copied().collect::<Providers>();
    let [apns, fcm, webpush] = Provider::ALL;
    for (change, then) in [
        (Halt::Pause(named(&[fcm, webpush])), named(&[fcm, webpush])),
        (Halt::Pause(named(&[apns])), named(&[apns, fcm, webpush])),
        (Halt::Resume(named(&[fcm])), named(&[apns, webpush])),
        (Halt::Resume(named(&[fcm, apns, webpush])), named(&[])),
    ] {
        assert_eq!(scene.store.halt(change).await.expect("halt"), then, "{change:?}");
        assert_eq!(halted().await, then);
    }
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
