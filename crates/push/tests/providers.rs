//! The private API for APNs and Web Push: who is meant, what is refused, and that one scope's trouble is no other's.
#![cfg(test)]

use std::sync::Arc;

use reveille_model::{Outcome, Settled, Verdict};
use reveille_providers::Push;
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

/// Keys of RFC 8291 §5.
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const WIKIPEDIA: &str = "org.wikimedia.wikipedia";
const BETA: &str = "org.wikimedia.wikipedia.tfbeta";

fn browser(endpoint: &str) -> Value {
    json!({"endpoint": endpoint, "expirationTime": null, "keys": {"p256dh": P256DH, "auth": AUTH}})
}

async fn apns(app: &PushApp, body: Value) -> (u16, String) {
    let mut whole = json!({"deviceTokens": ["AAbb"], "messageType": "checkEchoV1"});
    for (name, value) in body.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let answer = app.client.post("/v1/message/apns", &whole).await;
    (answer.status.as_u16(), answer.problem())
}

fn shown(pushes: &[Push]) -> Vec<(String, String)> {
    let mut shown: Vec<(String, String)> = pushes
        .iter()
        .map(|push| {
            let topic = push.topic.as_ref().map_or("", |topic| topic.as_str());
            (push.token.expose().to_owned(), topic.to_owned())
        })
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn a_topic_finds_its_app_and_tokens_are_hexadecimal() {
    let app = PushApp::start().await;
    let accepted = (200, String::new());
    assert_eq!(apns(&app, json!({"topic": WIKIPEDIA})).await, accepted);
    assert_eq!(apns(&app, json!({"topic": BETA, "app": "wikipedia"})).await, accepted);
    let mixed = json!({"topic": WIKIPEDIA, "deviceTokens": ["cc", "not hex", "abc", ""]});
    assert_eq!(apns(&app, mixed).await, accepted);
    for (body, kind) in [
        (json!({}), "no-topic"),
        (json!({"topic": WIKIPEDIA, "app": "other"}), "unknown-app"),
        (json!({"topic": "a\r\nb"}), "invalid-body"),
        (json!({"topic": WIKIPEDIA, "deviceTokens": ["not hex"]}), "no-usable-token"),
    ] {
        assert_eq!(apns(&app, body.clone()).await, (400, kind.to_owned()), "{body}");
    }
    assert_eq!(app.ledger().await.settled(Settled::PayloadError), 3);
    app.end_window();
    let sent = app.apns.sent(3).await;
    let expected = [("aabb", WIKIPEDIA), ("aabb", BETA), ("cc", WIKIPEDIA)];
    assert_eq!(shown(&sent), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert!(sent.iter().all(|push| push.id != sent[0].id || push == &sent[0]), "ids differ");
}

#[tokio::test]
async fn a_topic_no_app_has_waits_and_is_adopted_once_it_is_known() {
    let store = Arc::new(MemoryStore::default());
    let app = PushApp::start_on(Arc::<MemoryStore>::clone(&store), "").await;
    // As captured: a topic of digits arrives as a number.
    assert_eq!(apns(&app, json!({"topic": 123})).await, (200, String::new()));
    app.end_window();
    app.client.get("/healthz").await;
    assert_eq!((app.ledger().await.waiting, app.apns.count()), (1, 0));
    app.lifecycle.stop();
    app.lifecycle.finish(reveille_model::Duration::from_s(30)).await.unwrap();
    drop(app);
    // After a restart with the topic configured.
    let app = PushApp::start_with_topics(store, &["123"]).await;
    app.clock.advance(PushApp::WINDOW);
    assert_eq!(shown(&app.apns.sent(1).await), [("aabb".to_owned(), "123".to_owned())]);
}

#[tokio::test]
async fn browsers_of_several_services_come_in_one_request() {
    let app = PushApp::start().await;
    let mozilla = browser("https://updates.push.services.mozilla.com/wpush/v2/1");
    let google = browser("https://fcm.googleapis.com/wp/2");
    let text = Value::from(browser("https://web.push.apple.com/3").to_string());
    let inside = browser("https://169.254.169.254/latest");
    let unknown = browser("https://push.example.org/4");
    let body = json!({
        "deviceTokens": [mozilla, google, text, inside, unknown, "nonsense", {}],
        "messageType": "checkEchoV1",
    });
    let answer = app.client.post("/v1/message/webpush", &body).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "{}"));
    assert_eq!(app.ledger().await.settled(Settled::PayloadError), 4);
    app.end_window();
    let sent = app.webpush.sent(3).await;
    assert!(sent.iter().all(|push| push.token.expose().contains(P256DH)));
    for (tokens, kind) in [
        (json!([inside]), "no-usable-token"),
        (json!([]), "no-usable-token"),
        (json!([7]), "no-usable-token"),
        (json!("x"), "invalid-body"),
    ] {
        let body = json!({"deviceTokens": tokens, "messageType": "checkEchoV1"});
        let answer = app.client.post("/v1/message/webpush", &body).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, kind), "{body}");
        assert!(!answer.text.contains("169.254"), "an endpoint is never repeated");
    }
}

#[tokio::test]
async fn iphones_and_browsers_are_registered_and_refused_with_a_clear_problem() {
    let app = PushApp::start().await;
    let endpoint = "https://updates.push.services.mozilla.com/wpush/v2/planted";
    let good = [
        json!({"provider": "apns", "token": "AABB", "topic": BETA}),
        json!({"provider": "webpush", "subscription": browser(endpoint)}),
    ];
    for device in &good {
        let answer = app.client.post("/v1/users/alice/subscriptions", device).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert!(!answer.text.contains("planted") && !answer.text.contains("aabb"));
        assert_eq!(app.client.post("/v1/users/alice/subscriptions", device).await.status, 200);
    }
    let listed = app.client.get("/v1/users/alice/subscriptions").await.json();
    let of = |provider: &str| {
        let listed = listed.as_array().unwrap();
        listed.iter().find(|each| each["provider"] == provider).unwrap().clone()
    };
    assert_eq!((&of("apns")["topic"], &of("apns")["app"]), (&json!(BETA), &json!("wikipedia")));
    assert_eq!(of("webpush")["app"], Value::Null);
    for (device, kind) in [
        (json!({"provider": "apns", "token": "xyz", "topic": BETA}), "invalid-body"),
        (json!({"provider": "apns", "token": "aa"}), "no-topic"),
        (json!({"provider": "apns", "token": "aa", "topic": "org.example"}), "unknown-topic"),
        (json!({"provider": "webpush", "token": "aa"}), "invalid-body"),
        (
            json!({"provider": "webpush", "subscription": browser("https://127.0.0.1/planted")}),
            "invalid-body",
        ),
        (
            json!({"provider": "webpush", "subscription": browser("http://push.example/planted")}),
            "invalid-body",
        ),
        (json!({"provider": "webpush", "subscription": {"endpoint": endpoint}}), "invalid-body"),
        (json!({"provider": "fcm"}), "invalid-body"),
    ] {
        let answer = app.client.post("/v1/users/alice/subscriptions", &device).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, kind), "{device}");
        assert!(!answer.text.contains("planted"), "{}", answer.text);
    }
    let body = json!({"users": ["alice"], "type": "mention"});
    assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
    app.end_window();
    assert_eq!(shown(&app.apns.sent(1).await), [("aabb".to_owned(), BETA.to_owned())]);
    app.webpush.sent(1).await;
}

#[tokio::test]
async fn a_topic_in_trouble_is_no_trouble_of_another() {
    let app = PushApp::start().await;
    // Twice refused: at once, and when it is tried again.
    let refused = Verdict::new(Outcome::ConfigError, "TopicDisallowed").for_scope();
    app.apns.answer_for(BETA, refused);
    assert_eq!(apns(&app, json!({"topic": BETA})).await.0, 200);
    app.end_window();
    app.apns.sent(1).await;
    for number in 0..3 {
        let body = json!({"topic": WIKIPEDIA, "deviceTokens": [format!("{number:08x}")]});
        assert_eq!(apns(&app, body).await.0, 200);
        app.end_window();
        let sent = app.apns.sent(2 + number).await;
        let last = sent.last().unwrap();
        assert_eq!(last.topic.as_ref().unwrap().as_str(), WIKIPEDIA, "while the other is paused");
    }
}

#[tokio::test]
async fn a_dry_run_vouches_for_nothing() {
    let app = PushApp::start().await;
    let device = json!({"provider": "apns", "token": "aa", "topic": BETA});
    assert_eq!(app.client.post("/v1/users/u/subscriptions", &device).await.status, 201);
    let guarded = Verdict::new(
        Outcome::DropSubscription(reveille_model::Proof::Guarded),
        "DeviceTokenNotForTopic",
    );
    app.apns.answer_for(BETA, guarded);
    // For more than two hours, with a dry run in each window, which never leaves.
    for minute in 0..150 {
        let body =
            json!({"topic": BETA, "deviceTokens": [format!("{minute:08x}")], "dryRun": true});
        assert_eq!(apns(&app, body).await.0, 200);
        let body = json!({"users": ["u"], "type": "mention", "ttl_s": 7200});
        assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
        app.clock.advance(reveille_model::Duration::from_s(60));
        app.client.get("/healthz").await;
    }
    let listed = app.client.get("/v1/users/u/subscriptions").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "nobody was reached, so nothing is believed");
    let held = app.client.get("/v1/quarantine").await.json();
    assert_eq!(held["devices"][0]["reason"], "DeviceTokenNotForTopic");
}
