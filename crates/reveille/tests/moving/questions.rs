//! What a store answers: the same before it was moved and after.

use reveille_model::{CohortSizes, NotificationId, Policy, Settled, Timestamp, User};
use reveille_store::{Destination, End, Item, Store, Which};

use crate::scene::{
    accept, at, claim, end_window, mix, nonce, notification, register, repeatable, sets, settle,
    unproven, user,
};

const USERS: [&str; 12] =
    ["ann", "bea", "cid", "dan", "eve", "fay", "gus", "hal", "ivy", "jon", "kim", "many-1234"];
/// Steps of a listing.
const PAGE: usize = 300;

/// What can be asked without changing anything.
pub(crate) async fn ask(store: &dyn Store) -> Vec<String> {
    let mut answers = Vec::new();
    let mut after = None;
    loop {
        let some = store.all(after, PAGE).await.unwrap();
        let Some(last) = some.last() else { break };
        after = Some(last.id);
        answers.extend(some.iter().map(|each| format!("{each:?} {}", each.token.expose())));
    }
    for name in USERS {
        answers.push(of_user(store, &user(name)).await);
    }
    for number in 0..20 {
        let trail = store.find(NotificationId::from_bytes([number; 16])).await.unwrap();
        answers.push(format!("{trail:?}"));
    }
    for set in sets() {
        answers.push(format!("{set} {:?}", store.paused_until(&set).await.unwrap()));
    }
    for to in [Destination::Webhook, Destination::MediaWiki] {
        for death in store.untold(to, at(1_000), 10).await.unwrap() {
            answers.push(format!("{death:?} {}", death.token.expose()));
        }
    }
    let quarantined = store.quarantined(None, 10).await.unwrap();
    // What they are called is made with the store's key.
    let of =
        |each: &reveille_store::Quarantined| format!("{:?} {:?}", each.subscription, each.reason);
    let mut quarantined: Vec<String> = quarantined.iter().map(of).collect();
    quarantined.sort_unstable();
    answers.extend(quarantined);
    answers.push(format!("{:?}", store.halted().await.unwrap()));
    answers.push(format!("{:?}", store.refresh_days().await.unwrap()));
    answers.push(format!("{:?}", store.census(at(30)).await.unwrap()));
    answers.push(format!("{:?}", store.cohorts().await.unwrap()));
    answers.push(format!("{:?}", store.marked(at(2_000)).await.unwrap()));
    let depth = store.depth().await.unwrap();
    assert!(depth.ledger.fits());
    answers.push(format!("{depth:?} {:?}", store.key("caller", [0; 32]).await.unwrap()));
    answers
}

async fn of_user(store: &dyn Store, user: &User) -> String {
    let items = store.items(user, None, 100).await.unwrap();
    let items: Vec<String> =
        items.iter().map(|item| format!("{item:?} {}", item.content.expose())).collect();
    let said = store.preferences(user).await.unwrap();
    format!("{items:?} {said:?} {:?}", store.seen(user).await.unwrap())
}

/// Everything due, in order, of each credential set.
async fn leave(store: &dyn Store, now: Timestamp, answers: &mut Vec<String>) {
    for set in sets() {
        loop {
            let claimed = claim(store, &set, now).await;
            if claimed.is_empty() {
                break;
            }
            let ends = vec![End::Settled(Settled::Sent); claimed.len()];
            settle(store, &claimed, ends, now).await;
            for each in claimed {
                // The lease is ours. A new row's number may be another one.
                let due = (each.window_end, each.expires_at, each.sort_key, each.attempts);
                let whom = (each.device, &each.topic, &each.message_type, each.nonce);
                answers.push(format!("{now:?} {set} {} {due:?} {whom:?}", each.token.expose()));
            }
        }
    }
}

/// What comes of it when the store goes on. `sizes` are those of its cohorts.
pub(crate) async fn go_on(store: &dyn Store, sizes: Option<CohortSizes>) -> Vec<String> {
    store.mix(mix(sizes)).await.unwrap();
    let mut answers = Vec::new();
    // Before what is under way is wholly expanded only what came before it leaves.
    leave(store, at(25), &mut answers).await;
    end_window(store, at(30)).await;
    leave(store, at(45), &mut answers).await;
    let released = store.release(Which::All, at(50)).await.unwrap();
    answers.push(format!("{released} were held"));
    leave(store, at(55), &mut answers).await;
    let once = Item::Notification(notification(4, &["bea"]));
    answers.push(format!("{:?}", accept(store, once, at(950), Some(repeatable())).await));
    let proved = store.prove(&user("fay"), (unproven(), nonce()), 10, at(60)).await.unwrap();
    answers.push(format!("{proved:?}"));
    for number in 10..13 {
        accept(store, Item::Notification(notification(number, &["cid"])), at(950), None).await;
        let free = reveille_model::Notification {
            policy: Policy::OPEN,
            ..notification(number + 10, &["ann", "gus"])
        };
        accept(store, Item::Notification(free), at(950), None).await;
        let trail = store.find(NotificationId::from_bytes([number; 16])).await.unwrap().unwrap();
        answers.push(format!("limited: {:?}", trail.ledger));
    }
    register(store, "new", 500).await;
    end_window(store, at(950)).await;
    leave(store, at(2_000), &mut answers).await;
    let ledger = store.depth().await.unwrap().ledger;
    assert!(ledger.fits());
    answers.push(format!("{ledger:?}"));
    answers
}

/// Says which answers differ.
pub(crate) fn compare(before: &[String], after: &[String]) {
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
}
