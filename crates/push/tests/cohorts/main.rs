//! Mode `cohort`, sealed devices and no-ops, of a whole server on the memory store, with a clock that stands still.
#![cfg(test)]

mod answers;
mod company;
mod delay;
mod leaving;

use std::collections::BTreeMap;
use std::sync::Arc;

use reveille_model::{Duration, Provider, Timestamp};
use reveille_service::clock::Clock as _;
use reveille_store::Census;
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::json;

/// Four make a cohort.
const SMALL: &str = "cohort_form = 4\ncohort_floor = 2\nbatch_devices_min = 0\n";

/// A server where Android phones are in cohorts; `mix` is added to `[push.mix]`.
async fn start(mix: &str) -> PushApp {
    PushApp::start_mixed(Arc::new(MemoryStore::default()), mix, &[Provider::Fcm]).await
}

fn name(number: usize) -> String {
    format!("user-{number}")
}

/// Registers an Android phone of each: `phone-of-user-7`.
async fn phones(app: &PushApp, users: std::ops::Range<usize>) {
    for number in users {
        let user = name(number);
        let body = json!({"provider": "fcm", "token": format!("phone-of-{user}")});
        let answer = app.client.post(&format!("/v1/users/{user}/subscriptions"), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
}

/// Something happens to a user. Returns the notification's id.
async fn notify(app: &PushApp, user: &str) -> String {
    let body = json!({"users": [user], "type": "mention"});
    let answer = app.client.post("/v1/notifications", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

async fn census(app: &PushApp) -> Census {
    app.store.census(app.clock.now()).await.expect("census")
}

/// Who was pushed to with which window, by the window's end. Says that nobody was twice with one.
async fn pushed(app: &PushApp) -> BTreeMap<Timestamp, Vec<String>> {
    let mut windows: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    for push in app.sender.sent(0).await {
        let window_end = push.expires_at.minus(Duration::from_s(3_600));
        windows.entry(window_end).or_default().push(push.token.expose().to_owned());
    }
    for tokens in windows.values_mut() {
        let count = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), count, "one push a device and window");
    }
    windows
}
