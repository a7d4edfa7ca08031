//! What a wiki may do to us: what is deleted is exactly what is gone, once it is back.

use http::header::HOST;
use reveille_model::{Delay, Duration, Outcome};
use reveille_testkit::PushApp;
use serde_json::json;

use crate::wiki::State;
use crate::{DEAD, Rig, tokens};

#[tokio::test]
async fn the_dead_are_deleted_and_nobody_else() {
    let rig = Rig::start().await;
    let (dead, alive) = (tokens("dead", 3), tokens("alive", 3));
    let pipe = ["with|a|pipe".to_owned()];
    rig.wiki.subscribe(&[&dead[..], &alive[..], &pipe[..]].concat());
    rig.wake(&alive[..1], Outcome::Accepted).await;
    rig.wake(&alive[1..2], Outcome::PayloadError).await;
    rig.wake(&alive[2..], Outcome::RetryMessage(Delay::Unanswered)).await;
    rig.wait(30).await;
    assert_eq!(rig.wiki.inner().logins, 0, "nothing is to be said");
    rig.die(&dead[..2]).await;
    let seconds = rig.until("two are gone", |wiki| wiki.tokens.len() == 5).await;
    assert!(seconds < 60, "the wiki was told after {seconds} s");
    rig.die(&[&dead[2..], &pipe[..]].concat()).await;
    rig.until("all are gone", |wiki| wiki.tokens.len() == 3).await;
    assert_eq!(rig.wiki.inner().tokens, alive.into_iter().collect());
    assert_eq!(rig.wiki.inner().logins, 1, "a session is kept");
    for request in rig.wiki.receiver.delivered() {
        assert_eq!(request.headers.get(HOST).unwrap(), "meta.example.org");
        assert_eq!(request.headers.get("x-forwarded-proto").unwrap(), "https");
    }
    // What the wiki does not know is gone already.
    rig.die(&tokens("unknown", 1)).await;
    rig.until("it was asked", |wiki| wiki.deletions.iter().sum::<usize>() == 5).await;
    rig.wait(60).await;
    assert_eq!(rig.wiki.inner().deletions.iter().sum::<usize>(), 5, "once");
}

#[tokio::test]
async fn a_token_of_apple_is_found_however_the_app_wrote_it() {
    let rig = Rig::start().await;
    let written = ["00ABCDEF", "00fedcba", "12345678"].map(str::to_owned);
    rig.wiki.subscribe(&written);
    rig.app.apns.answer([DEAD; 3]);
    let body = json!({
        "deviceTokens": written, "messageType": "checkEchoV1", "topic": PushApp::TOPICS[0],
    });
    assert_eq!(rig.app.client.post("/v1/message/apns", &body).await.status, 200);
    rig.app.end_window();
    rig.app.apns.sent(3).await;
    rig.until("all are gone", |wiki| wiki.tokens.is_empty()).await;
    assert_eq!(rig.wiki.inner().deletions.iter().sum::<usize>(), 5);
}

#[tokio::test]
async fn whatever_happens_to_the_wiki_what_is_gone_is_deleted_once_it_is_back() {
    let states = [
        // It says when to come again.
        (State::Down, 3_600, 8),
        (State::ReadOnly, 600, 16),
        (State::Html, 600, 16),
        (State::Truncated, 600, 16),
        (State::Lagged, 60, 16),
        (State::Throttled, 400, 8),
        (State::OtherPassword, 400, 8),
    ];
    for (state, seconds, requests_max) in states {
        let mut rig = Rig::start().await;
        let (first, dead, alive) = (tokens("first", 1), tokens("dead", 60), tokens("alive", 5));
        rig.wiki.subscribe(&[&first[..], &dead[..], &alive[..]].concat());
        rig.die(&first).await;
        rig.until("a session", |wiki| wiki.tokens.len() == 65).await;
        rig.wiki.becomes(state);
        if matches!(state, State::Throttled | State::OtherPassword) {
            rig.wiki.loses_sessions();
        }
        let before = rig.wiki.receiver.delivered().len();
        rig.die(&dead).await;
        rig.wait(seconds).await;
        assert_eq!(rig.wiki.inner().tokens.len(), 65, "{state:?}");
        let asked = rig.wiki.receiver.delivered().len() - before;
        assert!(asked <= requests_max, "{state:?}: {asked} requests in {seconds} s");
        // A restart loses nothing, and one of them turns out to live.
        rig.restart().await;
        rig.wake(&dead[..1], Outcome::Accepted).await;
        rig.wiki.becomes(State::Well);
        rig.until("all are gone", |wiki| wiki.tokens.len() <= 6).await;
        let left = alive.iter().chain(&dead[..1]).cloned().collect();
        assert_eq!(rig.wiki.inner().tokens, left, "{state:?}");
    }
}

#[tokio::test]
async fn a_session_lost_in_the_middle_is_made_anew() {
    let rig = Rig::start().await;
    let dead = tokens("dead", 120);
    rig.wiki.subscribe(&dead);
    rig.die(&dead[..60]).await;
    rig.until("some are gone", |wiki| wiki.tokens.len() == 60).await;
    rig.wiki.loses_sessions();
    rig.die(&dead[60..]).await;
    let seconds = rig.until("all are gone", |wiki| wiki.tokens.is_empty()).await;
    assert_eq!((rig.wiki.inner().logins, seconds < 60), (2, true), "at once: {seconds} s");
}

/// The account has another password than the file, until somebody puts the right one there.
#[tokio::test]
async fn a_password_that_is_mended_is_taken_without_a_restart() {
    let rig = Rig::start().await;
    let (dead, file) = (tokens("dead", 1), rig.dir.join("password"));
    std::fs::write(&file, "the one before").unwrap();
    rig.wait(10).await;
    rig.wiki.subscribe(&dead);
    rig.die(&dead).await;
    rig.until("a login that fails", |wiki| wiki.logins > 0).await;
    rig.wait(60).await;
    assert_eq!(rig.wiki.inner().tokens.len(), 1);
    std::fs::write(&file, crate::PASSWORD).unwrap();
    rig.until("it is gone", |wiki| wiki.tokens.is_empty()).await;
}

#[tokio::test]
async fn an_account_without_the_rights_is_told_of_and_deletes_nothing() {
    let rig = Rig::start().await;
    let dead = tokens("dead", 1);
    rig.wiki.subscribe(&dead);
    rig.wiki.inner().rights = vec!["read", "editmyprivateinfo"];
    rig.die(&dead).await;
    rig.wait(100).await;
    assert_eq!(
        rig.wiki.inner().deletions,
        [0; 0],
        "the wiki would say that it knows no such token"
    );
    rig.wiki.inner().rights.push("manage-all-push-subscriptions");
    rig.until("it is gone", |wiki| wiki.tokens.is_empty()).await;
}

#[tokio::test]
async fn what_no_wiki_takes_for_a_week_is_given_up_and_dies_again() {
    for state in [State::OtherPassword, State::Down] {
        let rig = Rig::start().await;
        let (dead, later) = (tokens("dead", 3), tokens("later", 1));
        rig.wiki.subscribe(&[&dead[..], &later[..]].concat());
        rig.wiki.becomes(state);
        rig.die(&dead).await;
        rig.app.clock.advance(Duration::from_s(8 * 86_400));
        rig.die(&later).await;
        rig.wait(10).await;
        rig.wiki.becomes(State::Well);
        rig.until("the later one is gone", |wiki| wiki.tokens.len() == 3).await;
        rig.wait(100).await;
        assert_eq!(rig.wiki.inner().tokens, dead.iter().cloned().collect(), "{state:?}");
        rig.die(&dead[..1]).await;
        rig.until("it is told", |wiki| wiki.tokens.len() == 2).await;
    }
}

#[tokio::test]
async fn ten_thousand_at_once_are_deleted_in_calls_that_the_wiki_takes() {
    for (values_max, right) in [(50, "read"), (500, "apihighlimits")] {
        let rig = Rig::start().await;
        let dead = tokens("dead", 10_000);
        rig.wiki.subscribe(&dead);
        rig.wiki.inner().values_max = values_max;
        rig.wiki.inner().rights.push(right);
        rig.wiki.becomes(State::Down);
        rig.die(&dead).await;
        rig.wiki.becomes(State::Well);
        rig.until("all are gone", |wiki| wiki.tokens.is_empty()).await;
        let deletions = rig.wiki.inner().deletions.clone();
        assert_eq!(deletions.iter().sum::<usize>(), 10_000, "each once");
        assert_eq!(deletions.iter().max(), Some(&values_max));
    }
}
