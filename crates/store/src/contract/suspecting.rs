//! Cases of devices that look dead: quarantine, strikes, and deaths to be told.

use reveille_model::{Duration, NewSubscription, Proof, Reason, Settled, Strike, SubscriptionId};

use super::Case;
use super::scene::{Scene, at, notification, set, token, user};
use crate::{Death, Destination, End, Imported, QuarantineId, Quarantined, Suspicion, Which};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("one guarded verdict holds a device and drops nobody", |store| {
            Box::pin(held(Scene::new(store)))
        }),
        ("a second verdict is believed after a while and in a trusted scope", |store| {
            Box::pin(believed(Scene::new(store)))
        }),
        ("a push that is taken clears every suspicion", |store| {
            Box::pin(cleared(Scene::new(store)))
        }),
        ("an app that comes back clears every suspicion", |store| {
            Box::pin(registered(Scene::new(store)))
        }),
        ("a quarantined device is tried once in a while, whatever waits", |store| {
            Box::pin(tried(Scene::new(store)))
        }),
        ("a try without an answer is not made again at once", |store| {
            Box::pin(unanswered(Scene::new(store)))
        }),
        ("an operator releases and drops", |store| Box::pin(operator(Scene::new(store)))),
        ("strikes count in a row and over their time", |store| {
            Box::pin(strikes(Scene::new(store)))
        }),
        ("deaths are told in order and until they are told", |store| {
            Box::pin(told(Scene::new(store)))
        }),
        ("a registration that came in between speaks for its token", |store| {
            Box::pin(late(Scene::new(store)))
        }),
        ("who was not heard of for long is forgotten", |store| {
            Box::pin(forgotten(Scene::new(store)))
        }),
        ("a token that lives is not told dead", |store| Box::pin(untold(Scene::new(store)))),
    ]
}

const LOOKS_DEAD: Reason = Reason("LOOKS_DEAD");

/// In a scope that is known to work.
const TRUSTED: End = End::Suspected(Suspicion { reason: LOOKS_DEAD, is_trusted: true });
/// In one that is not.
const UNTRUSTED: End = End::Suspected(Suspicion { reason: LOOKS_DEAD, is_trusted: false });

impl Scene {
    /// Sends to one token in the window that ends at `second`, and settles the push.
    async fn push(&self, token: &str, second: u32, end: End) -> crate::SettleReport {
        self.tokens(&[token], at(second)).await;
        self.end_window(at(second)).await;
        let claimed = self.claim(at(second), u64::from(second)).await;
        let one = claimed.iter().find(|each| each.token.expose() == token).expect("due");
        self.settle(one, end, at(second)).await
    }

    async fn quarantine(&self) -> Vec<Quarantined> {
        self.store.quarantined(None, 100).await.expect("a list")
    }

    async fn deaths(&self, second: u32) -> Vec<Death> {
        self.store.untold(Destination::Webhook, at(second), 100).await.expect("deaths")
    }

    async fn suspects(&self) -> (u64, u64) {
        self.store.count().await.expect("count")
    }
}

async fn held(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let report = scene.push("t", 10, TRUSTED).await;
    assert_eq!((report.suspected, report.dropped), (1, 0), "trusted or not");
    assert_eq!(scene.push("stranger", 10 + 1, TRUSTED).await.suspected, 1);
    assert_eq!(scene.suspects().await, (1, 1));
    assert_eq!(scene.store.quarantined_count().await, Ok(2));
    let listed = scene.quarantine().await;
    assert_eq!(listed.len(), 2);
    let of_device = listed.iter().find(|each| each.subscription.is_some()).expect("the device");
    assert_eq!((of_device.reason.as_str(), of_device.verdicts), ("LOOKS_DEAD", 1));
    assert_eq!((of_device.since, of_device.next_try, &of_device.set), (at(10), at(110), &set()));
    let after = scene.store.quarantined(listed.first().map(|each| each.id), 100).await;
    assert_eq!(after.expect("a page").as_slice(), listed.get(1..).expect("the rest"));
    // The wake-up is not lost: it waits with its device.
    assert_eq!(scene.ledger().await.waiting, 2);
    assert!(scene.claim(at(109), 2).await.is_empty());
    assert_eq!(scene.claim_tokens(at(111), 3).await.len(), 2);
}

async fn believed(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.push("t", 10, TRUSTED).await;
    // Tried again at its time, in a scope that cannot be trusted: held on.
    let again = |second: u32, end| {
        let scene = scene.clone();
        async move {
            let claimed = scene.claim(at(second), u64::from(second)).await;
            scene.settle(claimed.first().expect("due"), end, at(second)).await
        }
    };
    let report = again(110, UNTRUSTED).await;
    assert_eq!((report.suspected, report.dropped), (0, 0));
    assert_eq!(scene.quarantine().await.first().expect("it").verdicts, 2);
    let report = again(210, TRUSTED).await;
    assert_eq!((report.dropped, report.to_tell), (1, 1));
    assert!(scene.devices("u").await.is_empty());
    assert!(scene.quarantine().await.is_empty());
    assert_eq!(scene.ledger().await.settled(Settled::Dead), 1);
    // A token nobody registered is told as well.
    scene.push("stranger", 220, TRUSTED).await;
    assert_eq!(again(320, TRUSTED).await.to_tell, 1);
    assert_eq!(scene.deaths(320).await.len(), 2);
}

async fn cleared(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.push("t", 10, TRUSTED).await;
    let claimed = scene.claim(at(110), 2).await;
    scene.finish(&claimed, at(110)).await;
    assert_eq!((scene.quarantine().await, scene.suspects().await), (vec![], (1, 0)));
    // It begins anew: the old verdict is not remembered.
    assert_eq!(scene.push("t", 300, TRUSTED).await.suspected, 1);
}

async fn registered(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.push("t", 10, TRUSTED).await;
    scene.register("u", "t", at(20)).await;
    assert_eq!((scene.quarantine().await, scene.suspects().await), (vec![], (1, 0)));
    let claimed = scene.claim(at(20), 2).await;
    assert_eq!(claimed.len(), 1, "what waited is due at once");
    // A verdict about the registration before this one says nothing.
    scene.register("u", "t", at(21)).await;
    let report = scene.settle(claimed.first().expect("one"), TRUSTED, at(22)).await;
    assert_eq!((report.renewed, report.suspected), (1, 0));
    assert_eq!(scene.claim(at(22), 3).await.len(), 1, "it is sent to the new one");
    // Nor does a quarantine outlive its subscription.
    scene.push("t", 30, TRUSTED).await;
    scene.register("v", "t", at(31)).await;
    assert!(scene.quarantine().await.is_empty(), "the phone changed hands");
}

async fn tried(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.push("t", 10, TRUSTED).await;
    for second in [20, 30] {
        scene.notify(notification(u8::try_from(second).expect("small"), &["u"]), at(second)).await;
        scene.end_window(at(second)).await;
        assert!(scene.claim(at(second), u64::from(second)).await.is_empty());
    }
    // Another kind of message for the same device waits as well, and only one of them is the try.
    let other = crate::TokenMessage {
        message_type: reveille_model::MessageType::parse("otherV1").expect("a word"),
        ..super::scene::message(&["t"])
    };
    scene.try_accept(crate::Item::Tokens(other), at(40), None).await.expect("accepted");
    scene.end_window(at(40)).await;
    assert!(scene.claim(at(40), 40).await.is_empty());
    let claimed = scene.claim(at(110), 110).await;
    assert_eq!(claimed.len(), 1);
    assert!(scene.claim(at(111), 111).await.is_empty());
    // A try that came to nothing was none.
    let one = claimed.first().expect("one");
    scene.settle(one, End::Retry(at(130)), at(112)).await;
    assert!(scene.claim(at(129), 129).await.is_empty());
    let claimed = scene.claim(at(130), 130).await;
    assert_eq!(claimed.len(), 1, "sooner than in a while");
    scene.finish(&claimed, at(131)).await;
    assert_eq!(scene.claim(at(131), 131).await.len(), 1, "it lives: the other one leaves at once");
}

async fn unanswered(scene: Scene) {
    scene.push("t", 10, TRUSTED).await;
    assert_eq!(scene.claim(at(110), 110).await.len(), 1, "its time has come");
    // The lease ends at 170, and nobody has heard anything.
    assert!(scene.claim(at(171), 171).await.is_empty(), "once in a while, answered or not");
    assert_eq!(scene.claim(at(210), 210).await.len(), 1);
}

async fn operator(scene: Scene) {
    for (token, second) in [("a", 10), ("b", 11), ("c", 12)] {
        scene.register(token, token, at(0)).await;
        scene.push(token, second, TRUSTED).await;
    }
    let ids: Vec<QuarantineId> = scene.quarantine().await.iter().map(|each| each.id).collect();
    let (first, unknown) = (*ids.first().expect("three"), QuarantineId(crate::TokenKey([9; 16])));
    assert_eq!(scene.store.release(Which::One(unknown), at(20)).await, Ok(0));
    assert_eq!(scene.store.release(Which::One(first), at(20)).await, Ok(1));
    assert_eq!(scene.suspects().await, (3, 2));
    let claimed = scene.claim(at(20), 20).await;
    assert_eq!(claimed.len(), 1, "what waited for it is due");
    scene.finish(&claimed, at(21)).await;
    let tell = vec![Destination::Webhook];
    assert_eq!(scene.store.drop_quarantined(Which::Set(set()), tell.clone(), at(22)).await, Ok(2));
    assert_eq!(scene.store.drop_quarantined(Which::All, tell, at(22)).await, Ok(0));
    assert_eq!(scene.suspects().await, (1, 0));
    assert_eq!(scene.ledger().await.settled(Settled::Dead), 2, "what waited for them ended");
    let deaths = scene.deaths(22).await;
    assert_eq!(deaths.len(), 2);
    assert!(deaths.iter().all(|death| death.owner.is_some() && death.reason == "LOOKS_DEAD"));
    let (living, _) = scene.suspects().await;
    assert_eq!(living, 1);
    scene.push("stranger", 30, TRUSTED).await;
    assert_eq!(scene.store.release(Which::All, at(31)).await, Ok(1));
}

async fn strikes(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let strike = |second: u32, count_min, age_s, reason| {
        let scene = scene.clone();
        async move {
            scene.tokens(&["t"], at(second)).await;
            scene.end_window(at(second)).await;
            let claimed = scene.claim(at(second), u64::from(second)).await;
            let one = claimed.first().expect("due");
            let strike = Strike { count_min, age_min: Duration::from_s(age_s) };
            let end = End::Settled(Settled::PayloadError);
            let suspicion = Suspicion { reason: Reason(reason), is_trusted: true };
            let report = scene.settle_struck(one, end, Some((strike, suspicion)), at(second)).await;
            (report.suspected, report.dropped)
        }
    };
    assert_eq!(strike(10, 3, 0, "BAD_KEY").await, (0, 0));
    assert_eq!(strike(20, 3, 0, "BAD_KEY").await, (0, 0));
    assert_eq!((scene.quarantine().await, scene.suspects().await), (vec![], (1, 0)));
    // Another reason, and a success, begin anew.
    assert_eq!(strike(30, 3, 0, "NOBODY").await, (0, 0));
    assert_eq!(strike(40, 3, 0, "BAD_KEY").await, (0, 0));
    assert_eq!(strike(50, 3, 0, "BAD_KEY").await, (0, 0));
    scene.push("t", 60, End::Settled(Settled::Sent)).await;
    assert_eq!(strike(70, 3, 0, "BAD_KEY").await, (0, 0));
    assert_eq!(strike(80, 1, 30, "NOBODY").await, (0, 0));
    assert_eq!(strike(100, 1, 30, "NOBODY").await, (0, 0), "not for long enough");
    assert_eq!(strike(111, 1, 30, "NOBODY").await, (1, 0));
    assert_eq!(scene.quarantine().await.first().expect("it").since, at(111));
    assert_eq!(scene.ledger().await.waiting, 1, "this wake-up waits with the device");
    // And once more after a while, while others are reached: it is believed.
    let claimed = scene.claim(at(211), 211).await;
    let one = claimed.first().expect("due");
    let strike = Strike { count_min: 1, age_min: Duration::from_s(30) };
    let suspicion = Suspicion { reason: Reason("NOBODY"), is_trusted: true };
    let end = End::Retry(at(300));
    let report = scene.settle_struck(one, end, Some((strike, suspicion)), at(211)).await;
    assert_eq!((report.dropped, scene.suspects().await), (1, (0, 0)));
}

async fn told(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    let dead = End::Dead(Proof::Unguarded, Reason("UNREGISTERED"));
    assert_eq!(scene.push("t", 10, dead).await.to_tell, 1);
    scene.push("t", 20, dead).await;
    scene.push("other", 30, dead).await;
    let due = scene.deaths(30).await;
    let shown: Vec<(&str, bool)> =
        due.iter().map(|death| (death.token.expose(), death.owner.is_some())).collect();
    assert_eq!(shown, [("t", true), ("other", false)], "of one token the oldest only");
    let first = due.first().expect("two");
    assert_eq!((first.reason.as_str(), first.at, first.attempts), ("UNREGISTERED", at(10), 0));
    assert_eq!(scene.deaths(9).await, []);
    scene.store.tell_again(first.id, at(50)).await.expect("kept");
    assert_eq!(scene.deaths(49).await.len(), 1, "what comes after it waits behind it");
    assert_eq!(scene.store.next_untold(Destination::Webhook).await, Ok(Some(at(30))));
    assert_eq!(scene.deaths(50).await.last().expect("again").attempts, 1);
    scene.store.told(vec![first.id]).await.expect("told");
    let due = scene.deaths(50).await;
    assert_eq!(due.first().expect("the next of it").at, at(20));
    assert_eq!(scene.store.untold_count().await, Ok((2, Some(at(20)))));
    scene.store.told(due.iter().map(|death| death.id).collect()).await.expect("told");
    assert_eq!(scene.store.untold_count().await, Ok((0, None)));
    assert_eq!(scene.store.next_untold(Destination::Webhook).await, Ok(None));
}

async fn late(scene: Scene) {
    scene.tokens(&["t"], at(10)).await;
    scene.end_window(at(10)).await;
    let claimed = scene.claim(at(10), 1).await;
    scene.register("u", "t", at(11)).await;
    let one = claimed.first().expect("one");
    let end = End::Dead(Proof::Dated(at(5)), Reason::OTHER);
    let report = scene.settle(one, end, at(12)).await;
    assert_eq!((report.renewed, report.to_tell), (1, 0));
    assert_eq!(scene.devices("u").await, ["t"]);
}

async fn forgotten(scene: Scene) {
    scene.register("u", "t", at(0)).await;
    scene.push("t", 10, TRUSTED).await;
    scene.push("stranger", 11, TRUSTED).await;
    let sweep = |before| {
        let scene = scene.clone();
        async move {
            let sweep = crate::Sweep {
                now: at(4_000).plus(Duration::from_s(before)),
                trails_before: at(0),
                idempotency_before: at(0),
                suspects_before: at(before),
                counters_before: at(0),
                inbox_before: reveille_model::Timestamp::EPOCH,
                limit: 10,
            };
            scene.store.sweep(sweep).await.expect("sweep").suspects
        }
    };
    assert_eq!(sweep(100).await, 0);
    assert_eq!(sweep(200).await, 1, "a token nobody registered");
    let listed = scene.quarantine().await;
    assert!(listed.iter().all(|each| each.subscription.is_some()) && listed.len() == 1);
}

async fn untold(scene: Scene) {
    let dead = End::Dead(Proof::Unguarded, Reason("UNREGISTERED"));
    scene.push("a", 10, dead).await;
    scene.push("b", 11, dead).await;
    scene.push("c", 12, dead).await;
    // One is taken after all, one is registered by its app.
    scene.push("a", 20, End::Settled(Settled::Sent)).await;
    scene.register("u", "b", at(21)).await;
    let due: Vec<String> =
        scene.deaths(30).await.iter().map(|death| death.token.expose().to_owned()).collect();
    assert_eq!(due, ["c"]);
    // What comes from elsewhere does not bring it back.
    let new = NewSubscription { user: user("u"), set: set(), topic: None, token: token("c") };
    let device = (new, SubscriptionId::from_bytes([9; 16]), at(22));
    let imported = scene.store.import(vec![device], 10).await.expect("imported");
    assert_eq!(imported, [Imported::Dead]);
}
