//! The private API over a real socket: what is accepted, what is refused and how, and that nothing personal is ever repeated.
#![cfg(test)]

use http::Method;
use reveille_model::{FcmTarget, Settled};
use reveille_testkit::{Answer, PushApp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Stands in tokens, users and bodies; must not stand in any answer or metric.
const MARK: &str = "PLANTED-MARK";

fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (status, kind),
        "{}",
        answer.text
    );
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(!answer.text.contains(MARK), "{}", answer.text);
}

async fn waiting(app: &PushApp) -> u64 {
    app.ledger().await.waiting
}

#[tokio::test]
async fn what_echo_sends_is_accepted_and_leaves_with_its_window() {
    let app = PushApp::start().await;
    let bodies = [
        // Captured: a real MediaWiki with real Echo.
        r#"{"deviceTokens":["BOB-FCM-TOKEN:APA91b\/xyz_-1","BOB-FCM-TOKEN-2"],"messageType":"checkEchoV1"}"#,
        r#"{"deviceTokens":["fcm\/tok:1","fcm2\u00e9"],"messageType":"checkEchoV1"}"#,
        // mediawiki-captured §2: tokens nobody checked.
        r#"{"deviceTokens":["\ud83d\ude00 \"'<>","a|b"," blank ","line\nbreak"],"messageType":"checkEchoV1"}"#,
    ];
    for (body, path) in
        bodies.into_iter().zip(["/v1/message/fcm", "/v1/events/fcm", "/v1/message/fcm"])
    {
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("x-request-id", "d5f3a556297e3ac2ac6583fc"),
        ];
        let answer = app.client.call(Method::POST, path, &headers, body.into()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "{}"));
        assert_eq!(answer.headers["x-request-id"], "d5f3a556297e3ac2ac6583fc");
    }
    assert_eq!(app.sender.count(), 0, "nothing leaves before its window ends");
    app.end_window();
    let mut sent: Vec<String> =
        app.sender.sent(8).await.iter().map(|push| push.token.expose().to_owned()).collect();
    sent.sort();
    let expected = [
        " blank ",
        "BOB-FCM-TOKEN-2",
        "BOB-FCM-TOKEN:APA91b/xyz_-1",
        "a|b",
        "fcm/tok:1",
        "fcm2é",
        "line\nbreak",
        "\u{1f600} \"'<>",
    ];
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn captured_requests_are_accepted_byte_for_byte() {
    let app = PushApp::start().await;
    let mut replayed = 0;
    for name in ["mention", "one-edit-three-requests", "two-edits-ten-tokens"] {
        let capture =
            std::fs::read(format!("{}/tests/fixtures/{name}.push", env!("CARGO_MANIFEST_DIR")))
                .unwrap();
        let capture = String::from_utf8(capture).unwrap();
        for request in capture.split("##### ").filter(|part| part.contains(" REQUEST ")) {
            let request = request.split_once('\n').unwrap().1;
            let (head, rest) = request
                .split_once("\r\n\r\n")
                .unwrap_or_else(|| request.split_once("\n\n").unwrap());
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
            let head = head.lines().collect::<Vec<_>>().join("\r\n");
            let body = rest.get(..length).unwrap();
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
            let mut answer = vec![0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 200 OK", "{name}");
            replayed += 1;
        }
    }
    assert_eq!(replayed, 9);
}

#[tokio::test]
async fn bad_messages_are_refused_with_a_clear_problem_and_lose_nothing() {
    let app = PushApp::start().await;
    let good = json!({"deviceTokens": ["kept"], "messageType": "checkEchoV1"});
    assert_eq!(app.client.post("/v1/message/fcm", &good).await.status, 200);
    let raw: [(&[u8], u16, &str); 7] = [
        (b"", 400, "malformed-json"),
        (b"{\"deviceTokens\":[\"PLANTED-MARK\"", 400, "malformed-json"),
        (b"PLANTED-MARK", 400, "malformed-json"),
        (
            b"{\"deviceTokens\":[\"PLANTED-MARK\xff\xfe\"],\"messageType\":\"checkEchoV1\"}",
            400,
            "malformed-json",
        ),
        (b"[]", 400, "invalid-body"),
        (b"\"PLANTED-MARK\"", 400, "invalid-body"),
        (&vec![b'['; 200_000], 400, "malformed-json"),
    ];
    for (body, status, kind) in raw {
        assert_problem(&app.client.post_raw("/v1/message/fcm", body).await, status, kind);
    }
    let long = format!("{MARK}{}", "x".repeat(4_096));
    let many: Vec<String> = (0..100_000).map(|number| format!("{MARK}{number}")).collect();
    let quite_many: Vec<String> = (0..5_001).map(|number| format!("{MARK}{number}")).collect();
    let with = |tokens: Value, message_type: Value| json!({"deviceTokens": tokens, "messageType": message_type});
    let known = || json!("checkEchoV1");
    let rows = [
        (with(json!(MARK), known()), 400, "invalid-body"),
        (with(json!([MARK, 7]), known()), 400, "invalid-body"),
        (with(json!({"a": MARK}), known()), 400, "invalid-body"),
        (json!({"messageType": "checkEchoV1"}), 400, "invalid-body"),
        (json!({"deviceTokens": [MARK]}), 400, "invalid-body"),
        (with(json!([MARK]), json!(MARK)), 400, "unknown-message-type"),
        (with(json!([MARK]), json!(7)), 400, "invalid-body"),
        (with(json!([]), known()), 400, "no-usable-token"),
        (with(json!(["", long]), known()), 400, "no-usable-token"),
        (with(json!(many), known()), 413, "body-too-large"),
        (with(json!(quite_many), known()), 413, "too-many"),
        (
            json!({"deviceTokens": [MARK], "messageType": "checkEchoV1", "dryRun": MARK}),
            400,
            "invalid-body",
        ),
        (
            json!({"deviceTokens": [MARK], "messageType": "checkEchoV1", "app": MARK}),
            400,
            "unknown-app",
        ),
    ];
    for (body, status, kind) in rows {
        assert_problem(&app.client.post("/v1/message/fcm", &body).await, status, kind);
    }
    assert_problem(&app.client.post("/v1/message/pigeon", &good).await, 404, "unknown-provider");
    assert_problem(&app.client.post("/v1/message/apns", &good).await, 400, "no-topic");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer =
        app.client.call(Method::POST, "/v1/message/fcm", &form, good.to_string().into()).await;
    assert_problem(&answer, 415, "content-type");
    assert_problem(&app.client.get("/v1/message/fcm").await, 405, "method-not-allowed");
    assert_problem(&app.client.get("/nowhere").await, 404, "not-found");
    assert_eq!(waiting(&app).await, 1, "what was accepted is still there, and nothing else");
    let metrics = app.client.get("/metrics").await.text;
    assert!(!metrics.contains(MARK));
}

#[tokio::test]
async fn unusable_tokens_are_counted_and_the_others_leave() {
    let app = PushApp::start().await;
    let body =
        json!({"deviceTokens": ["", "good", "x".repeat(4_097)], "messageType": "checkEchoV1"});
    assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, 200);
    assert_eq!(app.ledger().await.settled(Settled::PayloadError), 2);
    app.end_window();
    assert_eq!(app.sender.sent(1).await.first().unwrap().token.expose(), "good");
}

async fn register(app: &PushApp, user: &str, token: &str) -> Answer {
    app.client
        .post(
            &format!("/v1/users/{user}/subscriptions"),
            &json!({"provider": "fcm", "token": token}),
        )
        .await
}

#[tokio::test]
async fn a_notification_wakes_each_device_of_its_users_and_leaves_a_trail() {
    let app = PushApp::start().await;
    assert_eq!(register(&app, "alice", MARK).await.status, 201);
    let again = register(&app, "alice", MARK).await;
    assert_eq!(again.status, 200);
    assert!(!again.text.contains(MARK), "a token is never shown");
    assert_eq!(register(&app, "alice", "tablet").await.status, 201);
    let listed = app.client.get("/v1/users/alice/subscriptions").await;
    assert_eq!(listed.json().as_array().unwrap().len(), 2);
    assert!(!listed.text.contains(MARK) && !listed.text.contains("tablet"));

    let accepted = app
        .client
        .post("/v1/notifications", &json!({"users": ["alice", "nobody"], "type": "mention"}))
        .await;
    assert_eq!(accepted.status, 202);
    let path = format!("/v1/notifications/{}", accepted.json()["id"].as_str().unwrap());
    let trail = app.client.get(&path).await.json();
    assert_eq!((&trail["state"], &trail["wakeups"]["waiting"]), (&json!("waiting"), &json!(2)));
    assert_problem(&app.client.delete(&path).await, 409, "too-late");
    app.end_window();
    app.sender.sent(2).await;
    // Settling follows the answer; the trail says when it is done.
    let mut trail = Value::Null;
    for _ in 0..1_000 {
        trail = app.client.get(&path).await.json();
        if trail["state"] == "settled" {
            break;
        }
    }
    assert_eq!(
        (&trail["state"], &trail["wakeups"]["sent"]),
        (&json!("settled"), &json!(2)),
        "{trail}"
    );
    assert!(!trail.to_string().contains("alice"));
}

#[tokio::test]
async fn a_device_can_be_shown_given_another_token_and_deleted() {
    let app = PushApp::start().await;
    let phone = register(&app, "alice", "first").await.json();
    let of_alice = "/v1/users/alice/subscriptions";
    let path = format!("{of_alice}/{}", phone["id"].as_str().unwrap());
    assert_eq!(app.client.get(&path).await.json(), phone);
    let accepted = json!({"users": ["alice"], "type": "mention"});
    assert_eq!(app.client.post("/v1/notifications", &accepted).await.status, 202);

    let json = [("content-type", "application/json")];
    let patch = async |path: &str, body: Value| {
        app.client.call(Method::PATCH, path, &json, body.to_string().into_bytes()).await
    };
    let replaced = patch(&path, json!({"token": MARK})).await;
    assert_eq!(replaced.status, 200);
    assert_eq!((&replaced.json()["id"], &replaced.json()["app"]), (&phone["id"], &phone["app"]));
    assert!(!replaced.text.contains(MARK), "a token is never shown");
    app.end_window();
    assert_eq!(app.sender.sent(1).await.first().unwrap().token.expose(), MARK);

    // An app that moves to Firebase's installation ids.
    assert_eq!(patch(&path, json!({"fid": "an-installation"})).await.status, 200);
    assert_eq!(app.client.post("/v1/notifications", &accepted).await.status, 202);
    app.end_window();
    let pushes = app.sender.sent(2).await;
    assert_eq!(pushes.last().unwrap().token.fcm_target(), FcmTarget::Fid("an-installation"));

    for (body, kind) in [
        (json!({}), "invalid-body"),
        (json!({"fid": "x", "token": MARK}), "invalid-body"),
        (json!({"token": 1}), "invalid-body"),
        (json!({"token": "", "sealed": MARK}), "invalid-body"),
        (json!({"token": ""}), "invalid-body"),
        (json!({"subscription": {"endpoint": MARK}}), "invalid-body"),
    ] {
        assert_problem(&patch(&path, body).await, 400, kind);
    }
    let strangers = [
        path.replace("alice", "bob"),
        format!("{of_alice}/{MARK}"),
        format!("{of_alice}/{}", "0".repeat(32)),
    ];
    for path in &strangers {
        assert_problem(&app.client.get(path).await, 404, "unknown-subscription");
        assert_problem(&app.client.delete(path).await, 404, "unknown-subscription");
        let answer = patch(path, json!({"token": "x"})).await;
        assert_problem(&answer, 404, "unknown-subscription");
    }
    assert_eq!(app.client.delete(&path).await.status, 204);
    assert_problem(&app.client.delete(&path).await, 404, "unknown-subscription");
    register(&app, "alice", "tablet").await;
    register(&app, "alice", "watch").await;
    assert_eq!(app.client.delete(of_alice).await.json(), json!({"deleted": 2}));
    assert_eq!(app.client.get(of_alice).await.json(), json!([]));
}

#[tokio::test]
async fn bad_notifications_are_refused_whole_with_their_indexes() {
    let app = PushApp::start().await;
    register(&app, "alice", "phone").await;
    let good = json!({"users": ["alice"], "type": "mention"});
    let bad = [
        json!({"users": [MARK]}),
        json!({"users": [MARK], "type": MARK.repeat(9)}),
        json!({"users": [MARK], "type": "a b"}),
        json!({"users": [], "type": "mention"}),
        json!({"users": [""], "type": "mention"}),
        json!({"users": ["a\nb"], "type": "mention"}),
        json!({"users": MARK, "type": "mention"}),
        json!({"type": "mention"}),
        json!({"users": [MARK], "subscriptions": ["0"], "type": "mention"}),
        json!({"subscriptions": [MARK], "type": "mention"}),
        json!({"users": [MARK], "type": "mention", "ttl_s": 0}),
        json!({"users": [MARK], "type": "mention", "ttl_s": 2_419_201}),
        json!({"users": [MARK], "type": "mention", "ttl_s": -5}),
        json!({"users": [MARK], "type": "mention", "timestamp": MARK}),
        json!({"users": [MARK], "type": "mention", "deliver_after": "2099-01-01T00:00:00Z"}),
        json!({"users": [MARK], "type": "mention", "surprise": MARK}),
        json!(MARK),
        json!(7),
    ];
    for each in bad {
        assert_problem(
            &app.client.post("/v1/notifications", &each).await,
            422,
            "invalid-notifications",
        );
        let answer = app.client.post("/v1/notifications", &json!([good, each, good])).await;
        assert_problem(&answer, 422, "invalid-notifications");
        assert_eq!(answer.json()["errors"][0]["index"], 1);
    }
    assert_problem(&app.client.post("/v1/notifications", &json!([])).await, 400, "invalid-body");
    let many = vec![good.clone(); 1_001];
    assert_problem(&app.client.post("/v1/notifications", &json!(many)).await, 413, "too-many");
    assert_eq!(waiting(&app).await, 0, "one bad item refuses all");
    let ndjson = [("content-type", "application/x-ndjson")];
    let lines = format!("{good}\n{good}\n");
    let answer = app.client.call(Method::POST, "/v1/notifications", &ndjson, lines.into()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["ids"].as_array().unwrap().len()), (202, 2));
    let broken = app
        .client
        .call(Method::POST, "/v1/notifications", &ndjson, format!("{good}\n{{").into())
        .await;
    assert_problem(&broken, 400, "malformed-json");
}

#[tokio::test]
async fn an_idempotency_key_covers_its_request() {
    let app = PushApp::start().await;
    register(&app, "alice", "phone").await;
    let send = async |key: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        app.client.call(Method::POST, "/v1/notifications", &headers, body.to_string().into()).await
    };
    let body = || json!({"users": ["alice"], "type": "mention"});
    let first = send("key-1", body()).await;
    let again = send("key-1", body()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(first.json(), again.json());
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(waiting(&app).await, 1);
    let other = send("key-1", json!({"users": ["alice"], "type": "other"})).await;
    assert_problem(&other, 409, "idempotency-key-reused");
    assert_ne!(send("key-2", body()).await.json(), first.json());
    assert_problem(&send(&"k".repeat(256), body()).await, 400, "invalid-idempotency-key");
    // The same key on another route is another request.
    let headers = [("content-type", "application/json"), ("idempotency-key", "key-1")];
    let message = json!({"deviceTokens": ["x"], "messageType": "checkEchoV1"}).to_string();
    assert_eq!(
        app.client.call(Method::POST, "/v1/message/fcm", &headers, message.into()).await.status,
        200
    );
}

#[tokio::test]
async fn a_scheduled_notification_waits_and_can_be_taken_back() {
    let app = PushApp::start().await;
    register(&app, "alice", "phone").await;
    let later = reveille_service::text_time::format(
        PushApp::START.plus(reveille_model::Duration::from_s(15)),
    );
    let schedule = json!({"users": ["alice"], "type": "mention", "deliver_after": later});
    let path = async || {
        let id = app.client.post("/v1/notifications", &schedule).await.json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        format!("/v1/notifications/{id}")
    };
    let (kept, taken) = (path().await, path().await);
    assert_eq!(app.client.get(&kept).await.json()["state"], "scheduled");
    assert_eq!(app.client.delete(&taken).await.status, 204);
    assert_eq!(app.client.get(&taken).await.json()["state"], "taken_back");
    app.end_window();
    app.end_window();
    app.sender.sent(1).await;
    assert_eq!(app.sender.count(), 1);
    for unknown in ["/v1/notifications/none", "/v1/notifications/00000000000000000000000000000000"]
    {
        assert_problem(&app.client.get(unknown).await, 404, "unknown-notification");
        assert_problem(&app.client.delete(unknown).await, 404, "unknown-notification");
    }
}

#[tokio::test]
async fn a_full_outbox_refuses_before_it_accepts() {
    let store = std::sync::Arc::new(reveille_store::memory::MemoryStore::default());
    let app = PushApp::start_on(store, "outbox_wakeups_max = 2").await;
    let body = |token: &str| json!({"deviceTokens": [token], "messageType": "checkEchoV1"});
    for token in ["a", "b"] {
        assert_eq!(app.client.post("/v1/message/fcm", &body(token)).await.status, 200);
    }
    let refused = app.client.post("/v1/message/fcm", &body("c")).await;
    assert_problem(&refused, 503, "outbox-full");
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    app.end_window();
    app.sender.sent(2).await;
    assert_eq!(app.sender.count(), 2, "every acceptance is kept, no refusal leaves");
}

#[tokio::test]
async fn operations_answer_as_the_reference_and_its_ecosystem_expect() {
    let app = PushApp::start().await;
    assert_eq!(app.client.get("/healthz").await.json(), json!({"status": "alive"}));
    assert_eq!(app.client.get("/readyz").await.json(), json!({"status": "ready"}));
    assert_eq!(app.client.get("/_info").await.json()["name"], "reveille");
    assert_eq!(app.client.get("/_info/name").await.json(), json!({"name": "reveille"}));
    assert!(app.client.get("/_info/version").await.json()["version"].is_string());
    let home = app.client.get("/_info/home").await;
    assert_eq!((home.status.as_u16(), &home.headers["location"]), (301, &"/docs".parse().unwrap()));
    assert!(app.client.get("/robots.txt").await.text.contains("Disallow: /"));
    assert!(app.client.get("/?spec").await.json()["paths"].is_object());
    assert!(app.client.get("/?doc").await.text.contains("<h1>"));
    assert_eq!(app.client.get("/").await.status, 404);
    assert_eq!(
        app.client.get("/openapi.json").await.json()["openapi"].as_str().unwrap().get(..3),
        Some("3.1")
    );
    let metrics = app.client.get("/metrics").await.text;
    assert!(metrics.contains("# HELP reveille_http_request_duration_seconds"), "{metrics}");
    app.lifecycle.stop();
}

#[tokio::test]
async fn callers_need_one_of_the_tokens_where_there_are_any() {
    let dir = reveille_testkit::Dir::new();
    let file = dir.join("tokens");
    std::fs::write(&file, "first-token-0123456789\n").unwrap();
    let store = std::sync::Arc::new(reveille_store::memory::MemoryStore::default());
    let more = format!("intake.tokens_file = \"{}\"", file.display());
    // One table may not be written twice in TOML: a dotted key and a section. So the listener comes along.
    let app = PushApp::start_on_text(
        store,
        &format!("[push]\nstore = \"sqlite:unused\"\n{more}\nintake.listen = \"127.0.0.1:0\"\n[push.mix]\nmode = \"batch\"\nwindow_s = 10\n"),
    )
    .await;
    let body = json!({"deviceTokens": ["a"], "messageType": "checkEchoV1"});
    let refused = app.client.post("/v1/message/fcm", &body).await;
    assert_problem(&refused, 401, "unauthorized");
    assert!(refused.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let headers =
        [("content-type", "application/json"), ("authorization", "Bearer first-token-0123456789")];
    let let_in =
        app.client.call(Method::POST, "/v1/message/fcm", &headers, body.to_string().into()).await;
    assert_eq!(let_in.status, 200);
    assert_eq!(app.client.get("/healthz").await.status, 200, "operations need none");
}

/// Where there are no tokens a browser that can reach the listener would do what any page wants.
#[tokio::test]
async fn what_a_browser_sends_for_a_page_is_refused() {
    let app = PushApp::start().await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        app.client.call(Method::POST, path, headers, b"{}".to_vec()).await
    };
    let json = ("content-type", "application/json");
    for of_page in
        [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")]
    {
        for path in ["/v1/pause", "/v1/quarantine/drop", "/v1/users/alice/fetched"] {
            assert_problem(&ask(path, &[json, of_page]).await, 403, "of-a-page");
            assert_problem(&ask(path, &[of_page]).await, 403, "of-a-page");
        }
    }
    assert_eq!(app.client.get("/v1/pause").await.json()["paused"], json!([]));
    // Somebody who opens an address by hand, and a tool in a page that shows a token.
    let typed = [("sec-fetch-site", "none")];
    let opened = app.client.call(Method::GET, "/v1/pause", &typed, Vec::new()).await;
    assert_eq!(opened.status, 200);
    let shows =
        [json, ("origin", "https://tools.example"), ("authorization", "Bearer any-of-them")];
    assert_eq!(ask("/v1/users/alice/fetched", &shows).await.status, 200);
}
