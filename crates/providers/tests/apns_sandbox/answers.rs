//! Every row of providers.md §1.5, and what is in none.

use std::collections::BTreeMap;

use reveille_model::{Delay, Duration, Outcome, Proof, Reach, Timestamp};
use reveille_providers::Sender as _;
use serde_json::{Value, json};

use super::rig::{Rig, push};

/// How often a push is sent, and over how many connections, when it gets the same answer for ever.
#[derive(Clone, Copy)]
enum Tries {
    Once,
    /// With a fresh provider token, over the same connection.
    Refreshed,
    /// Over another connection.
    Replaced,
}

type Row = (u16, &'static str, Outcome, Tries);

fn documented() -> Vec<Row> {
    use Tries::{Once, Refreshed, Replaced};
    let guarded = Outcome::DropSubscription(Proof::Guarded);
    let dated = Outcome::DropSubscription(Proof::Dated(Timestamp::from_ms(1_700)));
    let soon = Outcome::RetryMessage(Delay::Unanswered);
    let server_error = Outcome::RetryMessage(Delay::ServerError(None));
    let (config, payload) = (Outcome::ConfigError, Outcome::PayloadError);
    vec![
        (400, "BadDeviceToken", guarded, Once),
        (400, "DeviceTokenNotForTopic", guarded, Once),
        (400, "BadTopic", config, Once),
        (400, "TopicDisallowed", config, Once),
        (400, "MissingTopic", config, Once),
        (400, "BadCollapseId", payload, Once),
        (400, "BadExpirationDate", payload, Once),
        (400, "BadMessageId", payload, Once),
        (400, "BadPriority", payload, Once),
        (400, "InvalidPushType", payload, Once),
        (400, "DuplicateHeaders", payload, Once),
        (400, "PayloadEmpty", payload, Once),
        (400, "MissingDeviceToken", payload, Once),
        (400, "IdleTimeout", soon, Replaced),
        (403, "ExpiredProviderToken", config, Refreshed),
        (403, "InvalidProviderToken", config, Refreshed),
        (403, "MissingProviderToken", config, Refreshed),
        (403, "UnrelatedKeyIdInToken", config, Replaced),
        (403, "BadEnvironmentKeyIdInToken", config, Once),
        (403, "BadEnvironmentKeyInToken", config, Once),
        (403, "BadCertificate", config, Once),
        (403, "BadCertificateEnvironment", config, Once),
        (403, "Forbidden", config, Once),
        (404, "BadPath", payload, Once),
        (405, "MethodNotAllowed", payload, Once),
        (410, "Unregistered", dated, Once),
        (410, "ExpiredToken", dated, Once),
        (413, "PayloadTooLarge", payload, Once),
        (429, "TooManyProviderTokenUpdates", Outcome::PauseProvider(Delay::Throttled(None)), Once),
        (429, "TooManyRequests", Outcome::RetryMessage(Delay::Throttled(None)), Once),
        (500, "InternalServerError", server_error, Once),
        (503, "ServiceUnavailable", server_error, Replaced),
        (503, "Shutdown", soon, Once),
    ]
}

#[tokio::test]
async fn every_documented_answer_has_its_verdict() {
    let rig = Rig::start("").await;
    for (row, (status, reason, outcome, tries)) in documented().into_iter().enumerate() {
        let token = format!("{row:04x}");
        let (attempts, connections) = match tries {
            Tries::Once => (1, 1),
            Tries::Refreshed => (2, 1),
            Tries::Replaced => (2, 2),
        };
        let fault = json!({
            "token": token, "reply": "status", "status": status, "reason": reason, "timestamp": 1700,
        });
        rig.fault(fault).await;
        let before = rig.stats(0).await;
        let verdict = rig.sender().send(&push(&token)).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (outcome, reason), "{status} {reason}");
        // What is wrong with a topic says nothing of the key's other topics.
        let is_of_topic = outcome == Outcome::ConfigError && reason.contains("Topic");
        let reach = if is_of_topic { Reach::Scope } else { Reach::Set };
        assert_eq!((verdict.reach, verdict.strike), (reach, None), "{reason}");
        let after = rig.stats(0).await;
        let more = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
        assert_eq!((more("received"), more("connections")), (attempts, connections), "{reason}");
    }
}

#[tokio::test]
async fn what_nobody_documented_is_judged_by_its_class_and_drops_nobody() {
    let rig = Rig::start("").await;
    let server_error = Outcome::RetryMessage(Delay::ServerError(None));
    let throttled = Outcome::RetryMessage(Delay::Throttled(None));
    let (config, payload) = (Outcome::ConfigError, Outcome::PayloadError);
    let rows = [
        (302, payload),
        (400, payload),
        (403, config),
        (404, payload),
        (410, payload),
        (418, payload),
        (429, throttled),
        (500, server_error),
        (501, server_error),
        (503, server_error),
        (599, server_error),
    ];
    for (status, outcome) in rows {
        for reason in [None, Some("SomethingNew"), Some("Unregistered\u{0}"), Some("")] {
            let fault = json!({"reply": "status", "status": status, "reason": reason, "count": 2});
            rig.fault(fault).await;
            let verdict = rig.sender().send(&push("aa")).await;
            assert_eq!((verdict.outcome, verdict.reason.0), (outcome, "other"), "{status}");
            assert_eq!(rig.sandbox.control.delete("/faults").await.status, 204);
        }
    }
    // Pages of a proxy before Apple.
    for (reply, outcome) in
        [("unknown", payload), ("bad_gateway", server_error), ("gateway_timeout", server_error)]
    {
        rig.fault(json!({"reply": reply, "count": 1})).await;
        let verdict = rig.sender().send(&push("aa")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (outcome, "other"), "{reply}");
    }
    // A reason that kills devices, with a status it does not go with.
    rig.fault(json!({"reply": "status", "status": 403, "reason": "Unregistered", "count": 1}))
        .await;
    assert_eq!(rig.sender().send(&push("aa")).await.outcome, config);
    for status in [200, 202, 204] {
        rig.fault(json!({"reply": "status", "status": status, "count": 1})).await;
        let verdict = rig.sender().send(&push("aa")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::Accepted, "none"), "{status}");
    }
}

#[tokio::test]
async fn a_time_that_apple_names_is_obeyed_from_the_arrival_of_its_answer() {
    let rig = Rig::start("").await;
    let named = Some(rig.now()().plus(Duration::from_s(120)));
    for (reply, outcome) in [
        ("internal", Outcome::RetryMessage(Delay::ServerError(named))),
        ("device_throttled", Outcome::RetryMessage(Delay::Throttled(named))),
        ("throttled", Outcome::PauseProvider(Delay::Throttled(named))),
    ] {
        rig.fault(json!({"reply": reply, "retry_after_s": 120, "count": 1})).await;
        let verdict = rig.sender().send(&push("aa")).await;
        assert_eq!(verdict.outcome, outcome, "{reply}");
    }
}

/// What the sandbox says of its own accord, without faults: it is as strict as Apple.
#[tokio::test]
async fn a_key_topic_or_team_that_apple_does_not_know_is_a_config_error() {
    let rig = Rig::start("").await;
    let mut refused: BTreeMap<&str, Value> = BTreeMap::new();
    for (key_id, team_id, topic, reason) in [
        ("SANDBOXKEY", "SANDBOXTEM", "org.example", "TopicDisallowed"),
        ("ANOTHERKEY", "SANDBOXTEM", super::rig::TOPIC, "InvalidProviderToken"),
        ("SANDBOXKEY", "ANOTHERTEM", super::rig::TOPIC, "InvalidProviderToken"),
    ] {
        let mut config = rig.config();
        let key = config.provider_key.as_mut().unwrap();
        (key.key_id, key.team_id) = (key_id.to_owned(), team_id.to_owned());
        let topic = reveille_model::Topic::parse(topic).ok();
        let push = reveille_providers::Push { topic, ..push("aa") };
        let verdict = rig.sender_of(config).send(&push).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (Outcome::ConfigError, reason));
        refused.insert(reason, rig.stats(0).await["refused"][reason].clone());
    }
    let without = reveille_providers::Push { topic: None, ..push("aa") };
    assert_eq!(rig.sender().send(&without).await.reason.0, "MissingTopic");
    // A wrong key is tried once more with a fresh token, a wrong topic is not.
    assert_eq!(refused["InvalidProviderToken"], 4);
    assert_eq!(refused["TopicDisallowed"], 1);
    assert_eq!(rig.stats(0).await["received"], 0);
    let late = reveille_providers::Push {
        expires_at: rig.now()().minus(Duration::from_s(60)),
        ..push("aa")
    };
    assert_eq!(rig.sender().send(&late).await.outcome, Outcome::Accepted, "Apple judges that");
}
