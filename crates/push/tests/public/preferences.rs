//! What wakes me, and how often.

use std::sync::Arc;

use reveille_model::{Duration, Settled};
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

use super::{BY_HEADER, call};

/// Two users with a phone each.
async fn app(more: &str) -> PushApp {
    let public = format!("{BY_HEADER}{more}[push.events.thanks]\nwakes = false\n");
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &public).await;
    for user in ["alice", "bob"] {
        let phone = json!({"provider": "fcm", "token": format!("phone-of-{user}")});
        call(app.public(), user, "POST", "/v1/subscriptions", &phone).await;
    }
    app
}

/// Notifies both and returns how many wake-ups there are in all, and how many of them are limited.
async fn notify(app: &PushApp, event_type: &str) -> (u64, u64) {
    let body = json!({"users": ["alice", "bob"], "type": event_type});
    assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
    let ledger = app.ledger().await;
    (ledger.accepted, ledger.settled(Settled::Limited))
}

#[tokio::test]
async fn users_choose_what_wakes_them() {
    let app = app("").await;
    let path = "/v1/preferences";
    let shown = call(app.public(), "alice", "GET", path, &Value::Null).await;
    assert_eq!(shown.json(), json!({"types": {"mention": true, "thanks": false}}));
    let said = json!({"types": {"mention": false, "thanks": true, "my.own": false}});
    let put = call(app.public(), "alice", "PUT", path, &said).await;
    assert_eq!((put.status.as_u16(), put.json()), (200, said.clone()));
    assert_eq!(call(app.public(), "alice", "GET", path, &Value::Null).await.json(), said);
    assert_eq!(notify(&app, "mention").await.0, 1, "bob");
    assert_eq!(notify(&app, "thanks").await.0, 2, "alice");
    assert_eq!(notify(&app, "my.own").await.0, 3, "bob");
    assert_eq!(notify(&app, "other").await.0, 5, "both");
    call(app.public(), "alice", "PUT", path, &json!({"types": {}})).await;
    assert_eq!(notify(&app, "mention").await.0, 7);

    let many: serde_json::Map<String, Value> =
        (0..201).map(|number| (format!("t{number}"), Value::Bool(true))).collect();
    for (bad, status) in [
        (json!({}), 400),
        (json!({"types": {"a b": true}}), 400),
        (json!({"types": {"a": 1}}), 400),
        (json!({"types": [], "x": 1}), 400),
        (json!({"types": many}), 413),
    ] {
        let answer = call(app.public(), "alice", "PUT", path, &bad).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_limit_is_exact_however_many_come_at_once() {
    let limits = "[push.limits.default]\ncount = 3\nper_s = 3600\n[push.limits.mention]\ncount = 2\nper_s = 60\n";
    let app = Arc::new(app(limits).await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let app = Arc::clone(&app);
        calls.spawn(async move { notify(&app, "mention").await });
    }
    while calls.join_next().await.is_some() {}
    let ledger = app.ledger().await;
    assert_eq!((ledger.accepted, ledger.settled(Settled::Limited)), (600, 596));
    let body = json!({"users": ["alice"], "type": "mention"});
    let accepted = app.client.post("/v1/notifications", &body).await.json();
    let path = format!("/v1/notifications/{}", accepted["id"].as_str().unwrap());
    let trail = app.client.get(&path).await.json();
    assert_eq!((&trail["state"], &trail["wakeups"]["limited"]), (&json!("settled"), &json!(1)));
    app.clock.advance(Duration::from_s(60));
    assert_eq!(notify(&app, "mention").await, (603, 597), "a new period");
    for expected in [597, 597, 597, 599] {
        assert_eq!(notify(&app, "other").await.1, expected, "the default");
    }
    let metrics = app.client.get("/metrics").await.text;
    assert!(metrics.contains("reveille_ledger_wakeups{state=\"limited\"}"), "{metrics}");
}
