//! Delivery and feedback of a whole server, with a provider that answers as told and a clock that stands still.
#![cfg(test)]

use std::sync::Arc;

use http::StatusCode;
use reveille_model::{Delay, DryRun, Duration, Outcome, Proof, Settled};
use reveille_service::clock::Clock as _;
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

/// Lets time pass until something holds. Bounded; each round is a request, so that the server gets its turn.
async fn until(app: &PushApp, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        app.clock.advance(Duration::from_s(2));
        app.client.get("/healthz").await;
    }
    panic!("it never happens: {what}");
}

async fn metric(app: &PushApp, name: &str) -> u64 {
    let metrics = app.client.get("/metrics").await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

async fn send_token(app: &PushApp, token: &str) {
    let body = json!({"deviceTokens": [token], "messageType": "checkEchoV1"});
    assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, 200);
}

async fn register(app: &PushApp, token: &str) {
    let body = json!({"provider": "fcm", "token": token});
    assert_eq!(app.client.post("/v1/users/alice/subscriptions", &body).await.status, 201);
}

async fn devices(app: &PushApp) -> Vec<Value> {
    app.client.get("/v1/users/alice/subscriptions").await.json().as_array().expect("a list").clone()
}

async fn notify(app: &PushApp) {
    let body = json!({"users": ["alice"], "type": "mention"});
    assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
}

#[tokio::test]
async fn trouble_is_tried_again_and_nothing_is_lost_or_doubled() {
    let app = PushApp::start().await;
    let trouble = [
        Outcome::RetryMessage(Delay::ServerError(None)),
        Outcome::RetryMessage(Delay::Unanswered),
        Outcome::RetryMessage(Delay::Throttled(None)),
        Outcome::PauseProvider(Delay::Throttled(None)),
        Outcome::ConfigError,
    ];
    app.sender.answer(trouble);
    send_token(&app, "patient").await;
    app.end_window();
    until(&app, "the sixth attempt succeeds", async || app.sender.count() == 6).await;
    until(&app, "it is settled", async || app.ledger().await.settled(Settled::Sent) == 1).await;
    assert_eq!(app.ledger().await.waiting, 0);
    assert_eq!(app.sender.count(), 6, "and is not sent again");
}

/// Of the minute that the pause would last ten seconds pass.
#[tokio::test]
async fn with_other_credentials_what_was_refused_holds_nothing_back() {
    let app = PushApp::start().await;
    app.sender.answer([Outcome::ConfigError]);
    send_token(&app, "refused").await;
    app.pass_window().await;
    app.sender.sent(1).await;
    for token in ["second", "third"] {
        send_token(&app, token).await;
    }
    app.pass_window().await;
    assert_eq!(app.sender.count(), 1, "it is paused");
    app.sender.renew();
    app.sender.sent(2).await;
    until(&app, "what was refused is tried again", async || app.sender.count() == 4).await;
    until(&app, "all are settled", async || app.ledger().await.settled(Settled::Sent) == 3).await;
}

/// Trouble at the provider is not about credentials.
#[tokio::test]
async fn other_credentials_end_no_pause_that_a_provider_asked_for() {
    let app = PushApp::start().await;
    let named = PushApp::START.plus(Duration::from_s(100));
    app.sender.answer([Outcome::PauseProvider(Delay::Throttled(Some(named)))]);
    send_token(&app, "first").await;
    app.pass_window().await;
    app.sender.sent(1).await;
    send_token(&app, "second").await;
    app.pass_window().await;
    app.sender.renew();
    PushApp::turns().await;
    assert_eq!(app.sender.count(), 1);
}

#[tokio::test]
async fn an_answer_to_the_credentials_before_pauses_nothing_and_is_tried_with_the_new_ones_at_once()
{
    let app = PushApp::start().await;
    app.sender.answer([Outcome::ConfigError]);
    app.sender.hold();
    send_token(&app, "under way").await;
    app.pass_window().await;
    app.sender.sent(1).await;
    app.sender.renew();
    app.sender.let_go();
    let sent = app.sender.sent(2).await;
    assert_eq!((&sent[0].token, sent[0].id), (&sent[1].token, sent[1].id));
    PushApp::turns().await;
    assert_eq!(app.ledger().await.settled(Settled::Sent), 1);
}

#[tokio::test]
async fn a_pause_holds_everything_back_until_one_push_has_succeeded() {
    let app = PushApp::start().await;
    let named = PushApp::START.plus(Duration::from_s(100));
    app.sender.answer([Outcome::PauseProvider(Delay::Throttled(Some(named)))]);
    send_token(&app, "first").await;
    app.end_window();
    app.sender.sent(1).await;
    for token in ["second", "third"] {
        send_token(&app, token).await;
    }
    until(&app, "the pause is over", async || app.sender.count() > 1).await;
    assert!(app.clock.now() >= named, "nothing before the time the provider named");
    until(&app, "all of it leaves", async || app.sender.count() == 4).await;
}

#[tokio::test]
async fn a_dead_device_goes_on_proof_and_is_counted() {
    let app = PushApp::start().await;
    let dropped = "reveille_subscriptions_dropped_total{set=\"fcm.default\"}";
    let before = metric(&app, dropped).await;
    register(&app, "dead").await;
    app.sender.answer([Outcome::DropSubscription(Proof::Unguarded)]);
    notify(&app).await;
    app.end_window();
    until(&app, "the device is gone", async || devices(&app).await.is_empty()).await;
    until(&app, "it is counted", async || metric(&app, dropped).await > before).await;
    notify(&app).await;
    app.end_window();
    until(&app, "nothing waits", async || app.ledger().await.waiting == 0).await;
    assert_eq!(app.sender.count(), 1, "nobody is left to wake");
}

#[tokio::test]
async fn no_other_answer_drops_a_device() {
    let app = PushApp::start().await;
    register(&app, "alive").await;
    let answers = [
        Outcome::PayloadError,
        Outcome::ConfigError,
        Outcome::RetryMessage(Delay::ServerError(None)),
        Outcome::RefreshCredential,
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        app.sender.answer([answer]);
        notify(&app).await;
        app.end_window();
        until(&app, "an attempt", async || app.sender.count() > index).await;
        until(&app, "it is settled", async || app.ledger().await.waiting == 0).await;
        assert_eq!(devices(&app).await.len(), 1, "after {answer:?}");
    }
}

async fn quarantine(app: &PushApp) -> Vec<Value> {
    let listed = app.client.get("/v1/quarantine").await;
    assert!(!listed.text.contains("planted"), "a token is never shown");
    listed.json()["devices"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_guarded_verdict_holds_the_device_and_its_wakeup_until_somebody_says_so() {
    let app = PushApp::start().await;
    register(&app, "planted").await;
    app.sender.answer([Outcome::DropSubscription(Proof::Guarded)]);
    notify(&app).await;
    app.end_window();
    until(&app, "it is held", async || quarantine(&app).await.len() == 1).await;
    assert_eq!(devices(&app).await[0]["suspect"], true);
    let held = quarantine(&app).await;
    assert_eq!(held[0]["set"], "fcm.default");
    assert_eq!((&held[0]["reason"], &held[0]["verdicts"]), (&json!("stub"), &json!(1)));
    // Another notification does not make it try sooner.
    notify(&app).await;
    for _ in 0..5 {
        app.end_window();
        app.client.get("/healthz").await;
    }
    assert_eq!(app.sender.count(), 1);
    for (body, kind) in [
        (json!({}), "invalid-body"),
        (json!({"all": false}), "invalid-body"),
        (json!({"ids": ["x"]}), "invalid-body"),
        (json!({"set": "x"}), "invalid-body"),
        (json!({"all": true, "set": "fcm.default"}), "invalid-body"),
    ] {
        assert_eq!(app.client.post("/v1/quarantine/release", &body).await.problem(), kind);
    }
    let ids = json!({"ids": [held[0]["id"]]});
    let released = app.client.post("/v1/quarantine/release", &ids).await;
    assert_eq!(released.json(), json!({"count": 1}));
    until(&app, "what waited leaves", async || app.sender.count() == 2).await;
    until(&app, "and is settled", async || app.ledger().await.waiting == 0).await;
    assert_eq!(devices(&app).await[0]["suspect"], false);
    assert!(quarantine(&app).await.is_empty());
}

#[tokio::test]
async fn an_operator_drops_what_is_in_quarantine() {
    let app = PushApp::start().await;
    register(&app, "planted").await;
    app.sender.answer([Outcome::DropSubscription(Proof::Guarded)]);
    notify(&app).await;
    app.end_window();
    until(&app, "it is held", async || quarantine(&app).await.len() == 1).await;
    let none = app.client.post("/v1/quarantine/drop", &json!({"set": "apns.wikipedia"})).await;
    assert_eq!(none.json(), json!({"count": 0}));
    let dropped = app.client.post("/v1/quarantine/drop", &json!({"set": "fcm.default"})).await;
    assert_eq!(dropped.json(), json!({"count": 1}));
    assert!(devices(&app).await.is_empty() && quarantine(&app).await.is_empty());
    assert_eq!(app.ledger().await.settled(Settled::Dead), 1);
}

#[tokio::test]
async fn a_dry_run_is_checked_and_never_counted_as_sent() {
    let app = PushApp::start().await;
    register(&app, "phone").await;
    let body =
        json!({"deviceTokens": ["x"], "messageType": "checkEchoV1", "dryRun": true, "topic": 123});
    assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, 200);
    let body = json!({"users": ["alice"], "type": "mention", "dry_run": true});
    assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
    app.end_window();
    let sent = app.sender.sent(2).await;
    assert!(sent.iter().all(|push| push.dry_run == DryRun::Yes));
    until(&app, "both are settled", async || app.ledger().await.settled(Settled::DryRun) == 2)
        .await;
    assert_eq!(app.ledger().await.settled(Settled::Sent), 0);
}

#[tokio::test]
async fn an_operator_stops_delivery_while_all_is_accepted_and_lets_it_go_on() {
    let store = Arc::new(MemoryStore::default());
    let app = PushApp::start_on(Arc::<MemoryStore>::clone(&store), "").await;
    let pause = async |app: &PushApp, path: &str, provider: Option<&str>| {
        let answer = app.client.post(path, &json!({"provider": provider})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["paused"].clone()
    };
    let send = async |app: &PushApp| {
        for (provider, token) in [("fcm", "phone"), ("apns", "aabb")] {
            let topic = (provider == "apns").then_some("org.wikimedia.wikipedia");
            let body =
                json!({"deviceTokens": [token], "messageType": "checkEchoV1", "topic": topic});
            let answer = app.client.post(&format!("/v1/message/{provider}"), &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        app.pass_window().await;
        (app.sender.count(), app.apns.count())
    };
    assert_eq!(pause(&app, "/v1/pause", Some("fcm")).await, json!(["fcm"]));
    assert_eq!(send(&app).await, (0, 1), "nothing to Google, and Apple is not touched");
    assert_eq!(pause(&app, "/v1/pause", None).await, json!(["apns", "fcm", "webpush"]));
    assert_eq!(send(&app).await, (0, 1));

    // It holds over a restart.
    app.lifecycle.stop();
    PushApp::turns().await;
    let now = app.clock.now();
    let app = PushApp::start_on(store, "").await;
    app.clock.set(now);
    assert_eq!(
        app.client.get("/v1/pause").await.json()["paused"],
        json!(["apns", "fcm", "webpush"])
    );
    assert_eq!(send(&app).await, (0, 0));

    assert_eq!(pause(&app, "/v1/resume", Some("apns")).await, json!(["fcm", "webpush"]));
    PushApp::turns().await;
    assert_eq!(
        (app.sender.count(), app.apns.count()),
        (0, 1),
        "what waited leaves at once, once a device"
    );
    assert_eq!(pause(&app, "/v1/resume", None).await, json!([]));
    PushApp::turns().await;
    assert_eq!(app.sender.count(), 1);
    let answer = app.client.post("/v1/pause", &json!({"provider": "gcm"})).await;
    assert_eq!(answer.problem(), "unknown-provider");
}

/// Two nodes on one store. An operator speaks to one of them.
#[tokio::test]
async fn what_an_operator_says_to_one_node_holds_at_the_others() {
    let store = Arc::new(MemoryStore::default());
    let one = PushApp::start_on(Arc::<MemoryStore>::clone(&store), "").await;
    let other = PushApp::start_on(store, "").await;
    let say = async |app: &PushApp, word: &str, provider: Option<&str>| {
        let answer = app.client.post(word, &json!({"provider": provider})).await;
        answer.json()["paused"].clone()
    };
    let hears = async |app: &PushApp, paused: Value| {
        for _ in 0..100 {
            if app.client.get("/v1/pause").await.json()["paused"] == paused {
                return;
            }
            app.clock.advance(Duration::from_s(1));
        }
        panic!("it does not hear of {paused}");
    };
    assert_eq!(say(&one, "/v1/pause", Some("fcm")).await, json!(["fcm"]));
    // Said before it has heard of the first.
    assert_eq!(say(&other, "/v1/pause", Some("apns")).await, json!(["apns", "fcm"]));
    hears(&one, json!(["apns", "fcm"])).await;
    let body = json!({"deviceTokens": ["phone"], "messageType": "checkEchoV1"});
    assert_eq!(one.client.post("/v1/message/fcm", &body).await.status, StatusCode::OK);
    one.pass_window().await;
    other.clock.set(one.clock.now());
    PushApp::turns().await;
    assert_eq!((one.sender.count(), other.sender.count()), (0, 0));
    assert_eq!(say(&other, "/v1/resume", None).await, json!([]));
    hears(&one, json!([])).await;
}

/// A provider, or one host of a browser's push service, answers nothing. What the pace allows meanwhile is sent all the same.
#[tokio::test]
async fn an_answer_that_does_not_come_holds_up_nothing_that_the_pace_allows() {
    let app = PushApp::start_paced(Arc::new(MemoryStore::default()), 600).await;
    app.sender.hold();
    let tokens: Vec<String> = (0..30).map(|number| format!("phone-{number}")).collect();
    let body = json!({"deviceTokens": tokens, "messageType": "checkEchoV1"});
    assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, StatusCode::OK);
    app.pass_window().await;
    assert!(app.sender.count() < tokens.len(), "the pace is what there is to wait for");
    for _ in 0..100 {
        app.clock.advance(Duration::from_ms(100));
        PushApp::turns().await;
    }
    assert_eq!(app.sender.count(), tokens.len());
    app.sender.let_go();
}
