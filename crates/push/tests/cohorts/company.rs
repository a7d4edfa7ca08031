//! What nothing has caused: the beat of sealed devices, and no-ops.

use std::sync::Arc;

use reveille_model::{Duration, Provider};
use reveille_service::clock::Clock as _;
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::json;

use super::{name, notify, phones, pushed, start};

async fn seal(app: &PushApp, users: std::ops::Range<usize>) {
    for user in users.map(name) {
        let path = format!("/v1/users/{user}/subscriptions");
        let id = app.client.get(&path).await.json()[0]["id"].as_str().unwrap().to_owned();
        let headers = [("content-type", "application/json")];
        let body = json!({"sealed": true}).to_string();
        let path = format!("{path}/{id}");
        let sealed = app.client.call(http::Method::PATCH, &path, &headers, body.into_bytes()).await;
        assert_eq!((sealed.status.as_u16(), &sealed.json()["mode"]), (200, &json!("sealed")));
    }
}

#[tokio::test]
async fn sealed_devices_are_woken_on_the_beat_whatever_happens() {
    for mode in ["mode = \"batch\"\n", ""] {
        let app = start(&format!("{mode}sealed_period_s = 60\n")).await;
        PushApp::turns().await;
        phones(&app, 0..3).await;
        seal(&app, 0..3).await;
        for window in 0..18 {
            if window % 4 == 1 {
                notify(&app, &name(1)).await;
            }
            app.pass_window().await;
        }
        let windows = pushed(&app).await;
        let ends: Vec<i64> = windows.keys().map(|end| end.as_ms() % 60_000).collect();
        assert_eq!(ends, [0; 3], "three minutes, each with one beat ({mode:?})");
        let all: Vec<String> = (0..3).map(|number| format!("phone-of-{}", name(number))).collect();
        assert!(windows.values().all(|tokens| *tokens == all), "{windows:?}");
    }
}

#[tokio::test]
async fn a_beat_is_not_doubled_by_a_restart_and_not_lost_either() {
    let store = Arc::new(MemoryStore::default());
    let mix = "mode = \"batch\"\nsealed_period_s = 60\n";
    let app = PushApp::start_mixed(Arc::clone(&store) as _, mix, &[Provider::Fcm]).await;
    PushApp::turns().await;
    phones(&app, 0..2).await;
    seal(&app, 0..2).await;
    // Into the window whose beat it is.
    app.clock.set(PushApp::START.plus(Duration::from_s(55)));
    PushApp::turns().await;
    assert_eq!(app.ledger().await.accepted, 2);
    app.lifecycle.stop();
    PushApp::turns().await;
    let again = PushApp::start_mixed(Arc::clone(&store) as _, mix, &[Provider::Fcm]).await;
    again.clock.set(PushApp::START.plus(Duration::from_s(57)));
    PushApp::turns().await;
    assert_eq!(again.ledger().await.accepted, 2, "the store remembers");
    again.clock.set(PushApp::START.plus(Duration::from_s(60)));
    PushApp::turns().await;
    assert_eq!(again.sender.count(), 2);
    again.lifecycle.stop();
    PushApp::turns().await;
    // Down while the next one was due: it is made up for in the window that is open then.
    let late = PushApp::start_mixed(store, mix, &[Provider::Fcm]).await;
    late.clock.set(PushApp::START.plus(Duration::from_s(171)));
    PushApp::turns().await;
    late.pass_window().await;
    assert_eq!(late.sender.count(), 2, "at {:?}", late.clock.now());
}

#[tokio::test]
async fn no_ops_join_each_window_of_mode_batch() {
    let app = start("mode = \"batch\"\nnoop_per_minute = 120\n").await;
    phones(&app, 0..200).await;
    for _ in 0..31 {
        app.pass_window().await;
    }
    let windows = pushed(&app).await;
    // Thirty windows of twenty: standard deviation 24 of 600, less the few that were drawn twice. The first had nobody.
    let count: usize = windows.values().map(Vec::len).sum();
    assert!((450..=720).contains(&count), "{count}");
    assert!(windows.len() >= 30);
    let sizes: std::collections::BTreeSet<usize> = windows.values().map(Vec::len).collect();
    assert!(sizes.len() > 3, "some windows have more and some fewer: {sizes:?}");
}
