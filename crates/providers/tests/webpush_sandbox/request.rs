//! What arrives.

use std::collections::BTreeMap;

use reveille_model::{DryRun, Duration, MessageType, Outcome, Reason};
use reveille_providers::webpush::{Urgency, WebPushConfig};
use reveille_providers::{Push, Sender as _};
use serde_json::{Value, json};

use super::rig::{APPLE, GOOGLE, MICROSOFT, MOZILLA, OWN, Rig};

fn headers(received: &Value) -> BTreeMap<&str, &str> {
    let headers = received["headers"].as_object().unwrap();
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
}

#[tokio::test]
async fn what_arrives_decrypts_to_the_message_type_and_has_the_documented_headers() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let styles = ["mozilla", "google", "apple", "microsoft", "up", "wp"];
    for (style, host) in styles.into_iter().zip([MOZILLA, GOOGLE, APPLE, MICROSOFT, OWN, GOOGLE]) {
        let verdict = sender.send(&rig.push((host, style), style)).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::Accepted, "none"), "{style}");
    }
    let received = rig.received().await;
    assert_eq!(received.len(), styles.len());
    for (push, style) in received.iter().zip(styles) {
        assert_eq!(
            (&push["token"], &push["payload"]),
            (&json!(style), &json!({"type": "checkEchoV1"}))
        );
        assert_eq!(push["authorized_by"], rig.key().public());
        let mut headers = headers(push);
        let topic = headers.remove("topic").unwrap();
        assert!(topic.len() == 32 && !topic.contains(['+', '/', '=']), "{topic}");
        let expected = BTreeMap::from([
            ("accept", "*/*"),
            ("content-encoding", "aes128gcm"),
            ("content-length", "230"),
            ("content-type", "application/octet-stream"),
            ("ttl", "3600"),
            ("urgency", "normal"),
        ]);
        assert_eq!(headers, expected, "nothing that tells one push from another");
    }
}

#[tokio::test]
async fn all_bodies_are_of_one_length_and_topics_follow_the_message_type() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let longest = "x".repeat(64);
    let words = ["a", "checkEchoV1", longest.as_str(), "checkEchoV1"];
    for word in words {
        let message_type = MessageType::parse(word).unwrap();
        let push = Push { message_type, ..rig.push((MOZILLA, "mozilla"), "b") };
        assert_eq!(sender.send(&push).await.outcome, Outcome::Accepted);
    }
    let received = rig.received().await;
    let texts: Vec<&Value> = received.iter().map(|push| &push["payload"]).collect();
    assert_eq!(texts, words.map(|word| json!({ "type": word })).iter().collect::<Vec<_>>());
    assert!(received.iter().all(|push| push["body_bytes"] == 230));
    let topics: Vec<&str> = received.iter().map(|push| headers(push)["topic"]).collect();
    assert_eq!(topics[1], topics[3], "a newer one replaces the older one");
    assert!(topics[0] != topics[1] && topics[1] != topics[2]);
}

#[tokio::test]
async fn the_time_to_live_is_never_nothing_which_microsoft_would_refuse() {
    let rig = Rig::start("").await;
    let sender =
        rig.sender_of(WebPushConfig { urgency: Urgency::VeryLow, ..rig.config(vec![rig.key()]) });
    let now = rig.now()();
    for (expires_at, ttl) in [
        (now.minus(Duration::from_s(60)), "1"),
        (now, "1"),
        (now.plus(Duration::from_ms(1_999)), "1"),
        (now.plus(Duration::from_s(20)), "20"),
    ] {
        let push = Push { expires_at, ..rig.push((MICROSOFT, "microsoft"), "b") };
        assert_eq!(sender.send(&push).await.outcome, Outcome::Accepted);
        let received = rig.received().await;
        let headers = headers(received.last().unwrap());
        assert_eq!((headers["ttl"], headers["urgency"]), (ttl, "very-low"));
    }
}

#[tokio::test]
async fn a_dry_run_stops_before_the_network_and_a_check_too() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let push = Push { dry_run: DryRun::Yes, ..rig.push((MOZILLA, "mozilla"), "b") };
    let verdict = sender.send(&push).await;
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Accepted, Reason::DRY_RUN));
    sender.check(None).await.unwrap();
    assert_eq!(rig.stats().await["connections"], 0);
}

#[tokio::test]
async fn what_was_never_a_subscription_is_given_up() {
    let rig = Rig::start("").await;
    let endpoint = rig.subscription((OWN, "up"), "b")["endpoint"].as_str().unwrap().to_owned();
    for text in [endpoint.clone(), format!("{endpoint} AAAA AAAA"), format!("{endpoint} x y z")] {
        let token = reveille_model::Token::parse(reveille_model::Provider::WebPush, &text).unwrap();
        let push = Push { token, ..rig.push((OWN, "up"), "b") };
        let verdict = rig.sender().send(&push).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::PayloadError, "unfit"));
    }
    assert_eq!(rig.stats().await["connections"], 0);
}
