//! When much is accepted: nobody takes the room of others, and what very many get holds up nobody.
#![cfg(test)]

use std::sync::Arc;

use http::Method;
use reveille_model::{Duration, Outcome, Settled};
use reveille_service::clock::Clock as _;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, Dir, PushApp};
use serde_json::json;

const GREEDY: &str = "Bearer greedy-token-0123456789";
const MODEST: &str = "Bearer modest-token-0123456789";

/// A server with an outbox of a hundred, and these callers.
async fn shared(dir: &Dir, tokens: &str) -> PushApp {
    let file = dir.join("tokens");
    std::fs::write(&file, tokens).unwrap();
    let text = format!(
        "[push]\nstore = \"sqlite:unused\"\noutbox_wakeups_max = 100\nintake.tokens_file = \"{}\"\nintake.listen = \"127.0.0.1:0\"\n[push.mix]\nmode = \"batch\"\nwindow_s = 10\n",
        file.display()
    );
    PushApp::start_on_text(Arc::new(MemoryStore::default()), &text).await
}

async fn send(app: &PushApp, caller: &str, token: &str) -> Answer {
    let body = json!({"deviceTokens": [token], "messageType": "checkEchoV1"}).to_string();
    let headers = [("content-type", "application/json"), ("authorization", caller)];
    app.client.call(Method::POST, "/v1/message/fcm", &headers, body.into()).await
}

/// Sends until something is refused; returns how many were accepted, and the refusal.
async fn send_until_refused(app: &PushApp, caller: &str, name: &str) -> (usize, Answer) {
    for count in 0..200 {
        let answer = send(app, caller, &format!("{name}-{count}")).await;
        if answer.status != 200 {
            return (count, answer);
        }
    }
    panic!("nothing is ever refused");
}

#[tokio::test]
async fn a_greedy_caller_leaves_room_for_others() {
    let dir = Dir::new();
    let app = shared(&dir, "greedy-token-0123456789\nmodest-token-0123456789\n").await;
    let (accepted, refused) = send_until_refused(&app, GREEDY, "greedy").await;
    assert_eq!(accepted, 81, "four fifths, and the one that went beyond");
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (503, "over-share"));
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert!(!refused.text.contains("greedy-81"));
    for count in 0..10 {
        let answer = send(&app, MODEST, &format!("modest-{count}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(send(&app, GREEDY, "greedy-again").await.problem(), "over-share");
    // When theirs has left they are let in again.
    app.end_window();
    app.sender.sent(91).await;
    PushApp::turns().await;
    assert_eq!(send(&app, GREEDY, "greedy-later").await.status, 200);
    assert_eq!(app.ledger().await.accepted, 92, "no refusal leaves");
}

#[tokio::test]
async fn a_caller_alone_may_have_all_of_it() {
    let dir = Dir::new();
    let app = shared(&dir, "greedy-token-0123456789\n").await;
    let (accepted, refused) = send_until_refused(&app, GREEDY, "greedy").await;
    assert_eq!((accepted, refused.problem().as_str()), (100, "outbox-full"));
}

/// Users with a device each.
async fn register(app: &PushApp, users: &[String]) {
    for user in users {
        let body = json!({"provider": "fcm", "token": format!("of-{user}")});
        let path = format!("/v1/users/{user}/subscriptions");
        assert_eq!(app.client.post(&path, &body).await.status, 201);
    }
}

#[tokio::test]
async fn an_announcement_to_very_many_does_not_hold_up_a_mention() {
    let more = "[push.events.announcement]\nspread_s = 100\n";
    let app = PushApp::start_on(Arc::new(MemoryStore::default()), more).await;
    let users: Vec<String> = (0..400).map(|number| format!("user-{number}")).collect();
    register(&app, &users).await;
    // As it comes: in pieces.
    for piece in users.chunks(50) {
        let body = json!({"users": piece, "type": "announcement"});
        assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
    }
    let mention = json!({"users": ["user-7"], "type": "mention"});
    assert_eq!(app.client.post("/v1/notifications", &mention).await.status, 202);
    let mut batches = Vec::new();
    for _ in 0..10 {
        let before = app.sender.count();
        app.pass_window().await;
        batches.push(app.sender.count() - before);
    }
    let first = app.sender.sent(batches[0]).await;
    let with_first = first.iter().take(batches[0]).any(|push| push.token.expose() == "of-user-7");
    assert!(with_first, "the mention leaves with its window");
    // 40 in each window, standard deviation 6; five of them. The mention may be one more.
    assert!(batches.iter().all(|batch| batch.abs_diff(40) <= 31), "{batches:?}");
    let all: usize = batches.iter().sum();
    assert!(all == 400 || all == 401, "{batches:?}");
    assert_eq!(app.ledger().await.settled(Settled::Sent), all as u64);
}

#[tokio::test]
async fn how_long_something_is_spread_is_its_callers_word_if_they_say_any() {
    let app = PushApp::start().await;
    let users: Vec<String> = (0..60).map(|number| format!("user-{number}")).collect();
    register(&app, &users).await;
    let body = json!({"users": users, "type": "news", "spread_s": 30});
    let answer = app.client.post("/v1/notifications", &body).await;
    assert_eq!(answer.status, 202);
    let path = format!("/v1/notifications/{}", answer.json()["id"].as_str().unwrap());
    app.pass_window().await;
    let first = app.sender.count();
    assert!((5..=40).contains(&first), "{first}");
    assert_ne!(app.client.get(&path).await.json()["state"], "sent", "not all of it has left");
    app.pass_window().await;
    app.pass_window().await;
    assert_eq!(app.sender.count(), 60);
    for bad in [json!(0), json!(86_401), json!("1"), json!(-1)] {
        let body = json!({"users": ["user-1"], "type": "news", "spread_s": bad});
        let answer = app.client.post("/v1/notifications", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains("spread_s"), "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_spread_waits_out_trouble_like_anything_else() {
    let more = "[push.events.announcement]\nspread_s = 30\n";
    let app = PushApp::start_on(Arc::new(MemoryStore::default()), more).await;
    let users: Vec<String> = (0..30).map(|number| format!("user-{number}")).collect();
    register(&app, &users).await;
    let body = json!({"users": users, "type": "announcement", "ttl_s": 5});
    assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
    app.sender.answer(std::iter::repeat_n(Outcome::PayloadError, 3));
    for _ in 0..3 {
        app.pass_window().await;
    }
    let ledger = app.ledger().await;
    assert_eq!(ledger.settled(Settled::PayloadError), 3);
    assert_eq!(ledger.settled(Settled::Sent), 27, "its time to live counts from its own window");
    assert!(app.clock.now().since(PushApp::START) >= Duration::from_s(30));
}
