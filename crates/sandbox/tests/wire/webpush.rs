//! The look-alike of Web Push services, over HTTP/2 and HTTP/1.1.

use serde_json::{Value, json};

use crate::rig::{AppKey, Http1, Http2, Reply, Rig, encrypt};

const STYLES: [&str; 6] = ["mozilla", "google", "apple", "microsoft", "up", "wp"];

fn origin(rig: &Rig) -> String {
    format!("https://127.0.0.1:{}", rig.ports.webpush)
}

fn key(rig: &Rig) -> AppKey {
    AppKey::from_pem(&rig.file("vapid.pem"))
}

async fn push(rig: &Rig, subscription: &Value, vapid: &str, body: Vec<u8>) -> Reply {
    let endpoint = subscription["endpoint"].as_str().unwrap();
    let path = endpoint.strip_prefix(&origin(rig)).unwrap();
    let headers = [
        ("authorization", vapid),
        ("ttl", "3600"),
        ("urgency", "high"),
        ("topic", "abcd"),
        ("content-encoding", "aes128gcm"),
    ];
    let mut client = Http2::connect(rig, rig.ports.webpush).await;
    client.send(("POST", path), &headers, body).await.unwrap()
}

async fn subscribe(rig: &Rig, asked: &Value) -> Value {
    let (status, body) = rig.ask("POST", "/subscriptions", asked).await;
    assert_eq!(status, 201, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_push_is_read_as_the_browser_reads_it() {
    let rig = Rig::start("", &[]).await;
    let vapid = key(&rig).vapid(&origin(&rig));
    for style in STYLES {
        let subscription = rig.watch.subscription(style, "browser-1");
        assert_eq!(
            subscription,
            subscribe(&rig, &json!({"token": "browser-1", "style": style})).await
        );
        let members: Vec<&String> = subscription.as_object().unwrap().keys().collect();
        assert_eq!(members, ["endpoint", "expirationTime", "keys"]);
        let body = encrypt(&subscription, br#"{"type":"checkEchoV1"}"#);
        let reply = push(&rig, &subscription, &vapid, body).await;
        if style == "microsoft" {
            assert_eq!((reply.status, reply.header("x-wns-status")), (200, Some("received")));
        } else {
            assert_eq!((reply.status, reply.header("ttl")), (201, Some("3600")), "{style}");
            assert!(reply.header("location").unwrap().starts_with(&origin(&rig)));
        }
    }
    let received = rig.received("webpush").await;
    assert_eq!(received.len(), STYLES.len());
    assert_eq!(received[0]["payload"], json!({"type": "checkEchoV1"}));
    assert_eq!(
        (&received[0]["token"], &received[0]["provider"]),
        (&json!("browser-1"), &json!("webpush"))
    );
    assert_eq!(received[0]["authorized_by"], key(&rig).public());
    assert_eq!(received[0]["body_bytes"], 86 + 22 + 4 + 16);
    assert!(received[0]["headers"].get("authorization").is_none());
    let subscription = rig.watch.subscription("up", "x");
    push(&rig, &subscription, &vapid, encrypt(&subscription, b"plain text")).await;
    assert_eq!(rig.received("webpush").await.last().unwrap()["payload"], "plain text");
}

#[tokio::test]
async fn keys_and_senders_can_be_chosen() {
    let rig = Rig::start("", &[]).await;
    let vapid = key(&rig).vapid(&origin(&rig));
    let chosen = json!({
        "token": "chosen", "private_key": "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg", "application_server_key": key(&rig).public(),
    });
    let subscription = subscribe(&rig, &chosen).await;
    assert_eq!(
        subscription["keys"],
        json!({
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        })
    );
    let body = encrypt(&subscription, b"x");
    assert_eq!(push(&rig, &subscription, &vapid, body).await.status, 201);
    let other = AppKey::from_pem(&rig.file("AuthKey.p8"));
    for (style, status, words) in [
        ("mozilla", 401, r#""errno":109"#),
        ("google", 403, "does not correspond to the sender ID used to subscribe"),
        ("wp", 403, "do not correspond"),
        ("apple", 403, r#"{"reason":"VapidPkHashMismatch"}"#),
        ("microsoft", 403, ""),
    ] {
        let restricted =
            json!({"token": "other", "style": style, "application_server_key": other.public()});
        let subscription = subscribe(&rig, &restricted).await;
        let body = encrypt(&subscription, b"x");
        let reply = push(&rig, &subscription, &vapid, body).await;
        assert_eq!(reply.status, status, "{style}");
        assert!(reply.body.contains(words), "{}", reply.body);
    }
    let (status, problem) = rig.ask("POST", "/subscriptions", &json!({"token": "a/b"})).await;
    assert_eq!(status, 400);
    assert!(problem.contains("bad-subscription"));
}

#[tokio::test]
async fn what_cannot_be_read_or_believed_is_refused_in_the_services_words() {
    let rig = Rig::start("", &[]).await;
    let vapid = key(&rig).vapid(&origin(&rig));
    let elsewhere = key(&rig).vapid("https://elsewhere.example");
    let crypto = [400, 400, 400, 400, 400, 400];
    let belief = [401, 401, 403, 401, 401, 401];
    for (place, style) in STYLES.into_iter().enumerate() {
        let subscription = rig.watch.subscription(style, "browser-1");
        let wrong = encrypt(&rig.watch.subscription(style, "browser-2"), b"x");
        assert_eq!(push(&rig, &subscription, &vapid, wrong).await.status, crypto[place]);
        assert_eq!(push(&rig, &subscription, &vapid, Vec::new()).await.status, crypto[place]);
        let large = push(&rig, &subscription, &vapid, vec![0; 4_097]).await;
        assert_eq!(large.status, 413, "{style}");
        let right = encrypt(&subscription, b"x");
        let unbelieved = push(&rig, &subscription, &elsewhere, right.clone()).await;
        assert_eq!(unbelieved.status, belief[place], "{style}");
        let nobody = push(&rig, &subscription, "none", right).await;
        assert_eq!(nobody.status, belief[place], "{style}");
    }
    assert_eq!(rig.received("webpush").await.len(), 0, "none of these is a push");
    let refused = rig.stats().await["providers"]["webpush"]["refused"].clone();
    assert_eq!(refused, json!({"BadCrypto": 12, "BadJwt": 6, "MissingVapid": 6, "TooLarge": 6}));
}

#[tokio::test]
async fn http_1_is_spoken_too() {
    let rig = Rig::start("", &[]).await;
    let vapid = key(&rig).vapid(&origin(&rig));
    let subscription = rig.watch.subscription("mozilla", "browser-1");
    let body = encrypt(&subscription, b"{}");
    let headers =
        [("Authorization", vapid.as_str()), ("TTL", "60"), ("Content-Encoding", "aes128gcm")];
    let target = ("POST", "/mozilla/browser-1");
    let answer = Http1::send(&rig, rig.ports.webpush, target, &headers, &body).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    rig.fault(json!({"provider": "webpush", "reply": "unregistered"})).await;
    let answer = Http1::send(&rig, rig.ports.webpush, target, &headers, &body).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 410 ") && answer.contains(r#""errno":103"#), "{answer}");
    let answers = rig.stats().await["providers"]["webpush"]["answers"].clone();
    assert_eq!(answers, json!({"201": 1, "410": 1}));
}

#[tokio::test]
async fn streams_above_the_limit_are_refused_and_the_limit_can_be_changed() {
    let rig = Rig::start("streams_max = 3", &[]).await;
    let mut client = Http2::connect(&rig, rig.ports.webpush).await;
    client.wait_for_streams(3).await;
    let settings = json!({"provider": "webpush", "streams_max": 50});
    assert_eq!(rig.ask("POST", "/settings", &settings).await.0, 204);
    client.wait_for_streams(50).await;
    for (bad, word) in [
        (json!({"provider": "adm", "streams_max": 1}), "provider"),
        (json!({"provider": "fcm", "streams_max": 100_001}), "streams_max"),
        (json!({"provider": "fcm"}), "streams_max"),
    ] {
        let (status, problem) = rig.ask("POST", "/settings", &bad).await;
        assert_eq!(status, 400);
        assert!(problem.contains(word), "{problem}");
    }
}

#[tokio::test]
async fn counts_are_of_one_provider_where_one_is_asked_for() {
    let rig = Rig::start("", &[]).await;
    let vapid = key(&rig).vapid(&origin(&rig));
    let subscription = rig.watch.subscription("mozilla", "browser-1");
    push(&rig, &subscription, &vapid, encrypt(&subscription, b"x")).await;
    for path in
        ["/stats?received_min=1&wait_s=60", "/stats?provider=webpush&received_min=1&wait_s=60"]
    {
        let (_, stats) = rig.ask("GET", path, &Value::Null).await;
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert_eq!(
            (&stats["received"], &stats["providers"]["fcm"]["received"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(stats["answers"], json!({"201": 1}));
    }
    let (status, problem) = rig.ask("GET", "/received?provider=adm", &Value::Null).await;
    assert_eq!(status, 400);
    assert!(problem.contains("provider"));
}
