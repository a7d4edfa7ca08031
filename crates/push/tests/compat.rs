//! The metrics of the reference service under their own names: in a process of their own, since they are one for a process.
#![cfg(test)]

use std::sync::Arc;

use http::StatusCode;
use reveille_model::Outcome;
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::json;

async fn metric(app: &PushApp, name: &str) -> u64 {
    let metrics = app.client.get("/metrics").await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test]
async fn the_reference_services_metrics_are_kept_where_they_are_asked_for() {
    let store = Arc::new(MemoryStore::default());
    let app = PushApp::start_on(store, "compat_metrics = true\n").await;
    app.sender.answer([Outcome::Accepted, Outcome::PayloadError]);
    let body = json!({"deviceTokens": ["a", "b", "c"], "messageType": "checkEchoV1"});
    assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, StatusCode::OK);
    app.pass_window().await;
    assert_eq!(metric(&app, "push_notifications_fcm_send_success").await, 2);
    assert_eq!(metric(&app, "push_notifications_fcm_send_failure").await, 1);
    assert_eq!(metric(&app, "push_notifications_fcm_transaction_histogram_count").await, 3);
    assert_eq!(metric(&app, "push_notifications_queue_size_on_flush").await, 3);
    let waited = "push_notifications_notification_queue_time_sum";
    let ms = metric(&app, waited).await;
    assert!(ms > 0 && ms.is_multiple_of(1_000), "{ms} ms, of windows of ten seconds");
}
