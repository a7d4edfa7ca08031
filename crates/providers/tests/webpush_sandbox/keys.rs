//! Our keys: several, bound to subscriptions, and tokens signed with them.

use reveille_model::{Duration, Outcome, Proof};
use reveille_providers::Sender as _;
use reveille_providers::jwt::SigningKey;
use reveille_providers::webpush::{Target, VapidKey};
use serde_json::{Value, json};

use super::rig::{APPLE, GOOGLE, MOZILLA, OWN, Rig, fresh_key};

/// What a browser gives that subscribed with this key of ours.
async fn subscribed_with(rig: &Rig, key: &VapidKey, token: &str) -> Value {
    let new = json!({"token": token, "style": "google", "application_server_key": key.public()});
    assert_eq!(rig.sandbox.control.post("/subscriptions", &new).await.status, 201);
    let mut json = rig.subscription((GOOGLE, "google"), token);
    json["applicationServerKey"] = json!(key.public());
    json
}

#[tokio::test]
async fn each_browser_is_shown_the_key_it_subscribed_with() {
    let rig = Rig::start("").await;
    let (pem, second) = fresh_key();
    let of_first = subscribed_with(&rig, &rig.key(), "first").await;
    let of_second = subscribed_with(&rig, &second, "second").await;
    let target = Target::from_json(&of_second, &rig.guard).unwrap();
    assert_eq!(target.key_id.as_deref(), Some(second.id()));

    let sender = rig.sender_of(rig.config(vec![rig.key(), second]));
    for subscription in [&of_first, &of_second, &of_first] {
        let verdict = sender.send(&rig.push_to(subscription)).await;
        assert_eq!(verdict.outcome, Outcome::Accepted, "{verdict:?}");
    }
    let second = VapidKey::new(SigningKey::from_pem(pem.as_bytes()).unwrap());
    let keys: Vec<Value> =
        rig.received().await.iter().map(|push| push["authorized_by"].clone()).collect();
    assert_eq!(keys, [rig.key().public(), second.public(), rig.key().public()]);

    // After a rotation the second is the current one; nothing changes for anybody.
    let rotated = rig.sender_of(rig.config(vec![second, rig.key()]));
    for subscription in [&of_first, &of_second] {
        assert_eq!(rotated.send(&rig.push_to(subscription)).await.outcome, Outcome::Accepted);
    }
    // Scopes are told apart by key, so that one key's trouble is not the other's.
    let scopes =
        [&of_first, &of_second].map(|subscription| rotated.scope(&rig.push_to(subscription)));
    assert_ne!(scopes[0], scopes[1]);
    let origin = format!("https://{GOOGLE}:{} ", rig.sandbox.webpush_port);
    assert!(scopes.iter().all(|scope| scope.starts_with(&origin)), "{scopes:?}");
}

#[tokio::test]
async fn a_browser_whose_key_is_not_ours_any_more_is_dropped_with_a_guard_and_never_asked() {
    let rig = Rig::start("").await;
    let (_, gone) = fresh_key();
    let subscription = subscribed_with(&rig, &gone, "b").await;
    let verdict = rig.sender().send(&rig.push_to(&subscription)).await;
    let guarded = Outcome::DropSubscription(Proof::Guarded);
    assert_eq!((verdict.outcome, verdict.reason.0), (guarded, "key_gone"));
    assert_eq!(rig.stats().await["connections"], 0);
    // Where the site did not say which key it was, the service does.
    let mut unsaid = subscription;
    unsaid["applicationServerKey"].take();
    let verdict = rig.sender().send(&rig.push_to(&unsaid)).await;
    assert_eq!((verdict.outcome, verdict.reason.0), (guarded, "key_mismatch"));
}

#[tokio::test]
async fn where_nobody_said_which_key_it_was_each_of_ours_is_tried() {
    let rig = Rig::start("").await;
    let (_, second) = fresh_key();
    let mut unsaid = subscribed_with(&rig, &second, "b").await;
    unsaid["applicationServerKey"].take();
    let expected = second.public().to_owned();
    let sender = rig.sender_of(rig.config(vec![rig.key(), second]));
    assert_eq!(sender.send(&rig.push_to(&unsaid)).await.outcome, Outcome::Accepted);
    assert_eq!(rig.received().await[0]["authorized_by"], expected);
    assert_eq!(rig.stats().await["refused"], json!({"KeyMismatch": 1}));
}

#[tokio::test]
async fn a_refused_token_that_is_an_hour_old_is_renewed_once() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    rig.clock.set(rig.now()().minus(Duration::from_s(7_200)));
    for at in [(MOZILLA, "mozilla"), (APPLE, "apple"), (OWN, "up")] {
        assert_eq!(sender.send(&rig.push(at, "b")).await.outcome, Outcome::Accepted);
    }
    rig.clock.advance(Duration::from_s(3_600));
    for at in [(MOZILLA, "mozilla"), (APPLE, "apple"), (OWN, "up")] {
        rig.fault(json!({"token": "b", "reply": "unauthenticated", "count": 1})).await;
        assert_eq!(sender.send(&rig.push(at, "b")).await.outcome, Outcome::Accepted, "{at:?}");
    }
    let answers = rig.stats().await["answers"].clone();
    assert_eq!(answers, json!({"201": 6, "401": 2, "403": 1}));
    // The renewed one is fresh: a refusal of it is no matter of age.
    rig.fault(json!({"token": "c", "reply": "unauthenticated"})).await;
    let verdict = sender.send(&rig.push((MOZILLA, "mozilla"), "c")).await;
    assert_eq!(verdict.outcome, Outcome::DropSubscription(Proof::Guarded), "others work");
    assert_eq!(rig.stats().await["answers"]["401"], 3, "asked once");
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_a_config_error_at_once() {
    let rig = Rig::start("").await;
    rig.fault(json!({"reply": "unauthenticated"})).await;
    let sender = rig.sender();
    for _ in 0..3 {
        let verdict = sender.send(&rig.push((MOZILLA, "mozilla"), "b")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::ConfigError, "unauthorized"));
    }
    assert_eq!(rig.stats().await["answers"], json!({"401": 3}), "never twice for one push");
}

/// Without faults: the sandbox verifies as the services do.
#[tokio::test]
async fn a_clock_that_is_wrong_is_a_config_error() {
    let rig = Rig::start("").await;
    // Twelve hours of life: ended long ago, or ending in more than a day.
    let real = rig.now()();
    for off in [real.minus(Duration::from_s(90_000)), real.plus(Duration::from_s(90_000))] {
        rig.clock.set(off);
        let verdict = rig.sender().send(&rig.push((MOZILLA, "mozilla"), "b")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::ConfigError, "unauthorized"));
    }
    assert_eq!(rig.stats().await["refused"], json!({"BadJwt": 2}));
}
