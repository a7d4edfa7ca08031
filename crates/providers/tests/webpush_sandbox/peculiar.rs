//! What only some services do (providers.md §3.4).

use reveille_model::{Delay, Duration, Outcome, Proof, Strike};
use reveille_providers::Sender as _;
use serde_json::json;

use super::rig::{GOOGLE, MICROSOFT, MOZILLA, OWN, Rig};

#[tokio::test]
async fn microsoft_says_in_a_header_what_became_of_a_push_it_took() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    for (host, status, outcome, word) in [
        (MICROSOFT, "received", Outcome::Accepted, "none"),
        (MICROSOFT, "dropped", Outcome::Accepted, "wns_dropped"),
        (MICROSOFT, "channelthrottled", Outcome::Accepted, "wns_throttled"),
        (OWN, "dropped", Outcome::Accepted, "wns_dropped"),
    ] {
        let headers = json!({"X-WNS-Status": status, "X-WNS-NotificationStatus": status});
        rig.fault(json!({"reply": "success", "headers": headers, "count": 1})).await;
        // In the style of one who adds no such header.
        let verdict = sender.send(&rig.push((host, "up"), "b")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (outcome, word), "{host} {status}");
    }
    let throttled = Outcome::RetryMessage(Delay::Throttled(None));
    for host in [MICROSOFT, OWN] {
        rig.fault(json!({"reply": "status", "status": 406, "count": 1})).await;
        let verdict = sender.send(&rig.push((host, "microsoft"), "b")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (throttled, "wns_throttled"), "{host}");
    }
}

#[tokio::test]
async fn mozilla_may_be_asked_again_at_once_where_it_says_so() {
    let rig = Rig::start("").await;
    let soon = Some(rig.now()().plus(Duration::from_s(1)));
    for host in [MOZILLA, OWN] {
        rig.fault(json!({"reply": "status", "status": 503, "reason": 202, "count": 1})).await;
        let verdict = rig.sender().send(&rig.push((host, "mozilla"), "b")).await;
        let expected = Outcome::RetryMessage(Delay::ServerError(soon));
        assert_eq!((verdict.outcome, verdict.reason.0), (expected, "unavailable"), "{host}");
    }
}

#[tokio::test]
async fn what_says_too_little_once_counts_against_the_browser() {
    let rig = Rig::start("").await;
    let keys = Strike { count_min: 3, age_min: Duration::ZERO };
    let nobody = Strike { count_min: 2, age_min: Duration::from_s(86_400) };
    for (at, status, reason, strike) in [
        ((MOZILLA, "mozilla"), 400, json!(110), Some(keys)),
        ((GOOGLE, "google"), 400, json!("cannot decrypt"), Some(keys)),
        ((GOOGLE, "google"), 400, json!("bad"), None),
        ((OWN, "up"), 507, json!(null), Some(nobody)),
        ((OWN, "up"), 503, json!(null), None),
    ] {
        rig.fault(json!({"reply": "status", "status": status, "reason": reason, "count": 1})).await;
        let verdict = rig.sender().send(&rig.push(at, "b")).await;
        assert_eq!(verdict.strike, strike, "{status} {reason}");
    }
}

/// Without a fault: the sandbox cannot decrypt for another browser's keys.
#[tokio::test]
async fn a_subscription_with_wrong_keys_counts_against_itself() {
    let rig = Rig::start("").await;
    let mut mixed = rig.subscription((MOZILLA, "mozilla"), "b");
    mixed["keys"] = rig.subscription((MOZILLA, "mozilla"), "another")["keys"].clone();
    let verdict = rig.sender().send(&rig.push_to(&mixed)).await;
    assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::PayloadError, "bad_crypto"));
    assert!(verdict.strike.is_some());
    assert_eq!(rig.stats().await["refused"], json!({"BadCrypto": 1}));
}

#[tokio::test]
async fn a_refused_key_is_the_browsers_fault_where_the_same_service_has_taken_it_lately() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let at = (MOZILLA, "mozilla");
    let refused = json!({"token": "bad", "reply": "unauthenticated"});
    rig.fault(refused).await;
    let outcome = async |token: &str, at| sender.send(&rig.push(at, token)).await.outcome;
    assert_eq!(outcome("bad", at).await, Outcome::ConfigError, "nothing is known of it");
    assert_eq!(outcome("good", at).await, Outcome::Accepted);
    assert_eq!(outcome("bad", at).await, Outcome::DropSubscription(Proof::Guarded));
    // Another origin has taken nothing yet, and what was taken an hour ago says nothing of now.
    assert_eq!(outcome("bad", (OWN, "up")).await, Outcome::ConfigError);
    rig.clock.advance(Duration::from_s(3_600));
    assert_eq!(outcome("bad", at).await, Outcome::ConfigError);
}

#[tokio::test]
async fn another_refusal_pauses_nobody_where_the_same_service_has_taken_something_lately() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    rig.fault(json!({"token": "bad", "reply": "permission_denied"})).await;
    let send = async |token: &str| sender.send(&rig.push((GOOGLE, "google"), token)).await;
    assert_eq!(send("bad").await.outcome, Outcome::ConfigError);
    assert_eq!(send("good").await.outcome, Outcome::Accepted);
    let verdict = send("bad").await;
    let later = Outcome::RetryMessage(Delay::ServerError(None));
    assert_eq!((verdict.outcome, verdict.reason.0), (later, "forbidden"));
    assert!(verdict.strike.is_some(), "but it counts against the browser");
}
