//! Cases of users with devices at several providers, each of which sees its own.

use std::collections::BTreeSet;

use reveille_model::{Provider, SubscriptionChange};

use super::Case;
use super::cohort_scene::{SIZES, apns, iphones, mix, phones};
use super::scene::{Scene, at, notification, set, user};
use crate::Mix;

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("devices that come together are in one cohort", |store| {
            Box::pin(together(Scene::new(store)))
        }),
        ("a device at another provider waits by itself", |store| {
            Box::pin(comes_later(Scene::new(store)))
        }),
        ("whoever has lost a device stays with the others", |store| {
            Box::pin(lacks_one(Scene::new(store)))
        }),
        ("a cohort is retired when too few have a device at each provider", |store| {
            Box::pin(retires(Scene::new(store)))
        }),
        ("another app of a provider changes no company", |store| {
            Box::pin(another_app(Scene::new(store)))
        }),
        ("devices of one provider that are silent no longer have what was accepted", |store| {
            Box::pin(one_is_loud(Scene::new(store)))
        }),
    ]
}

async fn together(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.iphones("abcd").await;
    assert_eq!(scene.in_nurseries().await, [(4, 1)]);
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    assert_eq!(scene.marked(at(10)).await.len(), 1);
    assert_eq!(scene.leave(at(10)).await, [iphones("abcd"), phones("abcd")].concat());
}

async fn comes_later(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["b"]), at(10)).await;
    // Whoever moved would be the only one of two cohorts, and known by that.
    scene.iphones("a").await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![(1, 1)]));
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 0);
    assert_eq!(scene.leave(at(10)).await, phones("abcd"));
    scene.iphones("efg").await;
    scene.form().await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 2)], vec![]));
    for (number, name, woken) in [
        (2, "b", phones("abcd")),
        (3, "e", iphones("aefg")),
        (4, "a", [iphones("aefg"), phones("abcd")].concat()),
    ] {
        let window = at(10 * u32::from(number));
        scene.notify(notification(number, &[name]), window).await;
        assert_eq!(scene.leave(window).await, woken, "each provider sees one cohort of hers");
    }
    // Sealed, it belongs to nobody's company. Whoever watched it is not told.
    let iphone = scene.iphone('a', "org.example.app", &iphones("a").concat()).await;
    let seal = async |sealed| {
        let change = SubscriptionChange { sealed: Some(sealed), ..SubscriptionChange::default() };
        scene.store.change(&user("a"), iphone, change, at(11)).await.expect("change");
    };
    seal(true).await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(3, 1), (4, 1)], vec![]));
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 1);
    scene.notify(notification(5, &["a"]), at(50)).await;
    assert_eq!(scene.leave(at(50)).await, [iphones("efg"), phones("abcd")].concat());
    seal(false).await;
    assert!(scene.store.beat(at(55), at(60)).await.expect("beat"));
    assert_eq!(scene.live().await, [(4, 2)], "in her old place");
}

async fn lacks_one(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.iphones("abcd").await;
    scene.form().await;
    scene.lose('a', Provider::Apns).await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(3, 1)], vec![]));
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 0);
    scene.notify(notification(1, &["a"]), at(10)).await;
    assert_eq!(scene.leave(at(10)).await, [iphones("bcd"), phones("abcd")].concat());
    // All the same to whoever watches, wherever.
    scene.notify(notification(2, &["b"]), at(20)).await;
    assert_eq!(scene.leave(at(20)).await, [iphones("bcd"), phones("abcd")].concat());
    scene.iphones("a").await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    scene.lose('a', Provider::Fcm).await;
    scene.lose('a', Provider::Apns).await;
    assert_eq!(scene.live().await, [(3, 1)]);
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 1);
    // A ghost comes back with what it has.
    scene.phones("a").await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(3, 1)], vec![]));
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 0);
    scene.notify(notification(3, &["c"]), at(30)).await;
    assert_eq!(scene.leave(at(30)).await, [iphones("bcd"), phones("abcd")].concat());
}

async fn retires(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcde").await;
    scene.iphones("abcde").await;
    scene.form().await;
    scene.lose('a', Provider::Apns).await;
    scene.lose('b', Provider::Fcm).await;
    scene.forget("e").await;
    let census = scene.store.census(at(0)).await.expect("census");
    assert_eq!((census.sizes, census.ghosts), (vec![(2, 1)], 0), "two of five have all");
    scene.notify(notification(1, &["a"]), at(10)).await;
    let survivors = [iphones("bcd"), phones("acd")].concat();
    assert_eq!(scene.leave(at(10)).await, survivors, "they stay together");
    let nurseries = scene.store.nurseries().await.expect("nurseries");
    assert!(nurseries.is_empty(), "those with both are two: {nurseries:?}");
    scene.phones("fg").await;
    scene.iphones("fg").await;
    // One waits with two kinds, and is not told apart by when the second came.
    assert_eq!(scene.form().await, 1);
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    scene.notify(notification(2, &["b"]), at(20)).await;
    assert_eq!(scene.leave(at(20)).await, [iphones("bcdfg"), phones("acdfg")].concat());
    // Too few: each waits with what they have.
    scene.notify(notification(3, &["f"]), at(30)).await;
    for name in ['c', 'd', 'f'] {
        scene.lose(name, Provider::Apns).await;
    }
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![(1, 2), (4, 1)]));
    let woken = [iphones("bg"), phones("acdfg")].concat();
    assert_eq!(scene.leave(at(30)).await, woken, "what was accepted comes along");
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn another_app(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.iphones("abcd").await;
    scene.form().await;
    let other = format!("{:064x}", 7);
    scene.iphone('a', "org.example.other", &other).await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    scene.notify(notification(1, &["b"]), at(10)).await;
    assert_eq!(scene.leave(at(10)).await, [vec![other.clone()], iphones("abcd")].concat());
    // The first is no more: everybody may go to the new app, one by one.
    let first = scene.iphone('a', "org.example.app", &iphones("a").concat()).await;
    assert!(scene.store.delete(&user("a"), first).await.expect("delete").is_some());
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    scene.notify(notification(2, &["a"]), at(20)).await;
    assert_eq!(scene.leave(at(20)).await, [vec![other], iphones("bcd")].concat());
}

async fn one_is_loud(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.iphones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    let silent: BTreeSet<_> = [set()].into();
    scene.store.mix(Mix { silent, ..mix(Some(SIZES)) }).await.expect("mix");
    // Nobody has both any more, and whose it was nobody knows.
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![(4, 1)]));
    assert_eq!(scene.leave(at(10)).await, [iphones("abcd"), phones("abcd")].concat());
    scene.notify(notification(2, &["a"]), at(20)).await;
    assert_eq!(scene.leave(at(20)).await, [iphones("a"), phones("abcd")].concat());
    assert_eq!(scene.ledger().await.waiting, 0);
    // Of the others nobody else has anything.
    let silent: BTreeSet<_> = [apns()].into();
    scene.store.mix(Mix { silent, ..mix(Some(SIZES)) }).await.expect("mix");
    scene.form().await;
    scene.notify(notification(3, &["b"]), at(30)).await;
    scene.store.mix(Mix { silent: BTreeSet::new(), ..mix(Some(SIZES)) }).await.expect("mix");
    assert_eq!(scene.leave(at(30)).await, [iphones("abcd"), phones("b")].concat());
    assert_eq!(scene.ledger().await.waiting, 0);
}
