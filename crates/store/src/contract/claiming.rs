//! Cases of claiming: what leaves, when, in which order, and under whose lease.

use std::collections::BTreeSet;

use reveille_model::limits::TARGETS_PER_ROW_MAX;
use reveille_model::{
    CredentialSet, DryRun, Duration, LeaseId, Provider, Settled, Shuffle, Token, Topic,
};

use super::Case;
use super::scene::{Scene, at, message, notification, set};
use crate::{Claim, End, Item, Suspicion, TokenMessage};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("what waits for a topic can be adopted", |store| Box::pin(adopted(Scene::new(store)))),
        ("nothing leaves before its window is expanded", |store| {
            Box::pin(released(Scene::new(store)))
        }),
        ("a batch leaves in sort-key order", |store| Box::pin(sorted(Scene::new(store)))),
        ("a batch leaves when all of it is expanded", |store| Box::pin(wholly(Scene::new(store)))),
        ("a claim takes its own credential set only", |store| Box::pin(own_set(Scene::new(store)))),
        ("equal wake-ups collapse, others do not", |store| Box::pin(collapse(Scene::new(store)))),
        ("a wake-up in flight absorbs nothing", |store| Box::pin(in_flight(Scene::new(store)))),
        ("a lease that ran out is claimed anew", |store| Box::pin(lease_ends(Scene::new(store)))),
        ("a lost lease that finds a newer one joins it", |store| {
            Box::pin(lease_joins(Scene::new(store)))
        }),
        ("an expired wake-up is not sent", |store| Box::pin(expired(Scene::new(store)))),
        ("a deleted device is not woken", |store| Box::pin(device_gone(Scene::new(store)))),
        ("a wake-up follows its device to other credentials", |store| {
            Box::pin(follows(Scene::new(store)))
        }),
        ("what former credentials are told says nothing of a device", |store| {
            Box::pin(former(Scene::new(store)))
        }),
        ("a registered token stands for its device", |store| {
            Box::pin(registered(Scene::new(store)))
        }),
    ]
}

async fn released(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    assert!(scene.claim(at(30), 1).await.is_empty());
    assert_eq!(scene.store.next_due(&set()).await.expect("next due"), None);
    scene.end_window(at(5)).await;
    assert!(scene.claim(at(30), 1).await.is_empty(), "an earlier window ended, not this one");
    scene.end_window(at(10)).await;
    assert_eq!(scene.store.next_due(&set()).await.expect("next due"), Some(at(10)));
    assert!(scene.claim(at(9), 1).await.is_empty(), "the clock says it is not over");
    assert_eq!(scene.claim_tokens(at(10), 1).await, ["a"]);
}

async fn sorted(scene: Scene) {
    let tokens: Vec<String> = (10..60).map(|number| format!("t{number}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    for chunk in tokens.chunks(20) {
        scene.tokens(chunk, at(10)).await;
    }
    scene.end_window(at(10)).await;
    let claimed = scene.claim(at(10), 1).await;
    assert_eq!(claimed.len(), tokens.len());
    assert!(claimed.is_sorted_by_key(|each| each.sort_key));
    let left: Vec<&str> = claimed.iter().map(|each| each.token.expose()).collect();
    assert_ne!(left, tokens, "not in the order of arrival");
    let keys: BTreeSet<i64> = claimed.iter().map(|each| each.sort_key).collect();
    assert_eq!(keys.len(), tokens.len(), "a key for each");
}

async fn wholly(scene: Scene) {
    scene.tokens(&["early"], at(10)).await;
    scene.end_window(at(10)).await;
    let early = scene.claim(at(10), 1).await;
    scene.settle(early.first().expect("one"), End::Retry(at(19)), at(11)).await;
    // Two transactions are needed for the next window.
    let many: Vec<String> = (0..TARGETS_PER_ROW_MAX).map(|number| format!("t{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    scene.tokens(&many, at(20)).await;
    scene.tokens(&["late"], at(20)).await;
    scene.store.close(at(20)).await.expect("close");
    let shuffle = Shuffle::from_seed([7; 32]);
    let first = scene.store.expand(at(20), shuffle).await.expect("expand");
    assert!(first.wakeups > 0 && !first.released && !first.is_done());
    assert!(scene.claim(at(20), 2).await.is_empty(), "half a batch");
    scene.end_window(at(20)).await;
    assert_eq!(scene.claim_tokens(at(20), 3).await.first().expect("due"), "early");
}

async fn own_set(scene: Scene) {
    let other = CredentialSet::new(Provider::Fcm, "other").expect("a name");
    let item = TokenMessage { set: other.clone(), ..message(&["a"]) };
    scene.try_accept(Item::Tokens(item), at(10), None).await.expect("accepted");
    scene.end_window(at(10)).await;
    assert!(scene.claim(at(10), 1).await.is_empty());
    assert_eq!(scene.store.next_due(&set()).await.expect("next due"), None);
    assert_eq!(scene.store.next_due(&other).await.expect("next due"), Some(at(10)));
}

async fn collapse(scene: Scene) {
    scene.tokens(&["a", "a"], at(10)).await;
    scene.tokens(&["a", "b"], at(10)).await;
    let variants = [
        TokenMessage { dry_run: DryRun::Yes, ..message(&["a"]) },
        TokenMessage {
            topic: Some(Topic::parse("org.example").expect("a topic")),
            ..message(&["a"])
        },
        TokenMessage {
            message_type: reveille_model::MessageType::parse("other").expect("a word"),
            ..message(&["a"])
        },
    ];
    for each in variants {
        scene.try_accept(Item::Tokens(each), at(10), None).await.expect("accepted");
    }
    assert_eq!(scene.end_window(at(10)).await, 5);
    let ledger = scene.ledger().await;
    assert_eq!((ledger.accepted, ledger.waiting, ledger.collapsed), (7, 5, 2));
    assert_eq!(scene.claim(at(10), 1).await.len(), 5);
}

async fn in_flight(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    let first = scene.claim(at(10), 1).await;
    // A newer event, while the first push may already have been fetched.
    scene.tokens(&["a"], at(20)).await;
    assert_eq!(scene.end_window(at(20)).await, 1, "the newer one waits by itself");
    scene.finish(&first, at(21)).await;
    assert_eq!(scene.claim(at(21), 2).await.len(), 1);
}

async fn lease_ends(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    let first = scene.claim(at(10), 1).await;
    assert_eq!(scene.store.next_due(&set()).await.expect("next due"), Some(at(70)));
    assert!(scene.claim(at(69), 2).await.is_empty(), "held");
    let second = scene.claim(at(70), 3).await;
    assert_eq!(second.len(), 1);
    let lost = scene.settle(first.first().expect("one"), End::Settled(Settled::Sent), at(71)).await;
    assert_eq!(lost.lost, 1, "whoever lost its lease settles nothing");
    assert_eq!(scene.ledger().await.waiting, 1);
    scene.finish(&second, at(72)).await;
    assert_eq!(scene.ledger().await.settled(Settled::Sent), 1);
    let again = scene.settle(second.first().expect("one"), End::Postpone(at(73)), at(73)).await;
    assert_eq!(again.lost, 1, "nor does it twice");
}

async fn lease_joins(scene: Scene) {
    scene.tokens(&["a"], at(10)).await;
    scene.end_window(at(10)).await;
    scene.claim(at(10), 1).await;
    scene.tokens(&["a"], at(20)).await;
    scene.end_window(at(20)).await;
    // At 70 the first lease has run out and the newer one is due: one push, not two.
    let mut claimed = scene.claim(at(70), 2).await;
    claimed.extend(scene.claim(at(70), 3).await);
    assert_eq!(claimed.len(), 1);
    let ledger = scene.ledger().await;
    assert_eq!((ledger.waiting, ledger.collapsed), (1, 1));
}

async fn expired(scene: Scene) {
    let short = TokenMessage { ttl: Duration::from_s(5), ..message(&["a"]) };
    scene.try_accept(Item::Tokens(short), at(10), None).await.expect("accepted");
    // A newer one prolongs it; expiry counts from the window's end.
    scene.tokens(&["b"], at(10)).await;
    let longer = TokenMessage { ttl: Duration::from_s(9), ..message(&["b", "c"]) };
    scene.try_accept(Item::Tokens(longer), at(10), None).await.expect("accepted");
    scene.end_window(at(10)).await;
    assert_eq!(scene.claim_tokens(at(19), 1).await, ["b"]);
    assert_eq!(scene.ledger().await.settled(Settled::Expired), 2);
}

async fn device_gone(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.notify(notification(1, &["u"]), at(10)).await;
    scene.notify(notification(2, &["u"]), at(20)).await;
    scene.end_window(at(10)).await;
    // The phone changed hands.
    scene.register("v", "t", at(11)).await;
    assert!(scene.claim(at(12), 1).await.is_empty());
    assert_eq!(scene.ledger().await.settled(Settled::Cancelled), 1);
    // Gone before its window ended: the same.
    scene.end_window(at(20)).await;
    assert!(scene.claim(at(20), 1).await.is_empty());
    assert_eq!(scene.ledger().await.settled(Settled::Cancelled), 2);
}

async fn follows(scene: Scene) {
    let old = CredentialSet::new(Provider::Fcm, "old").expect("a name");
    let device = |set: CredentialSet| reveille_model::NewSubscription {
        user: super::scene::user("u"),
        set,
        topic: None,
        token: super::scene::token("t"),
    };
    let id = reveille_model::SubscriptionId::from_bytes([1; 16]);
    scene.store.put(device(old.clone()), id, 3, at(0)).await.expect("put");
    scene.notify(notification(1, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    // Nobody delivers for the old credentials any more; the app registers with the new ones.
    scene.store.put(device(set()), id, 3, at(11)).await.expect("put");
    scene.notify(notification(2, &["u"]), at(20)).await;
    assert_eq!(scene.end_window(at(20)).await, 0, "it joins the waiting one");
    assert_eq!(scene.claim_tokens(at(20), 1).await, ["t"]);
    assert_eq!(scene.store.next_due(&old).await.expect("next due"), None);
}

/// The app has registered the device with other credentials, and what waited for it leaves with those before: as they are not the device's, its provider
/// refuses it. Sent with its own it is taken.
async fn former(scene: Scene) {
    let old = CredentialSet::new(Provider::Fcm, "old").expect("a name");
    let device = |set: CredentialSet| reveille_model::NewSubscription {
        user: super::scene::user("u"),
        set,
        topic: None,
        token: super::scene::token("t"),
    };
    let id = reveille_model::SubscriptionId::from_bytes([1; 16]);
    scene.store.put(device(old.clone()), id, 3, at(0)).await.expect("put");
    scene.notify(notification(1, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    scene.store.put(device(set()), id, 3, at(11)).await.expect("put");
    let reason = reveille_model::Reason("SENDER_ID_MISMATCH");
    let mismatch = End::Suspected(Suspicion { reason, is_trusted: true });
    let sent = scene.claim_of(old.clone(), at(12), 1).await;
    let sent = sent.first().expect("it left with the credentials before");
    let report = scene.settle(sent, mismatch, at(12)).await;
    assert_eq!((report.renewed, report.suspected, report.dropped), (1, 0, 0));
    assert!(
        scene.claim_of(old, at(12), 2).await.is_empty(),
        "they have nothing more to do with it"
    );
    let sent = scene.claim(at(12), 3).await;
    assert_eq!(sent.first().map(|each| each.token.expose()), Some("t"));
    assert_eq!(scene.devices("u").await.len(), 1);
}

async fn registered(scene: Scene) {
    let device = scene.register("u", "t", at(0)).await;
    scene.tokens(&["t", "x"], at(10)).await;
    scene.notify(notification(1, &["u"]), at(10)).await;
    assert_eq!(scene.end_window(at(10)).await, 2, "one wake-up for the device, by whichever way");
    let claimed = scene.claim(at(10), 1).await;
    let of = |text: &str| claimed.iter().find(|each| each.token.expose() == text).expect("claimed");
    let known = of("t").device.expect("a registered device");
    assert_eq!((known.subscription, known.generation), (device.id, 1));
    assert_eq!(of("x").device, None);
}

async fn adopted(scene: Scene) {
    let nobody = CredentialSet::new(Provider::Apns, "no-app").expect("a name");
    let somebody = CredentialSet::new(Provider::Apns, "app").expect("a name");
    let topic = |text| Topic::parse(text).expect("a topic");
    let give = |token: &'static str, of, window| {
        let scene = scene.clone();
        let message = TokenMessage {
            set: nobody.clone(),
            topic: Some(topic(of)),
            tokens: vec![Token::parse(Provider::Apns, token).expect("a token")],
            ..message(&[])
        };
        async move {
            scene.try_accept(Item::Tokens(message), at(window), None).await.expect("accepted");
        }
    };
    give("aa", "known", 10).await;
    give("bb", "unknown", 10).await;
    scene.end_window(at(10)).await;
    give("cc", "known", 20).await;
    assert_eq!(scene.store.adopt(&nobody, &topic("known"), &somebody).await, Ok(2));
    scene.end_window(at(20)).await;
    let claim = Claim {
        set: somebody,
        now: at(20),
        lease: LeaseId::from_random(2),
        lease_until: at(80),
        limit: 10,
        hold: super::scene::HOLD,
    };
    let claimed = scene.store.claim(claim).await.expect("claim");
    let tokens: Vec<&str> = claimed.iter().map(|each| each.token.expose()).collect();
    assert_eq!(tokens, ["aa", "cc"]);
    assert_eq!(scene.ledger().await.waiting, 3);
}
