//! What I find when I have been woken, and what happens when I have looked.

use std::sync::Arc;

use http::Method;
use reveille_model::{Duration, Settled};
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

use super::{BY_HEADER, call};

const INBOX: &str = "[push.inbox]\nenabled = true\nretention_days = 1\n";

async fn app(more: &str) -> PushApp {
    let public = format!("{BY_HEADER}{more}");
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &public).await;
    for user in ["alice", "bob"] {
        let phone = json!({"provider": "fcm", "token": format!("phone-of-{user}")});
        call(app.public(), user, "POST", "/v1/subscriptions", &phone).await;
    }
    app
}

async fn notify(app: &PushApp, users: &[&str], content: Value) -> String {
    let body = json!({"users": users, "type": "mention", "content": content});
    let accepted = app.client.post("/v1/notifications", &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    accepted.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn content_waits_in_the_inbox_and_never_in_the_push() {
    const MARK: &str = "planted content";
    let app = app(INBOX).await;
    let empty = call(app.public(), "alice", "GET", "/v1/inbox", &Value::Null).await;
    assert_eq!((empty.status.as_u16(), &empty.json()["items"]), (200, &json!([])));
    let id = notify(&app, &["alice"], json!({"text": MARK, "n": [1, null]})).await;
    let found = call(app.public(), "alice", "GET", "/v1/inbox", &Value::Null).await;
    let item = found.json()["items"][0].clone();
    assert_eq!(
        (&item["id"], &item["content"]),
        (&json!(id), &json!({"text": MARK, "n": [1, null]}))
    );
    assert_eq!((&item["type"], &item["read"]), (&json!("mention"), &json!(false)));
    assert_eq!(found.text.len(), empty.text.len(), "news are as long as none");
    assert_eq!(found.headers["cache-control"], "no-store, no-transform");
    assert_eq!(found.headers["content-length"], empty.headers["content-length"]);
    let theirs = call(app.public(), "bob", "GET", "/v1/inbox", &Value::Null).await;
    assert_eq!(theirs.json()["items"], json!([]));

    let tag = found.headers["etag"].to_str().unwrap().to_owned();
    let again = async |tag: &str| {
        let headers = [("x-user", "alice"), ("if-none-match", tag)];
        app.public().call(Method::GET, "/v1/inbox", &headers, Vec::new()).await.status.as_u16()
    };
    assert_eq!((again(&tag).await, again("\"x\"").await), (304, 200));
    notify(&app, &["alice"], json!(2)).await;
    assert_eq!(again(&tag).await, 200);

    app.end_window();
    let pushes = app.sender.sent(1).await;
    assert!(!format!("{pushes:?}").contains(MARK));
    let trail = app.client.get(&format!("/v1/notifications/{id}")).await.text;
    let metrics = app.client.get("/metrics").await.text;
    assert!(!trail.contains("planted") && !metrics.contains("planted"));
}

#[tokio::test]
async fn an_inbox_has_pages_and_forgets() {
    let app = app(INBOX).await;
    for number in 0..12 {
        notify(&app, &["alice"], json!(format!("{number}{}", "x".repeat(4_000)))).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/inbox?limit=3".to_owned());
    loop {
        let page = call(app.public(), "alice", "GET", &path, &Value::Null).await.json();
        let items = page["items"].as_array().unwrap().clone();
        assert!((1..=3).contains(&items.len()), "{}", items.len());
        seen.extend(
            items
                .iter()
                .map(|item| item["content"].as_str().unwrap().trim_end_matches('x').to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/inbox?limit=3&before={next}");
    }
    assert_eq!(seen, (0..12).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    for bad in ["limit=0", "limit=51", "limit=x", "before=x", "typo=1"] {
        let answer =
            call(app.public(), "alice", "GET", &format!("/v1/inbox?{bad}"), &Value::Null).await;
        assert_eq!(answer.problem(), "invalid-query", "{bad}");
    }
    app.clock.advance(Duration::from_s(90_000));
    let is_empty = async || {
        let page = call(app.public(), "alice", "GET", "/v1/inbox", &Value::Null).await;
        page.json()["items"] == json!([])
    };
    // The sweeper wakes with the clock.
    for _ in 0..1_000 {
        if is_empty().await {
            return;
        }
    }
    assert!(is_empty().await);
}

#[tokio::test]
async fn whoever_has_read_is_not_woken_for_it() {
    let app = app(INBOX).await;
    let id = notify(&app, &["alice", "bob"], json!("news")).await;
    let read = json!({"ids": [id]});
    assert_eq!(call(app.public(), "alice", "POST", "/v1/inbox/read", &read).await.status, 204);
    let page = call(app.public(), "alice", "GET", "/v1/inbox", &Value::Null).await.json();
    assert_eq!(page["items"][0]["read"], true);
    app.end_window();
    assert_eq!(app.sender.sent(1).await.first().unwrap().token.expose(), "phone-of-bob");
    assert_eq!(app.ledger().await.settled(Settled::Cancelled), 1);

    // By the site's word, and only what was before.
    notify(&app, &["alice", "bob"], json!("more")).await;
    let fetched = app.client.post("/v1/users/alice/fetched", &Value::Null).await;
    assert_eq!(fetched.json(), json!({"cancelled": 0}));
    notify(&app, &["alice"], json!("after")).await;
    app.end_window();
    assert_eq!(app.sender.sent(3).await.len(), 3);
    assert_eq!(app.ledger().await.settled(Settled::Cancelled), 2);
    let all = json!({"all": true});
    assert_eq!(call(app.public(), "alice", "POST", "/v1/inbox/read", &all).await.status, 204);
    for bad in
        [json!({}), json!({"all": false}), json!({"ids": ["x"]}), json!({"ids": [], "all": true})]
    {
        let answer = call(app.public(), "alice", "POST", "/v1/inbox/read", &bad).await;
        assert_eq!(answer.problem(), "invalid-body", "{bad}");
    }
}

#[tokio::test]
async fn without_an_inbox_there_is_nowhere_to_put_content() {
    let app = app("").await;
    let body = json!({"users": ["alice"], "type": "mention", "content": 1});
    let refused = app.client.post("/v1/notifications", &body).await;
    assert_eq!(refused.problem(), "invalid-notifications", "{}", refused.text);
    for (method, path) in [("GET", "/v1/inbox"), ("POST", "/v1/inbox/read")] {
        let stranger = app.public().call(method.parse().unwrap(), path, &[], Vec::new()).await;
        assert_eq!(stranger.status, 401);
        let answer = call(app.public(), "alice", method, path, &Value::Null).await;
        assert_eq!(answer.problem(), "inbox-disabled");
    }
    let with = self::app(INBOX).await;
    let long = json!({"users": ["alice"], "type": "mention", "content": "x".repeat(4_095)});
    assert_eq!(
        with.client.post("/v1/notifications", &long).await.problem(),
        "invalid-notifications"
    );
}

#[tokio::test]
async fn a_user_who_goes_is_gone() {
    let app = app(INBOX).await;
    notify(&app, &["alice", "bob"], json!("news")).await;
    assert_eq!(app.client.delete("/v1/users/alice").await.status, 204);
    assert_eq!(app.client.delete("/v1/users/alice").await.status, 204, "there is nothing left");
    for path in ["/v1/subscriptions", "/v1/inbox"] {
        let page = call(app.public(), "alice", "GET", path, &Value::Null).await.json();
        let items = page.get("items").unwrap_or(&page);
        assert_eq!(*items, json!([]), "{path}");
    }
    app.end_window();
    assert_eq!(app.sender.sent(1).await.first().unwrap().token.expose(), "phone-of-bob");
}
