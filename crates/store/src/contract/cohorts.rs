//! Cases of users who are woken together.

use reveille_model::limits::GROUPS_MAX;
use reveille_model::{CohortId, Duration, Limit, MessageType, Policy, Settled, SubscriptionChange};

use super::Case;
use super::cohort_scene::{SIZES, mix, phones};
use super::scene::{HOLD, Scene, TO_MUSTER, at, notification, set, user};
use crate::{Claim, Expanded, Group, Item, Mix, Next};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("users wait until they are a cohort", |store| Box::pin(forms(Scene::new(store)))),
        ("a cohort is woken whole, whoever is meant", |store| Box::pin(whole(Scene::new(store)))),
        ("padding is a mark like any other", |store| Box::pin(padding(Scene::new(store)))),
        ("a cohort that is not led stays", |store| Box::pin(stays(Scene::new(store)))),
        ("what was accepted for those who wait leaves with them", |store| {
            Box::pin(marks_move(Scene::new(store)))
        }),
        ("ghosts go on waking their cohort", |store| Box::pin(ghosts(Scene::new(store)))),
        ("a spent cohort is retired whole", |store| Box::pin(retires(Scene::new(store)))),
        ("survivors who are too few wait with the others", |store| {
            Box::pin(dissolves(Scene::new(store)))
        }),
        ("whoever comes back takes the place of their ghost", |store| {
            Box::pin(comes_back(Scene::new(store)))
        }),
        ("nothing of a cohort is cancelled", |store| Box::pin(not_cancelled(Scene::new(store)))),
        ("who is meant by what is scheduled is known at once", |store| {
            Box::pin(scheduled(Scene::new(store)))
        }),
        ("what was scheduled is mustered with its batch", |store| {
            Box::pin(mustered(Scene::new(store)))
        }),
        ("what was accepted leaves when there are no cohorts any more", |store| {
            Box::pin(switched_off(Scene::new(store)))
        }),
        ("a cohort's wake-up that expires untried is told of", |store| {
            Box::pin(untried(Scene::new(store)))
        }),
        ("a limit counts a cohort once, and a dry run stops before it", |store| {
            Box::pin(limits(Scene::new(store)))
        }),
    ]
}

async fn forms(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abc").await;
    assert_eq!(scene.form().await, 0, "three are too few");
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![(3, 1)]));
    scene.phones("d").await;
    let nurseries = scene.store.nurseries().await.expect("nurseries");
    let nursery = nurseries.first().expect("one");
    assert_eq!(nursery.groups.len(), 4);
    assert!(nursery.groups.len() <= GROUPS_MAX);
    // Whoever has gone meanwhile takes part in nothing.
    scene.forget("a").await;
    let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).collect();
    let found = scene.store.found(nursery.stratum, vec![groups]).await.expect("found");
    assert!(!found);
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![(3, 1)]));
    scene.phones("a").await;
    assert_eq!(scene.form().await, 1);
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    let cohorts = scene.store.cohorts().await.expect("cohorts");
    assert_eq!(cohorts.iter().map(|each| each.users).collect::<Vec<_>>(), [4]);
    // One who comes later waits for others of their own.
    scene.phones("e").await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![(1, 1)]));
}

async fn whole(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.register("b", "tablet-b", at(0)).await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    let for_one = (scene.ledger().await, scene.marked(at(10)).await);
    assert_eq!((for_one.0.accepted, for_one.0.waiting), (1, 1), "a mark, whatever it will wake");
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find").expect("a trail");
    assert_eq!((trail.cohorts, trail.has_left, trail.ledger.accepted), (1, false, 0));
    // Another one, and the same one again: nothing is different.
    scene.notify(notification(2, &["b"]), at(10)).await;
    scene.notify(notification(3, &["a", "c"]), at(10)).await;
    let both = (scene.ledger().await, scene.marked(at(10)).await);
    assert_eq!((both.0.accepted, both.0.waiting, both.0.collapsed), (3, 1, 2));
    assert_eq!(for_one.1, both.1);
    assert_eq!(both.1.iter().map(|each| each.cohort.users).collect::<Vec<_>>(), [4]);
    let mut all = phones("abcd");
    all.push("tablet-b".to_owned());
    assert_eq!(scene.leave(at(10)).await, all);
    let ledger = scene.ledger().await;
    assert_eq!((ledger.waiting, ledger.settled(Settled::Sent)), (0, 5));
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find").expect("a trail");
    assert_eq!((trail.cohorts, trail.has_left, trail.ledger.accepted), (1, true, 0));
    assert_eq!(scene.leave(at(20)).await, [""; 0], "once");
}

async fn padding(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.phones("efgh").await;
    scene.form().await;
    scene.notify(notification(1, &["e"]), at(10)).await;
    scene.store.close(at(10)).await.expect("close");
    let cohorts = scene.store.cohorts().await.expect("cohorts");
    let ids: Vec<CohortId> = cohorts.iter().map(|each| each.id).collect();
    scene.lead(at(10), &ids).await;
    let marked = scene.marked(at(10)).await;
    assert_eq!(marked.len(), 2);
    assert!(
        marked.iter().all(|each| each.is_leaving && each.since == at(10) && each.cohort.users == 4)
    );
    assert!(marked.iter().all(|each| each.cohort.paid_at == Some(at(110))));
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting), (2, 2));
    scene.end_window(at(10)).await;
    assert_eq!(scene.woken(at(10)).await, phones("abcdefgh"));
    assert_eq!(scene.store.census(at(109)).await.expect("census").paying, 2);
    assert_eq!(scene.store.census(at(110)).await.expect("census").paying, 0);
}

async fn stays(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    assert_eq!(scene.marked(at(9)).await, [], "its window is open");
    scene.end_window(at(10)).await;
    assert_eq!(scene.woken(at(10)).await, [""; 0]);
    scene.notify(notification(2, &["a"]), at(20)).await;
    scene.notify(notification(3, &["a"]), at(30)).await;
    scene.store.close(at(20)).await.expect("close");
    let marked = scene.marked(at(20)).await;
    assert_eq!(marked.iter().map(|each| each.since).collect::<Vec<_>>(), [at(10)]);
    assert_eq!(scene.ledger().await.waiting, 3);
    assert_eq!(scene.leave(at(20)).await, phones("abcd"));
    // What came for the window after it is not in it.
    assert_eq!(scene.ledger().await.waiting, 1);
    assert_eq!(scene.leave(at(30)).await, phones("abcd"));
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn marks_move(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abc").await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    scene.notify(notification(2, &["b"]), at(20)).await;
    scene.store.close(at(10)).await.expect("close");
    let marked = scene.marked(at(10)).await;
    assert!(marked.iter().all(|each| each.is_provisional && each.cohort.users == 3), "{marked:?}");
    assert_eq!(marked.len(), 1);
    scene.phones("defgh").await;
    let nurseries = scene.store.nurseries().await.expect("nurseries");
    let nursery = nurseries.first().expect("one");
    let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).collect();
    let halves: Vec<Vec<Group>> = groups.chunks(4).map(<[Group]>::to_vec).collect();
    assert!(scene.store.found(nursery.stratum, halves).await.expect("found"));
    // Whose it was nobody knows: both take it along, for each window.
    assert_eq!(scene.marked(at(10)).await.len(), 2);
    assert_eq!(scene.ledger().await.waiting, 4);
    assert_eq!(scene.leave(at(10)).await, phones("abcdefgh"));
    assert_eq!(scene.leave(at(20)).await, phones("abcdefgh"));
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn ghosts(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.forget("a").await;
    assert_eq!(scene.live().await, [(3, 1)]);
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 1);
    scene.notify(notification(1, &["a"]), at(10)).await;
    assert_eq!(scene.leave(at(10)).await, phones("bcd"));
    // Also of one whose new device belongs to no company.
    let sealed = scene.register("a", "tablet-a", at(11)).await;
    let seal = SubscriptionChange { sealed: Some(true), ..SubscriptionChange::default() };
    scene.store.change(&user("a"), sealed.id, seal, at(11)).await.expect("change");
    scene.notify(notification(9, &["a"]), at(15)).await;
    assert_eq!(scene.leave(at(15)).await, phones("bcd"));
    // And of one who was erased.
    let types = vec![MessageType::parse("checkEchoV1").expect("a word")];
    scene.store.erase(&user("a"), types.clone()).await.expect("erase");
    scene.notify(notification(2, &["a"]), at(20)).await;
    assert_eq!(scene.leave(at(20)).await, phones("bcd"));
    // Unless that is not wanted.
    scene.store.mix(Mix { ghost_after_erasure: false, ..mix(Some(SIZES)) }).await.expect("mix");
    scene.store.erase(&user("a"), types).await.expect("erase");
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 0);
    scene.notify(notification(3, &["a"]), at(30)).await;
    assert_eq!(scene.leave(at(30)).await, [""; 0]);
    assert_eq!(scene.live().await, [(3, 1)]);
}

async fn retires(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    scene.forget("a").await;
    scene.forget("b").await;
    // Two of four are left: the ghosts go together.
    let census = scene.store.census(at(0)).await.expect("census");
    assert_eq!((census.sizes, census.ghosts), (vec![(2, 1)], 0));
    assert_eq!(scene.leave(at(10)).await, phones("cd"), "the survivors are woken as before");
    scene.notify(notification(2, &["a"]), at(20)).await;
    assert_eq!(scene.leave(at(20)).await, [""; 0]);
    scene.phones("ef").await;
    scene.notify(notification(3, &["c"]), at(30)).await;
    let nurseries = scene.store.nurseries().await.expect("nurseries");
    let groups: Vec<usize> = nurseries.iter().flat_map(|each| &each.groups).map(|g| g.1).collect();
    assert_eq!(groups, [2, 1, 1], "survivors first, and together");
    scene.form().await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    assert_eq!(scene.leave(at(30)).await, phones("cdef"), "what was accepted comes along");
}

async fn dissolves(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["d"]), at(10)).await;
    for name in ["a", "b", "c"] {
        scene.forget(name).await;
    }
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![(1, 1)]));
    let marked = scene.marked(at(10)).await;
    assert!(marked.iter().all(|each| each.is_provisional && !each.is_leaving));
    assert_eq!(marked.len(), 1);
    // A cohort was led and is dissolved before it leaves: it is decided anew.
    scene.forget("d").await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![], vec![]));
    assert_eq!(scene.leave(at(10)).await, [""; 0]);
    assert_eq!(scene.ledger().await.waiting, 0, "nobody is left whom it could wake");
}

async fn comes_back(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.forget("a").await;
    scene.register("a", "new-phone-a", at(1)).await;
    assert_eq!((scene.live().await, scene.in_nurseries().await), (vec![(4, 1)], vec![]));
    assert_eq!(scene.store.census(at(0)).await.expect("census").ghosts, 0);
    scene.notify(notification(1, &["b"]), at(10)).await;
    let mut all = phones("bcd");
    all.insert(0, "new-phone-a".to_owned());
    assert_eq!(scene.leave(at(10)).await, all);
}

async fn not_cancelled(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    let types = vec![MessageType::parse("checkEchoV1").expect("a word")];
    scene.notify(notification(1, &["a"]), at(10)).await;
    let looked = async || scene.store.fetched(&user("a"), types.clone()).await.expect("fetched");
    assert_eq!(looked().await, 0);
    scene.store.close(at(10)).await.expect("close");
    scene.lead_marked(at(10)).await;
    scene.end_window(at(10)).await;
    assert_eq!(looked().await, 0, "it would tell who has looked");
    assert_eq!(scene.woken(at(10)).await, phones("abcd"));
}

async fn scheduled(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abc").await;
    let later = |number, due| {
        let mut later = notification(number, &["a"]);
        later.deliver_after = Some(due);
        later
    };
    scene.notify(later(1, at(50)), at(10)).await;
    scene.notify(later(2, at(55)), at(10)).await;
    scene.phones("d").await;
    scene.form().await;
    scene.store.take_back(notification(2, &[]).id).await.expect("take back");
    // She has waited for others, is in a cohort, and is gone by the time it falls due.
    scene.forget("a").await;
    scene.end_window(at(10)).await;
    assert_eq!(scene.leave(at(60)).await, phones("bcd"));
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find").expect("a trail");
    assert_eq!((trail.cohorts, trail.window_end), (1, Some(at(60))));
}

async fn mustered(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.phones("efgh").await;
    scene.form().await;
    let mut later = notification(1, &["a"]);
    later.deliver_after = Some(at(15));
    scene.notify(later, at(10)).await;
    scene.end_window(at(10)).await;
    scene.notify(notification(2, &["e"]), at(20)).await;
    scene.store.close(at(20)).await.expect("close");
    assert_eq!(scene.expand(at(20), 1).await, Expanded::default(), "it is brought in");
    assert_eq!(scene.expand(at(20), 2).await, TO_MUSTER);
    assert_eq!(scene.marked(at(20)).await.len(), 2);
    scene.lead_marked(at(20)).await;
    assert_eq!(scene.expand(at(20), 3).await, TO_MUSTER, "nobody is woken before that is done");
    assert_eq!(scene.claim(at(20), 1).await, []);
    scene.store.mustered(at(20)).await.expect("mustered");
    let mut wakeups = 0;
    for seed in 4.. {
        let expanded = scene.expand(at(20), seed).await;
        wakeups += expanded.wakeups;
        assert!(expanded.next != Next::Muster, "it is decided");
        if expanded.is_done() {
            break;
        }
    }
    assert_eq!(wakeups, 8);
    assert_eq!(scene.woken(at(20)).await, phones("abcdefgh"));
    assert!(scene.expand(at(20), 1).await.is_done(), "and stays so");
    scene.store.close(at(30)).await.expect("close");
    assert_eq!(scene.expand(at(30), 1).await, TO_MUSTER);
}

async fn switched_off(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    scene.notify(notification(2, &["b"]), at(20)).await;
    scene.mix(None).await;
    scene.notify(notification(3, &["c"]), at(10)).await;
    scene.end_window(at(10)).await;
    assert_eq!(scene.woken(at(10)).await, phones("abcd"));
    scene.end_window(at(20)).await;
    assert_eq!(scene.woken(at(20)).await, phones("abcd"));
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn untried(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.form().await;
    scene.notify(notification(1, &["a"]), at(10)).await;
    scene.store.close(at(10)).await.expect("close");
    scene.lead_marked(at(10)).await;
    scene.end_window(at(10)).await;
    // One is tried and fails; the others are not.
    let claim = Claim {
        set: set(),
        now: at(10),
        lease: reveille_model::LeaseId::from_random(77),
        lease_until: at(60),
        limit: 1,
        hold: HOLD,
    };
    let claimed = scene.store.claim(claim).await.expect("claim");
    scene.settle(claimed.first().expect("one"), crate::End::Retry(at(70)), at(11)).await;
    assert_eq!(scene.sweep(at(5_000)).await.expired, 4);
    assert_eq!(scene.store.census(at(0)).await.expect("census").partial, 3);
    assert_eq!(scene.store.census(at(0)).await.expect("census").partial, 0);
}

async fn limits(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    scene.phones("abcd").await;
    scene.register("a", "tablet-a", at(0)).await;
    scene.form().await;
    let limit = Some(Limit { count: 1, per: Duration::from_s(60) });
    for number in 1..=3 {
        let mut limited = notification(number, &["a"]);
        limited.policy = Policy { wakes: true, limit };
        scene.accept(at(1), at(10), Item::Notification(limited)).await;
    }
    let ledger = scene.ledger().await;
    assert_eq!((ledger.waiting, ledger.settled(Settled::Limited)), (1, 2), "however many devices");
    let mut dry = notification(4, &["a"]);
    dry.dry_run = reveille_model::DryRun::Yes;
    scene.notify(dry, at(20)).await;
    assert_eq!(scene.marked(at(20)).await.len(), 1, "of the first");
    assert_eq!(scene.ledger().await.settled(Settled::DryRun), 1);
}
