//! Cases of users whose devices, names or modes change while something is on its way to them.

use std::collections::BTreeSet;

use reveille_model::{CredentialSet, DryRun, Provider, Settled, SubscriptionChange};

use super::Case;
use super::cohort_scene::{SIZES, iphones, mix, phones};
use super::scene::{Scene, at, message, notification, user};
use crate::{Group, Item, Mix};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("whoever still waits wakes nobody who waits no more", |store| {
            Box::pin(left_over(Scene::new(store)))
        }),
        ("what is scheduled follows a user to other cohorts", |store| {
            Box::pin(scheduled_and_moved(Scene::new(store)))
        }),
        ("what is scheduled for a sealed device finds it unsealed", |store| {
            Box::pin(scheduled_and_unsealed(Scene::new(store)))
        }),
        ("what is scheduled leaves when there are no cohorts any more", |store| {
            Box::pin(scheduled_and_switched_off(Scene::new(store)))
        }),
        ("whoever registers a token has what was accepted for it", |store| {
            Box::pin(token_registered(Scene::new(store)))
        }),
        ("devices that are silent no longer have what was accepted for their cohort", |store| {
            Box::pin(silent_no_longer(Scene::new(store)))
        }),
        ("a device in a cohort is never woken alone", |store| {
            Box::pin(never_alone(Scene::new(store)))
        }),
        ("a dry run registers nobody", |store| Box::pin(dry(Scene::new(store)))),
    ]
}

async fn left_over(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcdefghi").await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    let nurseries = scene.store.nurseries().await.expect("nurseries");
    let nursery = nurseries.first().expect("one");
    let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).take(8).collect();
    let halves: Vec<Vec<Group>> = groups.chunks(4).map(<[Group]>::to_vec).collect();
    assert!(scene.store.found(nursery.stratum, halves).await.expect("found"));
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 2)], vec![(1, 1)]));
    assert_eq!(scene.leave(at(10)).await, phones("abcdefghi"), "whose it was nobody knows");
    // From now on each has their own.
    let mut alone = "";
    for (number, name) in (2_u8..).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i"]) {
        let window = at(u32::from(number) * 10);
        scene.notify(notification(number, &[name]), window).await;
        let woken = scene.leave(window).await;
        assert!(woken.len() == 4 || woken.len() == 1, "{name}: {woken:?}");
        assert!(woken.contains(&format!("phone-{name}")));
        if woken.len() == 1 {
            alone = name;
        }
    }
    // Nor does what is scheduled for them from now on.
    let mut later = notification(20, &[alone]);
    later.deliver_after = Some(at(150));
    scene.notify(later, at(110)).await;
    scene.end_window(at(110)).await;
    assert_eq!(scene.leave(at(160)).await, phones(alone));
}

async fn scheduled_and_moved(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("ab").await;
    let mut later = notification(1, &["a"]);
    later.deliver_after = Some(at(50));
    scene.notify(later, at(10)).await;
    // While they wait they wait with all they have.
    scene.iphones("a").await;
    assert_eq!(scene.in_nurseries().await, [(1, 2)]);
    scene.end_window(at(10)).await;
    assert_eq!(scene.leave(at(60)).await, [iphones("a"), phones("ab")].concat());
}

async fn scheduled_and_unsealed(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("z").await;
    let id = scene.store.list(&user("z")).await.expect("list").first().expect("one").id;
    let seal = async |sealed| {
        let change = SubscriptionChange { sealed: Some(sealed), ..SubscriptionChange::default() };
        scene.store.change(&user("z"), id, change, at(1)).await.expect("change");
    };
    seal(true).await;
    for (number, due) in [(1, at(50)), (2, at(150))] {
        let mut later = notification(number, &["z"]);
        later.deliver_after = Some(due);
        scene.notify(later, at(10)).await;
    }
    seal(false).await;
    assert!(scene.store.beat(at(20), at(30)).await.expect("beat"));
    assert_eq!(scene.leave(at(30)).await, phones("z"));
    assert_eq!(scene.leave(at(60)).await, [""; 0], "not by itself");
    assert_eq!(scene.leave(at(70)).await, phones("z"), "with its user's cohort, as it is now");
    seal(true).await;
    assert_eq!(scene.leave(at(160)).await, [""; 0], "on its beat");
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn scheduled_and_switched_off(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    let mut later = notification(1, &["a"]);
    later.deliver_after = Some(at(50));
    scene.notify(later, at(10)).await;
    scene.mix(None).await;
    scene.end_window(at(10)).await;
    scene.end_window(at(60)).await;
    scene.end_window(at(70)).await;
    assert_eq!(scene.woken(at(70)).await, phones("abcd"));
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn token_registered(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    let all = ["p1", "q1", "r1", "s1"];
    for token in all {
        scene.tokens(&[token], at(10)).await;
    }
    scene.form().await;
    assert_eq!(scene.leave(at(10)).await, all);
    // It stays in its place, so that what happens to its user wakes the same company as before.
    scene.tokens(&["p1"], at(20)).await;
    scene.register("b", "p1", at(12)).await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    assert_eq!(scene.leave(at(20)).await, all);
    scene.notify(notification(1, &["b"]), at(30)).await;
    assert_eq!(scene.leave(at(30)).await, all);
    // Unless its user has one already.
    scene.phones("c").await;
    scene.tokens(&["q1"], at(40)).await;
    scene.register("c", "q1", at(31)).await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(3, 1)], vec![(1, 1)]));
    assert_eq!(scene.leave(at(40)).await, ["p1", "phone-c", "q1", "r1", "s1"]);
}

async fn silent_no_longer(scene: Scene) {
    let loud = |sizes| Mix { silent: BTreeSet::new(), ..mix(sizes) };
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    // Cohorts and silence go together.
    scene.store.mix(loud(None)).await.expect("mix");
    scene.end_window(at(10)).await;
    assert_eq!(scene.woken(at(10)).await, phones("abcd"));
    scene.mix(Some(SIZES)).await;
    scene.form().await;
    scene.notify(notification(2, &["b"]), at(20)).await;
    // Silence alone.
    scene.store.mix(loud(Some(SIZES))).await.expect("mix");
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![]));
    scene.end_window(at(20)).await;
    assert_eq!(scene.woken(at(20)).await, phones("abcd"));
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn never_alone(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    // Named with credentials that are another app's.
    let mut other = message(&["phone-a", "nobody"]);
    other.set = CredentialSet::new(Provider::Fcm, "loud").expect("a name");
    scene.accept(at(1), at(10), Item::Tokens(other)).await;
    assert_eq!(scene.leave(at(10)).await, phones("abcd"));
    // Gathered by itself before there were cohorts.
    scene.mix(None).await;
    scene.notify(notification(1, &["b"]), at(20)).await;
    scene.tokens(&["phone-c"], at(20)).await;
    scene.mix(Some(SIZES)).await;
    scene.end_window(at(20)).await;
    assert_eq!(scene.woken(at(20)).await, [""; 0]);
    assert_eq!(scene.leave(at(30)).await, phones("abcd"), "with the next window");
}

async fn dry(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    let mut dry = message(&["x1"]);
    dry.dry_run = DryRun::Yes;
    scene.accept(at(1), at(10), Item::Tokens(dry)).await;
    assert_eq!(scene.in_nurseries().await, []);
    assert_eq!(scene.store.census(at(0)).await.expect("census").devices, 0);
    assert_eq!(scene.ledger().await.settled(Settled::DryRun), 1);
}
