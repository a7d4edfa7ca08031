//! What callers and users are told.

use std::sync::Arc;

use http::Method;
use reveille_model::Provider;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, PushApp};
use serde_json::{Value, json};

use super::{SMALL, name, notify, phones, start};

async fn register(app: &PushApp, body: &Value) -> Answer {
    app.client.post("/v1/users/alice/subscriptions", body).await
}

async fn change(app: &PushApp, device: &Value, change: &Value) -> Answer {
    let path = format!("/v1/users/alice/subscriptions/{}", device["id"].as_str().unwrap());
    let headers = [("content-type", "application/json")];
    app.client.call(Method::PATCH, &path, &headers, change.to_string().into_bytes()).await
}

fn devices() -> [Value; 3] {
    const POINT: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    let browser = json!({
        "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/x",
        "keys": {"p256dh": POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
    });
    [
        json!({"provider": "fcm", "token": "phone"}),
        json!({"provider": "apns", "token": "abcd", "topic": PushApp::TOPICS[0]}),
        json!({"provider": "webpush", "subscription": browser}),
    ]
}

#[tokio::test]
async fn a_device_is_told_how_it_is_woken() {
    // By mode, and by whose devices are silent: how phone, iPhone and browser are woken.
    let rows: [(&str, &[Provider], [&str; 3]); 4] = [
        ("mode = \"batch\"\n", &[Provider::Fcm], ["batch", "batch", "batch"]),
        ("", &[Provider::Fcm], ["cohort", "batch", "batch"]),
        ("mode = \"cohort\"\n", &[Provider::Fcm, Provider::Apns], ["cohort", "cohort", "batch"]),
        ("", &[], ["batch", "batch", "batch"]),
    ];
    for (mix, silent, modes) in rows {
        let app = PushApp::start_mixed(Arc::new(MemoryStore::default()), mix, silent).await;
        for (device, mode) in devices().iter().zip(modes) {
            let answer = register(&app, device).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["mode"]), (201, &json!(mode)));
            let provider = Provider::parse(device["provider"].as_str().unwrap()).unwrap();
            let sealed = change(&app, &answer.json(), &json!({"sealed": true})).await;
            if silent.contains(&provider) {
                assert_eq!(
                    (sealed.status.as_u16(), &sealed.json()["mode"]),
                    (200, &json!("sealed"))
                );
                continue;
            }
            let kind =
                if provider == Provider::WebPush { "sealed-browser" } else { "sealed-visible" };
            assert_eq!((sealed.status.as_u16(), sealed.problem().as_str()), (422, kind));
            let open = change(&app, &answer.json(), &json!({"sealed": false})).await;
            assert_eq!(open.status, 200, "it never was");
        }
        let listed = app.client.get("/v1/users/alice/subscriptions").await.json();
        for each in listed.as_array().unwrap() {
            let provider = Provider::parse(each["provider"].as_str().unwrap()).unwrap();
            let mode = if silent.contains(&provider) { "sealed" } else { "batch" };
            assert_eq!(each["mode"], mode);
        }
    }
}

#[tokio::test]
async fn a_trail_ends_where_its_cohort_leaves() {
    let app = start(SMALL).await;
    phones(&app, 0..4).await;
    app.pass_window().await;
    let id = notify(&app, &name(1)).await;
    let trail = async || app.client.get(&format!("/v1/notifications/{id}")).await.json();
    let before = trail().await;
    assert_eq!(before["cohorts"], json!({"count": 1, "left": false}));
    assert_eq!((&before["state"], &before["wakeups"]["accepted"]), (&json!("waiting"), &json!(0)));
    app.pass_window().await;
    let after = trail().await;
    assert_eq!(after["cohorts"], json!({"count": 1, "left": true}));
    assert_eq!(after["state"], "settled");
    assert_eq!(after["wakeups"]["sent"], 0, "which of four it was is not known");
    assert_eq!(app.sender.count(), 4);
    // Of whoever has no device there is nothing to leave.
    let nobody = notify(&app, "nobody").await;
    let nothing = app.client.get(&format!("/v1/notifications/{nobody}")).await.json();
    assert_eq!(nothing["cohorts"], json!({"count": 0, "left": false}));
}

#[tokio::test]
async fn nothing_of_a_cohort_is_cancelled_by_having_looked() {
    let app = start(SMALL).await;
    phones(&app, 0..4).await;
    app.pass_window().await;
    notify(&app, &name(1)).await;
    let looked = app.client.post("/v1/users/user-1/fetched", &Value::Null).await;
    assert_eq!(looked.json(), json!({"cancelled": 0}));
    app.pass_window().await;
    assert_eq!(app.sender.count(), 4);
}
