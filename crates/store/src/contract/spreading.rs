//! Cases of wake-ups that leave with several windows.

use std::collections::BTreeMap;

use reveille_model::{Notification, Settled, Spread, Timestamp};

use super::Case;
use super::cohort_scene::{SIZES, phones};
use super::scene::{Scene, at, notification};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("devices leave with the windows they are spread over", |store| {
            Box::pin(devices(Scene::new(store)))
        }),
        ("a cohort leaves with one of the windows, however often it is named", |store| {
            Box::pin(cohorts(Scene::new(store)))
        }),
        ("what is scheduled is spread when it falls due", |store| {
            Box::pin(scheduled(Scene::new(store)))
        }),
        ("nothing is spread over windows that are closed", |store| {
            Box::pin(closed(Scene::new(store)))
        }),
    ]
}

const ALL: &str = "abcdefghijklmnopqrstuvwxyz";

fn ends() -> [Timestamp; 3] {
    [at(10), at(20), at(30)]
}

fn announcement(number: u8, names: &str, ends: &[Timestamp]) -> Notification {
    let users: Vec<String> = names.chars().map(String::from).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    Notification { spread: Spread(ends.to_vec()), ..notification(number, &users) }
}

/// Ends each of the windows, lets every marked cohort leave, and returns which phones were woken with each.
async fn leave_all(scene: &Scene, ends: &[Timestamp]) -> BTreeMap<Timestamp, Vec<String>> {
    let mut left = BTreeMap::new();
    for end in ends {
        left.insert(*end, scene.leave(*end).await);
    }
    left
}

fn sorted(left: &BTreeMap<Timestamp, Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = left.values().flatten().cloned().collect();
    all.sort_unstable();
    all
}

async fn devices(scene: Scene) {
    scene.phones(ALL).await;
    scene.notify(announcement(1, ALL, &ends()), at(10)).await;
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting), (26, 26));
    scene.notify(notification(2, &["a"]), at(10)).await;
    let left = leave_all(&scene, &ends()[..2]).await;
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find").expect("a trail");
    assert_eq!((trail.window_end, trail.has_left), (Some(at(30)), false), "not all of it");
    let mut left = left;
    left.insert(at(30), scene.leave(at(30)).await);
    assert!(left.values().all(|phones| phones.len() > 2), "{left:?}");
    let with = |end| left.get(&end).is_some_and(|phones| phones.contains(&"phone-a".to_owned()));
    assert!(with(at(10)), "a mention is not spread");
    let mut expected = phones(ALL);
    if with(at(20)) || with(at(30)) {
        expected.insert(0, "phone-a".to_owned());
    }
    assert_eq!(sorted(&left), expected);
    let trail = scene.store.find(notification(1, &[]).id).await.expect("find").expect("a trail");
    assert!(trail.has_left);
    assert_eq!(scene.ledger().await.waiting, 0);
}

async fn cohorts(scene: Scene) {
    scene.mix(Some(SIZES)).await;
    let groups = ["abcd", "efgh", "ijkl", "mnop", "qrst", "uvwx"];
    for names in groups {
        scene.phones(names).await;
        scene.form().await;
    }
    // In pieces, as an announcement to very many comes.
    scene.notify(announcement(1, "aeimqu", &ends()), at(10)).await;
    scene.notify(announcement(2, "bfjnrv", &ends()), at(10)).await;
    scene.notify(announcement(3, "cgkosw", &ends()), at(10)).await;
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting, ledger.collapsed), (18, 6, 12));
    let left = leave_all(&scene, &ends()).await;
    assert_eq!(sorted(&left), phones("abcdefghijklmnopqrstuvwx"), "each of them once");
    assert!(left.values().filter(|phones| !phones.is_empty()).count() > 1, "{left:?}");
    for names in groups {
        let whole = |woken: &&Vec<String>| phones(names).iter().all(|phone| woken.contains(phone));
        assert_eq!(left.values().filter(whole).count(), 1, "{names} whole: {left:?}");
    }
    assert_eq!(scene.ledger().await.settled(Settled::Sent), 24);
}

async fn scheduled(scene: Scene) {
    scene.phones(ALL).await;
    let ends = [at(50), at(60), at(70)];
    let later = Notification { deliver_after: Some(at(45)), ..announcement(1, ALL, &ends) };
    scene.notify(later, at(10)).await;
    assert_eq!(scene.leave(at(40)).await, [""; 0]);
    let left = leave_all(&scene, &ends).await;
    assert_eq!(sorted(&left), phones(ALL));
    assert!(left.values().all(|phones| phones.len() > 2), "{left:?}");
    // The same of cohorts.
    scene.mix(Some(SIZES)).await;
    scene.form().await;
    let ends = [at(90), at(100), at(110)];
    let later = Notification { deliver_after: Some(at(85)), ..announcement(2, ALL, &ends) };
    scene.notify(later, at(80)).await;
    let left = leave_all(&scene, &ends).await;
    assert_eq!(sorted(&left), phones(ALL));
    assert_eq!(left.values().filter(|phones| !phones.is_empty()).count(), 1, "one cohort");
}

async fn closed(scene: Scene) {
    scene.phones(ALL).await;
    scene.store.close(at(20)).await.expect("close");
    scene.notify(announcement(1, ALL, &[at(10), at(20)]), at(30)).await;
    assert_eq!(scene.leave(at(30)).await, phones(ALL));
}
