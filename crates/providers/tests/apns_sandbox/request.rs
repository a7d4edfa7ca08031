//! What arrives.

use std::collections::BTreeMap;

use reveille_model::{DryRun, MessageType, Outcome, Reason, Timestamp};
use reveille_providers::apns::{ApnsConfig, Kind};
use reveille_providers::{Push, Sender as _};
use serde_json::{Value, json};

use super::rig::{Rig, TOPIC, push};

/// Of a push that arrived, as it was sent.
fn headers(received: &Value) -> BTreeMap<&str, &str> {
    let headers = received["headers"].as_object().unwrap();
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
}

#[tokio::test]
async fn what_arrives_is_the_documented_request_and_nothing_else() {
    let rig = Rig::start("").await;
    let alert = rig.sender();
    let background = rig.sender_of(ApnsConfig { kind: Kind::Background, ..rig.config() });
    let sent = Push {
        expires_at: Timestamp::from_ms(1_795_254_000_999),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        id: [0xff; 16],
        ..push("AABBccdd")
    };
    assert_eq!(alert.send(&sent).await.outcome, Outcome::Accepted);
    assert_eq!(background.send(&sent).await.outcome, Outcome::Accepted);

    let received = rig.received().await;
    let aps = json!({"alert": "checkEchoV1", "mutable-content": 1, "thread-id": "checkEchoV1"});
    let silent = json!({"content-available": 1});
    let rows = [(&received[0], aps, "alert", "10"), (&received[1], silent, "background", "5")];
    for (push, aps, push_type, priority) in rows {
        let body = json!({"aps": aps, "data": {"type": "checkEchoV1"}});
        assert_eq!((&push["token"], &push["payload"]), (&json!("aabbccdd"), &body));
        assert_eq!(push["body_bytes"], body.to_string().len(), "and not a byte more");
        assert_eq!(push["authorized_by"], "SANDBOXKEY");
        let length = body.to_string().len().to_string();
        let expected = BTreeMap::from([
            ("apns-collapse-id", "checkEchoV1"),
            ("apns-expiration", "1795254000"),
            ("apns-id", "ffffffff-ffff-4fff-bfff-ffffffffffff"),
            ("apns-priority", priority),
            ("apns-push-type", push_type),
            ("apns-topic", TOPIC),
            ("content-length", length.as_str()),
        ]);
        assert_eq!(headers(push), expected);
    }
}

#[tokio::test]
async fn every_attempt_of_a_push_carries_the_same_id_and_expiration() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    // Refused unread, over another connection, with another provider token: all within one call.
    rig.fault(json!({"token": "aa", "reply": "refused", "count": 1})).await;
    rig.fault(json!({"token": "aa", "reply": "unavailable", "count": 1})).await;
    rig.fault(json!({"token": "aa", "reply": "unauthenticated", "count": 1})).await;
    let sent = Push { id: [0x1b; 16], ..push("aa") };
    assert_eq!(sender.send(&sent).await.outcome, Outcome::Accepted);
    // And in the next call, which is the outbox's retry.
    assert_eq!(sender.send(&sent).await.outcome, Outcome::Accepted);
    let received = rig.received().await;
    let answers: Vec<&str> = received.iter().map(|push| push["answer"].as_str().unwrap()).collect();
    assert_eq!(answers, ["refused", "503", "403", "200", "200"]);
    let expires_at = sent.expires_at.as_s().to_string();
    for push in &received {
        let headers = headers(push);
        assert_eq!(headers["apns-id"], "1b1b1b1b-1b1b-4b1b-9b1b-1b1b1b1b1b1b");
        assert_eq!(headers["apns-expiration"], expires_at);
    }
}

#[tokio::test]
async fn a_dry_run_stops_before_the_network() {
    let rig = Rig::start("").await;
    let verdict = rig.sender().send(&Push { dry_run: DryRun::Yes, ..push("aa") }).await;
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Accepted, Reason::DRY_RUN));
    assert_eq!(rig.connections().await, 0);
}

#[tokio::test]
async fn a_check_says_which_of_our_settings_is_refused() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let topic = push("aa").topic;
    sender.check(topic.as_ref()).await.unwrap();
    let nobody = "0".repeat(64);
    for (reply, hint) in [
        ("invalid_token", None),
        ("permission_denied", Some("key_id")),
        ("internal", Some("in trouble")),
    ] {
        rig.fault(json!({"token": nobody, "reply": reply, "count": 1})).await;
        let checked = sender.check(topic.as_ref()).await;
        assert_eq!(checked.is_err(), hint.is_some(), "{reply}: {checked:?}");
        let what = checked.err().unwrap_or_default();
        assert!(what.contains(hint.unwrap_or_default()), "{reply}: {what}");
    }
    let foreign = reveille_model::Topic::parse("org.example").unwrap();
    let what = sender.check(Some(&foreign)).await.unwrap_err();
    assert!(what.contains("TopicDisallowed"), "{what}");
    // A clock far behind makes tokens that have ended before they begin.
    rig.clock.set(Timestamp::from_ms(1_000_000_000_000));
    let what = rig.sender().check(topic.as_ref()).await.unwrap_err();
    assert!(what.contains("ExpiredProviderToken") && what.contains("clock"), "{what}");
}
