//! Provider tokens: renewed once, changed seldom, shared by all who use the key.

use std::sync::Arc;

use reveille_model::{Delay, Duration, Outcome, Timestamp, Topic};
use reveille_providers::apns::{ApnsConfig, ApnsConnections, ApnsSender, Kind};
use reveille_providers::{Push, Sender as _};
use serde_json::json;

use super::rig::{Rig, count, push, send_many};

#[tokio::test]
async fn an_old_provider_token_is_renewed_once_and_a_second_refusal_is_a_config_error() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    rig.fault(json!({"token": "0ce0", "reply": "unauthenticated", "count": 1})).await;
    assert_eq!(sender.send(&push("0ce0")).await.outcome, Outcome::Accepted);
    rig.fault(json!({"token": "eeee", "reply": "unauthenticated"})).await;
    let verdict = sender.send(&push("eeee")).await;
    assert_eq!(
        (verdict.outcome, verdict.reason.0),
        (Outcome::ConfigError, "ExpiredProviderToken"),
        "a token is renewed once in twenty minutes"
    );
    assert_eq!(sender.send(&push("ffff")).await.outcome, Outcome::Accepted);
    let answers = rig.stats(0).await["answers"].clone();
    assert_eq!(answers, json!({"200": 2, "403": 2}), "refused, renewed; refused; fine");
    assert_eq!(rig.connections().await, 1);
}

#[tokio::test]
async fn a_refusal_that_meets_many_at_once_renews_the_token_once() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
    // All of them are under way with the old token when it is refused.
    rig.fault(json!({"token": "bb*", "reply": "unauthenticated", "delay_ms": 50, "count": 40}))
        .await;
    assert_eq!(count(&send_many(&sender, 40, "bb").await, Outcome::Accepted), 40);
    let refused = rig.stats(0).await["refused"].clone();
    assert_eq!(refused, json!({}), "a third token would have been one too many");
}

/// The sandbox counts changes as Apple does: the first is free, another within twenty minutes is too many.
#[tokio::test]
async fn told_that_tokens_change_too_often_it_goes_back_to_the_old_one() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let real = rig.now()();
    let minutes = |minutes: u32| Duration::from_s(minutes * 60);
    // A half hour by the clock, not older than Apple allows nor younger; see `apns/token.rs`.
    let half_hour = Timestamp::from_ms((real.as_ms() + 30_000).div_euclid(1_800_000) * 1_800_000);
    rig.clock.set(half_hour.minus(minutes(20)));
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
    rig.fault(json!({"token": "bb", "reply": "unauthenticated", "count": 1})).await;
    assert_eq!(sender.send(&push("bb")).await.outcome, Outcome::Accepted, "the free change");
    // Twenty-one minutes later by our clock, at once by Apple's.
    rig.clock.set(half_hour.plus(minutes(1)));
    let verdict = sender.send(&push("cc")).await;
    let expected = Outcome::PauseProvider(Delay::Throttled(None));
    assert_eq!((verdict.outcome, verdict.reason.0), (expected, "TooManyProviderTokenUpdates"));
    for later in [1, 10, 20] {
        rig.clock.set(half_hour.plus(minutes(later)));
        let verdict = sender.send(&push("dd")).await;
        assert_eq!(verdict.outcome, Outcome::Accepted, "with the old one: {verdict:?}");
    }
    let stats = rig.stats(0).await;
    assert_eq!(stats["refused"], json!({"TooManyProviderTokenUpdates": 1}));
    assert_eq!(stats["connections"], 1);
}

fn app(rig: &Rig, kind: Kind, connections: &ApnsConnections, key_id: &str) -> Arc<ApnsSender> {
    let mut config = ApnsConfig { kind, ..rig.config() };
    config.provider_key.as_mut().unwrap().key_id = key_id.to_owned();
    Arc::new(ApnsSender::new(config, rig.now(), connections))
}

#[tokio::test]
async fn apps_of_one_key_share_connections_and_provider_tokens() {
    let rig = Rig::start("").await;
    let connections = ApnsConnections::default();
    let apps: Vec<Arc<ApnsSender>> = [Kind::Alert, Kind::Background, Kind::Alert]
        .into_iter()
        .map(|kind| app(&rig, kind, &connections, "SANDBOXKEY"))
        .collect();
    let topics = ["org.wikimedia.wikipedia", "org.wikimedia.wikipedia.tfbeta"];
    for topic in topics.into_iter().cycle().take(4) {
        for app in &apps {
            let push = Push { topic: Topic::parse(topic).ok(), ..push("aa") };
            // Three tokens on one connection would be answered TooManyProviderTokenUpdates.
            assert_eq!(app.send(&push).await.outcome, Outcome::Accepted);
        }
    }
    assert_eq!(rig.connections().await, 1);
}

#[tokio::test]
async fn apps_of_different_keys_share_no_connection() {
    let other = r#"
        [sandbox.apns_apps.other]
        topics = ["org.wikimedia.wikipedia"]
        key_file = "AuthKey.p8"
        key_id = "SECONDKEY2"
        team_id = "SANDBOXTEM"
    "#;
    let rig = Rig::start(other).await;
    let connections = ApnsConnections::default();
    let first = app(&rig, Kind::Alert, &connections, "SANDBOXKEY");
    let second = app(&rig, Kind::Alert, &connections, "SECONDKEY2");
    for _ in 0..3 {
        for app in [&first, &second] {
            // On one connection the second would be answered UnrelatedKeyIdInToken.
            assert_eq!(app.send(&push("aa")).await.outcome, Outcome::Accepted);
        }
    }
    let stats = rig.stats(0).await;
    assert_eq!((&stats["connections"], &stats["refused"]), (&json!(2), &json!({})));
    let keys: Vec<String> = rig
        .received()
        .await
        .iter()
        .map(|push| push["authorized_by"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["SANDBOXKEY", "SECONDKEY2"].repeat(3));
}
