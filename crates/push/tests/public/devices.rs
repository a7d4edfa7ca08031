//! My devices.

use std::sync::Arc;

use reveille_model::{Duration, Settled};
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

use super::{BY_HEADER, call};

/// A point of RFC 8291 §5, and one beside the curve.
const POINT: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const BESIDE: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw5";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const MOZILLA: &str = "https://updates.push.services.mozilla.com/wpush/v2/x";

async fn app() -> PushApp {
    let rates =
        "user_requests_per_minute_max = 60000000\naddress_requests_per_minute_max = 60000000\n";
    let public = format!(
        "{rates}{BY_HEADER}[push.subscriptions]\nper_user_max = 3\nstale_after_days = 30\n"
    );
    PushApp::start_public(Arc::new(MemoryStore::default()), &public).await
}

fn phone(token: &str) -> Value {
    json!({"provider": "fcm", "token": token})
}

#[tokio::test]
async fn a_device_is_registered_refreshed_changed_and_deleted() {
    const MARK: &str = "planted-token-of-alice";
    let app = app().await;
    let created = call(app.public(), "alice", "POST", "/v1/subscriptions", &phone(MARK)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let refreshed = call(app.public(), "alice", "POST", "/v1/subscriptions", &phone(MARK)).await;
    assert_eq!((refreshed.status.as_u16(), &refreshed.json()["id"]), (200, &created.json()["id"]));
    let path = format!("/v1/subscriptions/{}", created.json()["id"].as_str().unwrap());
    let sealed = call(app.public(), "alice", "PATCH", &path, &json!({"sealed": true})).await;
    assert_eq!((sealed.status.as_u16(), &sealed.json()["sealed"]), (200, &json!(true)));
    assert_eq!(
        (&created.json()["mode"], &sealed.json()["mode"]),
        (&json!("batch"), &json!("sealed"))
    );
    let rotated = call(app.public(), "alice", "PATCH", &path, &phone("x")).await;
    assert_eq!(rotated.status, 400, "a provider cannot be changed");
    let rotated = call(app.public(), "alice", "PATCH", &path, &json!({"token": "rotated"})).await;
    assert_eq!((rotated.status.as_u16(), &rotated.json()["sealed"]), (200, &json!(true)));
    for (what, answer) in [("created", &created), ("refreshed", &refreshed), ("sealed", &sealed)] {
        assert!(!answer.text.contains("planted"), "{what}: {}", answer.text);
    }
    for method in ["GET", "PATCH", "DELETE"] {
        let theirs = call(app.public(), "bob", method, &path, &json!({"sealed": true})).await;
        assert_eq!(theirs.problem(), "unknown-subscription", "{method}");
    }
    assert_eq!(call(app.public(), "alice", "DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(call(app.public(), "alice", "GET", &path, &Value::Null).await.status, 404);
    let all = call(app.public(), "alice", "DELETE", "/v1/subscriptions", &Value::Null).await;
    assert_eq!(all.json(), json!({"deleted": 0}));
}

#[tokio::test]
async fn a_phone_that_changes_hands_takes_nothing_with_it() {
    let app = app().await;
    call(app.public(), "alice", "POST", "/v1/subscriptions", &phone("handed-on")).await;
    let mention = json!({"users": ["alice"], "type": "mention"});
    assert_eq!(app.client.post("/v1/notifications", &mention).await.status, 202);
    let moved = call(app.public(), "bob", "POST", "/v1/subscriptions", &phone("handed-on")).await;
    assert_eq!(moved.status, 201);
    let listed = call(app.public(), "alice", "GET", "/v1/subscriptions", &Value::Null).await;
    assert_eq!(listed.json(), json!([]));
    let mention = json!({"users": ["bob"], "type": "mention"});
    app.client.post("/v1/notifications", &mention).await;
    app.end_window();
    assert_eq!(app.sender.sent(1).await.len(), 1, "what waited was for alice");
    assert_eq!(app.ledger().await.settled(Settled::Cancelled), 1);
}

#[tokio::test]
async fn two_thousand_registrations_at_once_never_exceed_the_cap() {
    let app = app().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..2_000 {
        let public = app.public().clone();
        calls.spawn(async move {
            let token = phone(&format!("phone-{number}"));
            let created = call(&public, "alice", "POST", "/v1/subscriptions", &token).await;
            assert_eq!(created.status, 201);
            // What others see meanwhile.
            let listed = call(&public, "alice", "GET", "/v1/subscriptions", &Value::Null).await;
            listed.json().as_array().unwrap().len()
        });
    }
    while let Some(seen) = calls.join_next().await {
        assert!(seen.unwrap() <= 3);
    }
    let listed = call(app.public(), "alice", "GET", "/v1/subscriptions", &Value::Null).await;
    assert_eq!(listed.json().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn age_is_shown_and_deletes_nothing() {
    let app = app().await;
    call(app.public(), "alice", "POST", "/v1/subscriptions", &phone("old")).await;
    let stale = async || {
        let listed = call(app.public(), "alice", "GET", "/v1/subscriptions", &Value::Null).await;
        listed.json()[0]["stale"].clone()
    };
    assert_eq!(stale().await, json!(false));
    app.clock.advance(Duration::from_s(31 * 86_400));
    assert_eq!(stale().await, json!(true));
    let mention = json!({"users": ["alice"], "type": "mention"});
    app.client.post("/v1/notifications", &mention).await;
    assert_eq!(app.ledger().await.waiting, 1, "it is woken all the same");
    call(app.public(), "alice", "POST", "/v1/subscriptions", &phone("old")).await;
    assert_eq!(stale().await, json!(false));
}

#[tokio::test]
async fn bad_tokens_are_refused_by_provider() {
    let app = app().await;
    let browser = |endpoint: &str, p256dh: &str, auth: &str| json!({"provider": "webpush", "subscription": {"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}}});
    let topic = PushApp::TOPICS[0];
    let rows = [
        (json!({"provider": "fcm", "token": ""}), 400),
        (json!({"provider": "fcm", "token": "x".repeat(4_097)}), 400),
        (json!({"provider": "fcm", "token": "x".repeat(4_096)}), 201),
        (json!({"provider": "fcm", "token": "a b"}), 400),
        (json!({"provider": "fcm", "token": "fid\u{0}x"}), 400),
        (json!({"provider": "fcm", "fid": "a\n"}), 400),
        (json!({"provider": "fcm"}), 400),
        (json!({"provider": "fcm", "token": "a", "fid": "b"}), 400),
        (json!({"provider": "fcm", "fid": "b"}), 201),
        (json!({"provider": "apns", "token": "xyz", "topic": topic}), 400),
        (json!({"provider": "apns", "token": "abc", "topic": topic}), 400),
        (json!({"provider": "apns", "token": "abcd", "topic": "org.other"}), 400),
        (json!({"provider": "apns", "token": "abcd", "topic": topic}), 201),
        (json!({"provider": "smoke", "token": "abcd"}), 404),
        (browser(MOZILLA, POINT, AUTH), 201),
        (browser(MOZILLA, BESIDE, AUTH), 400),
        (browser(MOZILLA, POINT, "BTBZMqHH6r4Tts7J_aSI"), 400),
        (browser("http://updates.push.services.mozilla.com/x", POINT, AUTH), 400),
        (browser("https://unknown.example/x", POINT, AUTH), 400),
        (browser("https://169.254.169.254/latest/meta-data", POINT, AUTH), 400),
        (json!({"provider": "webpush", "subscription": {"endpoint": MOZILLA}}), 400),
    ];
    for (body, expected) in rows {
        let answer = call(app.public(), "alice", "POST", "/v1/subscriptions", &body).await;
        assert_eq!(answer.status, expected, "{body}: {}", answer.text);
    }
}
