//! Cases of devices that have to prove themselves.

use reveille_model::limits::{PROOF_RETENTION_S, PROOFS_WRONG_MAX};
use reveille_model::{
    Duration, MessageType, NewSubscription, Nonce, Provider, Reason, SubscriptionId, Token,
};

use super::Case;
use super::scene::{Scene, at, notification, set, user};
use crate::{AskProof, Asked, Claimed, End, Proved, Put, StoreError, Suspicion};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a device counts once it is proven", |store| Box::pin(proves(Scene::new(store)))),
        ("an unproven device takes nothing from anybody", |store| {
            Box::pin(takes_nothing(Scene::new(store)))
        }),
        ("a known device needs no proof", |store| Box::pin(known(Scene::new(store)))),
        ("proofs are bounded", |store| Box::pin(bounded(Scene::new(store)))),
        ("a full outbox refuses only what it would have to wake", |store| {
            Box::pin(full(Scene::new(store)))
        }),
    ]
}

fn nonce(number: u8) -> Nonce {
    Nonce::from_bytes([number; 16])
}

fn id(number: u8) -> SubscriptionId {
    SubscriptionId::from_bytes([number; 16])
}

impl Scene {
    async fn ask(&self, name: &str, token: &str, number: u8, second: u32) -> Asked {
        self.ask_within(1_000, (name, token), number, second).await.expect("ask")
    }

    async fn ask_within(
        &self,
        waiting_max: u64,
        (name, token): (&str, &str),
        number: u8,
        second: u32,
    ) -> Result<Asked, StoreError> {
        let token = Token::parse(Provider::Fcm, token).expect("a token");
        let ask = AskProof {
            new: NewSubscription { user: user(name), set: set(), topic: None, token },
            fresh: id(number),
            nonce: nonce(number),
            message_type: MessageType::verify(),
            ttl: Duration::from_s(3_600),
            sort_key: number.into(),
            waiting_max,
            per_user_max: 2,
            now: at(second),
        };
        let asked = self.store.ask_proof(ask).await;
        self.ledger().await;
        asked
    }

    async fn waiting(&self, name: &str, token: &str, number: u8, second: u32) -> SubscriptionId {
        match self.ask(name, token, number, second).await {
            Asked::Waiting(subscription) => subscription.id,
            Asked::Refreshed(_) => unreachable!("it is not known"),
        }
    }

    async fn show(&self, name: &str, id: SubscriptionId, number: u8) -> Proved {
        self.store.prove(&user(name), (id, nonce(number)), 3, at(50)).await.expect("prove")
    }
}

fn told(claimed: &[Claimed]) -> Vec<(&str, &str, Option<Nonce>)> {
    let each = claimed.iter();
    each.map(|each| (each.token.expose(), each.message_type.as_str(), each.nonce)).collect()
}

async fn proves(scene: Scene) {
    let waiting = scene.waiting("u", "t", 1, 10).await;
    assert_eq!(scene.devices("u").await.len(), 0);
    scene.notify(notification(1, &["u"]), at(100)).await;
    assert_eq!(
        scene.ledger().await.accepted,
        1,
        "it wakes nobody yet; the push that asks is counted"
    );
    let claimed = scene.claim(at(10), 1).await;
    assert_eq!(told(&claimed), [("t", "verifyV1", Some(nonce(1)))], "at once, in no window");
    scene.finish(&claimed, at(11)).await;

    assert_eq!(scene.show("v", waiting, 1).await, Proved::Unknown, "it is not theirs");
    assert_eq!(scene.show("u", waiting, 2).await, Proved::Wrong);
    let Proved::Registered(Put::Created { subscription, .. }) = scene.show("u", waiting, 1).await
    else {
        unreachable!("right")
    };
    assert_eq!((subscription.id, subscription.created_at), (waiting, at(50)));
    assert_eq!(scene.show("u", waiting, 1).await, Proved::Unknown, "once");
    assert_eq!(scene.devices("u").await, ["t"]);
    scene.notify(notification(2, &["u"]), at(100)).await;
    scene.end_window(at(100)).await;
    assert_eq!(told(&scene.claim(at(100), 2).await), [("t", "checkEchoV1", None)]);
}

async fn takes_nothing(scene: Scene) {
    scene.register("owner", "t", at(0)).await;
    for (name, number) in [("thief", 5), ("other", 6)] {
        scene.waiting(name, "t", number, 10).await;
    }
    assert_eq!(scene.devices("owner").await, ["t"]);
    let claimed = scene.claim(at(10), 1).await;
    assert_eq!(claimed.len(), 2, "each claim is asked for");
    // That the owner's device is in quarantine is nothing to them, and their push is not its try.
    scene.notify(notification(1, &["owner"]), at(20)).await;
    scene.end_window(at(20)).await;
    let due = scene.claim(at(20), 2).await;
    let one = due.first().expect("due");
    let doubt = Suspicion { reason: Reason("BadDeviceToken"), is_trusted: false };
    scene.settle(one, End::Suspected(doubt), at(20)).await;
    scene.waiting("third", "t", 7, 21).await;
    let due = scene.claim(at(21), 3).await;
    assert_eq!(told(&due), [("t", "verifyV1", Some(nonce(7)))]);
    let thief = id(5);
    // Whoever has the device has the nonce: it changed hands.
    assert!(matches!(scene.show("thief", thief, 5).await, Proved::Registered(_)));
    assert_eq!((scene.devices("owner").await.len(), scene.devices("thief").await.len()), (0, 1));
}

async fn known(scene: Scene) {
    // Beside what a window left behind.
    scene.tokens(&["other"], at(5)).await;
    scene.end_window(at(5)).await;
    scene.waiting("v", "v", 3, 6).await;
    let waiting = scene.claim(at(6), 9).await;
    assert_eq!(waiting.len(), 2);
    scene.finish(&waiting, at(7)).await;
    let first = scene.register("u", "t", at(0)).await;
    let Asked::Refreshed(again) = scene.ask("u", "t", 1, 10).await else { unreachable!("known") };
    assert_eq!((again.id, again.refreshed_at), (first.id, at(10)));
    assert_eq!(scene.ledger().await.accepted, 2);
}

async fn bounded(scene: Scene) {
    let first = scene.waiting("u", "a", 1, 10).await;
    assert_eq!(scene.waiting("u", "a", 9, 39).await, first, "the same device");
    assert_eq!(scene.ledger().await.accepted, 1, "it was asked a moment ago");
    assert_eq!(scene.waiting("u", "a", 2, 40).await, first);
    assert_eq!(scene.ledger().await.collapsed, 1, "one push is enough");
    assert_eq!(told(&scene.claim(at(40), 1).await), [("a", "verifyV1", Some(nonce(2)))]);
    for _ in 0..PROOFS_WRONG_MAX {
        assert_eq!(scene.show("u", first, 1).await, Proved::Wrong, "the newer nonce counts");
    }
    assert_eq!(scene.show("u", first, 2).await, Proved::Unknown, "after so many it is forgotten");
    let (b, c, d) = (
        scene.waiting("u", "b", 3, 41).await,
        scene.waiting("u", "c", 4, 42).await,
        scene.waiting("u", "d", 5, 43).await,
    );
    assert_eq!(scene.show("u", b, 3).await, Proved::Unknown, "the oldest made room");
    assert!(matches!(scene.show("u", c, 4).await, Proved::Registered(_)));
    scene.sweep(at(44 + PROOF_RETENTION_S)).await;
    assert_eq!(scene.show("u", d, 5).await, Proved::Unknown, "it took too long");
}

async fn full(scene: Scene) {
    scene.register("u", "known", at(0)).await;
    let asked = scene.waiting("u", "asked", 1, 10).await;
    let known = scene.ask_within(1, ("u", "known"), 2, 11).await.expect("no wake-up");
    assert!(matches!(known, Asked::Refreshed(_)));
    let again = scene.ask_within(1, ("u", "asked"), 3, 11).await.expect("no wake-up");
    assert!(matches!(again, Asked::Waiting(subscription) if subscription.id == asked));
    let new = scene.ask_within(1, ("u", "new"), 4, 11).await;
    assert!(matches!(new, Err(StoreError::Busy)));
    assert_eq!(scene.claim(at(11), 1).await.len(), 1, "what was refused wakes nobody");
}
