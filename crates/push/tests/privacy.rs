//! What operators see of what whoever watches could tell. Metrics are those of the whole process: a file of its own, and one test.
#![cfg(test)]

use std::sync::Arc;

use reveille_model::{Duration, Provider};
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::json;

async fn phones(app: &PushApp, users: std::ops::Range<u32>) {
    for number in users {
        let body = json!({"provider": "fcm", "token": format!("planted-phone-{number}")});
        let path = format!("/v1/users/planted-{number}/subscriptions");
        assert_eq!(app.client.post(&path, &body).await.status, 201);
    }
}

async fn notify(app: &PushApp, number: u32) {
    let body = json!({"users": [format!("planted-{number}")], "type": "mention"});
    assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
}

/// What is read at `/metrics` now.
struct Shown(String);

impl Shown {
    async fn of(app: &PushApp) -> Self {
        let text = app.client.get("/metrics").await.text;
        assert!(!text.contains("planted"), "nobody is named");
        Self(text)
    }

    /// A number of `reveille_privacy_*`, with its labels.
    fn find(&self, name: &str) -> Option<f64> {
        let name = format!("reveille_privacy_{name} ");
        self.0.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok())
    }

    fn number(&self, name: &str) -> f64 {
        self.find(name).unwrap_or_else(|| panic!("{name} is not shown:\n{}", self.0))
    }

    fn is(&self, name: &str, expected: f64) {
        let shown = self.number(name);
        assert!((shown - expected).abs() < 1e-6, "{name}: {shown}, expected {expected}");
    }
}

#[tokio::test]
async fn what_could_be_told_is_shown_and_right() {
    of_cohorts().await;
    of_batches().await;
}

async fn of_cohorts() {
    let mix = "cohort_form = 4\ncohort_floor = 2\nbatch_devices_min = 0\nnursery_deadline_s = 15\nwakeups_per_device_day_max = 8\n";
    let app = PushApp::start_mixed(Arc::new(MemoryStore::default()), mix, &[Provider::Fcm]).await;
    PushApp::turns().await;
    let shown = Shown::of(&app).await;
    shown.is("mode{mode=\"cohort\"}", 1.0);
    for zero in ["partial_cohort_sends_total", "nursery_exposed_total", "padding_pushes_total"] {
        shown.is(zero, 0.0);
    }
    shown.is("worst_case_top1", 0.0);
    shown.is("cohort_live_size_min", 0.0);

    // Eight are two cohorts, one more waits.
    phones(&app, 0..8).await;
    app.pass_window().await;
    phones(&app, 8..9).await;
    app.pass_window().await;
    let shown = Shown::of(&app).await;
    shown.is("cohort_live_size{kind=\"cohort\",size=\"4-7\"}", 2.0);
    shown.is("cohort_live_size{kind=\"cohort\",size=\"2-3\"}", 0.0);
    shown.is("cohort_live_size{kind=\"provisional\",size=\"1\"}", 1.0);
    shown.is("cohorts_below_floor{kind=\"cohort\"}", 0.0);
    shown.is("cohorts_below_floor{kind=\"provisional\"}", 1.0);
    shown.is("cohort_live_size_min", 1.0);
    shown.is("worst_case_top1", 1.0);
    assert_eq!(shown.find("batch_devices_count"), None, "nothing has left");

    notify(&app, 1).await;
    app.pass_window().await;
    let shown = Shown::of(&app).await;
    shown.is("batch_devices_sum", 8.0);
    shown.is("batch_devices_bucket{le=\"4\"}", 0.0);
    shown.is("batch_cohorts_sum", 2.0);
    shown.is("batch_eas_sum", 8.0);
    shown.is("padding_pushes_total", 4.0);
    shown.is("push_overhead_ratio", 8.0);
    assert!(shown.number("order_rho").abs() <= 1.0);
    shown.is("added_delay_seconds_count", 1.0);
    shown.is("added_delay_seconds_sum", 10.0);

    kept_back(&app).await;
    a_day_later(&app).await;
}

/// Those who wait, those who have spent their budget, and those who are gone.
async fn kept_back(app: &PushApp) {
    phones(app, 9..10).await;
    notify(app, 9).await;
    app.pass_window().await;
    let shown = Shown::of(app).await;
    shown.is("nursery_exposed_total", 2.0);
    shown.is("worst_case_top1", 0.5);
    notify(app, 1).await;
    app.pass_window().await;
    notify(app, 1).await;
    app.pass_window().await;
    let shown = Shown::of(app).await;
    assert!(shown.number("capped_cohorts") >= 1.0, "two of eight may leave at once");
    assert_eq!(shown.find("held_seconds_count{why=\"capped\"}"), None, "it has not left yet");
    app.clock.advance(Duration::from_s(4 * 3_600));
    PushApp::turns().await;
    app.pass_window().await;
    let shown = Shown::of(app).await;
    shown.is("capped_cohorts", 0.0);
    assert!(shown.number("held_seconds_count{why=\"capped\"}") >= 1.0);
    assert!(shown.number("held_seconds_sum{why=\"capped\"}") >= 4.0 * 3_600.0);
    app.store.delete_all(&reveille_model::User::parse("planted-1").unwrap()).await.unwrap();
    app.pass_window().await;
    let shown = Shown::of(app).await;
    shown.is("ghosts", 1.0);
    shown.is("cohort_live_size{kind=\"cohort\",size=\"2-3\"}", 1.0);
    shown.is("cohorts_below_floor{kind=\"cohort\"}", 0.0);
}

async fn a_day_later(app: &PushApp) {
    assert_eq!(Shown::of(app).await.find("wakeups_per_device_day_count"), None);
    app.clock.advance(Duration::from_s(86_400));
    PushApp::turns().await;
    let shown = Shown::of(app).await;
    assert!(shown.number("wakeups_per_device_day_count") >= 8.0, "of each device");
    assert!(shown.number("wakeups_per_device_day_sum") >= 16.0);
    assert!(shown.number("wakeups_per_device_day_bucket{le=\"8\"}") >= 8.0, "within the budget");
    shown.is("partial_cohort_sends_total", 0.0);
    app.lifecycle.stop();
    PushApp::turns().await;
}

async fn of_batches() {
    let app = PushApp::start_public(
        Arc::new(MemoryStore::default()),
        "[push.public.auth]\nmode = \"header\"\nheader = \"X-User\"\npeers = [\"127.0.0.1\"]\n[push.inbox]\nenabled = true\n",
    )
    .await;
    PushApp::turns().await;
    let shown = Shown::of(&app).await;
    shown.is("events_to_link", 1.0);
    let before = shown.number("batch_devices_count");
    phones(&app, 0..100).await;
    for number in 0..10 {
        notify(&app, number).await;
    }
    app.pass_window().await;
    let shown = Shown::of(&app).await;
    shown.is("mode{mode=\"batch\"}", 1.0);
    shown.is("worst_case_top1", 1.0);
    shown.is("batch_devices_count", before + 1.0);
    // Ten of a hundred in each of the windows there were: two events.
    let events = shown.number("events_to_link");
    assert!((1.0..=2.1).contains(&events), "{events}");
    let headers = [("x-user", "planted-1")];
    let page = app.public().call(http::Method::GET, "/v1/inbox", &headers, Vec::new()).await;
    assert_eq!(page.status, 200);
    let text = app.client.get("/metrics").await.text;
    assert!(text.contains("\nreveille_inbox_fetches_total 1\n"), "{text}");
    assert!(text.contains("\nreveille_inbox_response_bytes_total 16384\n"), "{text}");
}
