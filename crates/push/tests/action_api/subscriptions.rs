//! `action=echopushsubscriptions`: each row of the table of its checks, in their order, and what it changes.

use std::sync::Arc;

use http::{Method, StatusCode};
use reveille_model::Duration;
use reveille_model::Outcome;
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::json;

use super::{act, ask, code, create, csrf, delete, form, start};

/// Row of the contract; who asks; what, beside `action` and `format`; code; words. `OWN` is a token of Bob's, `51` so many values.
const ROWS: &str = "
1  | -     | assert=user&command=x                                  | assertuserfailed | You are no longer logged in, so the action could not be completed.
1  | Bob   | assert=anon&command=x                                  | assertanonfailed | You are no longer logged out, so the action could not be completed.
2  | -     |                                                        | missingparam | The \"command\" parameter must be set.
2  | -     | command=list&provider=x                                | badvalue | Unrecognized value for parameter \"command\": list.
3  | -     | command=create&provider=x                              | missingparam | The \"token\" parameter must be set.
5  | Bob   | command=create&token=abc%2B%5C&provider=x              | badtoken | Invalid CSRF token.
5  | Bob   | command=create&token=%2B%5C&provider=x                 | badtoken | Invalid CSRF token.
5  | Carol | command=create&token=OWN&provider=x                    | badtoken | Invalid CSRF token.
7  | -     | command=create&token=%2B%5C&provider=x                 | notloggedin | You must be logged in to edit your private information.
9  | Bob   | command=create&token=OWN                               | missingparam | The \"provider\" parameter must be set.
9  | Bob   | command=create&token=OWN&provider=                     | missingparam | The \"provider\" parameter must be set.
9  | Bob   | command=create&token=OWN&provider=apns                 | missingparam | The \"providertoken\" parameter must be set.
9  | Bob   | command=create&token=OWN&provider=fcm&providertoken=   | missingparam | The \"providertoken\" parameter must be set.
10 | Bob   | command=create&token=OWN&provider=FCM                  | badvalue | Unrecognized value for parameter \"provider\": FCM.
10 | Bob   | command=create&token=OWN&provider=webpush&providertoken=t | badvalue | Unrecognized value for parameter \"provider\": webpush.
11 | Bob   | command=create&token=OWN&provider=apns&providertoken=aa | echo-push-topic-required | The topic field is required for this provider.
11 | Bob   | command=create&token=OWN&provider=apns&providertoken=aa&topic= | echo-push-topic-required | The topic field is required for this provider.
11 | Bob   | command=create&token=OWN&provider=apns&providertoken=aa&topic=0 | echo-push-topic-required | The topic field is required for this provider.
12 | Bob   | command=create&token=OWN&provider=fcm&providertoken=known | echo-push-token-exists | The provided token already exists in the database.
13 | Bob   | command=delete&token=OWN                               | missingparam | The \"providertoken\" parameter must be set.
13 | Bob   | command=delete&token=OWN&providertoken=                | paramempty_providertoken | The parameter \"providertoken\" may not be empty.
14 | Bob   | command=delete&token=OWN&providertoken=51              | toomanyvalues | Too many values supplied for parameter \"providertoken\". The limit is 50.
15 | Bob   | command=delete&token=OWN&providertoken=one%7Ctwo       | echo-push-token-not-found | The provided token was not found in the database.
";

/// What no provider can have given, or no app of ours has, could never be woken: it is not taken to be forgotten.
const OURS: &str = "
10 | Bob   | command=create&token=OWN&provider=apns&providertoken=no-hex&topic=org.wikimedia.wikipedia | badvalue | Unrecognized value for parameter \"providertoken\".
10 | Bob   | command=create&token=OWN&provider=fcm&providertoken=caf%C3%A9 | badvalue | Unrecognized value for parameter \"providertoken\".
10 | Bob   | command=create&token=OWN&provider=apns&providertoken=aa&topic=org.other | badvalue | Unrecognized value for parameter \"topic\": org.other.
";

/// A request that is wrong in this way and in every way that comes later is refused for this one.
#[tokio::test]
async fn what_is_wrong_is_said_in_the_order_of_a_wiki() {
    let app = start().await;
    let own = csrf(&app, Some("Bob")).await;
    create(&app, "Bob", "fcm", "known", "").await;
    for row in ROWS.lines().chain(OURS.lines()).filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let &[_, user, asked, expected, text] = cells.as_slice() else { panic!("{row}") };
        let mut pairs: Vec<(String, String)> =
            form_urlencoded::parse(asked.as_bytes()).into_owned().collect();
        for (_, value) in &mut pairs {
            match value.as_str() {
                "OWN" => value.clone_from(&own),
                "51" => *value = vec!["t"; 51].join("|"),
                _ => {}
            }
        }
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let always = [("action", "echopushsubscriptions"), ("format", "json")];
        let pairs: Vec<(&str, &str)> = always.into_iter().chain(pairs).collect();
        let answer = ask(&app, Some(user).filter(|user| *user != "-"), &pairs).await;
        assert_eq!(answer.status, StatusCode::OK, "{row}");
        assert_eq!(code(&answer).as_deref(), Some(expected), "{row}");
        let error = answer.json()["error"].as_object().unwrap().clone();
        assert_eq!(error["info"], json!(text), "{row}");
        let members = if expected == "toomanyvalues" { 6 } else { 3 };
        assert_eq!(error.len(), members, "{row}: {error:?}");
    }
}

/// Row 4: what may be logged is refused even by POST, and before the method is.
#[tokio::test]
async fn a_token_in_the_query_string_is_refused() {
    let app = start().await;
    let token = csrf(&app, Some("Bob")).await;
    let query: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let path = "/w/api.php?action=echopushsubscriptions&command=delete&providertoken=x&format=json";
    let headers = [("x-user", "Bob"), ("content-type", "application/x-www-form-urlencoded")];
    for (method, path, body, expected) in [
        (Method::GET, format!("{path}&token={query}"), Vec::new(), "mustpostparams"),
        (
            Method::POST,
            format!("{path}&token={query}"),
            form(&[("token", &token)]),
            "mustpostparams",
        ),
        (Method::GET, path.to_owned(), Vec::new(), "missingparam"),
        (Method::POST, path.to_owned(), form(&[("token", &token)]), "echo-push-token-not-found"),
    ] {
        let answer = app.public().call(method, &path, &headers, body).await;
        assert_eq!(code(&answer).as_deref(), Some(expected), "{path}");
    }
}

/// Row 6: a store that takes nothing now is a wiki that is read-only.
#[tokio::test]
async fn a_store_that_takes_nothing_now_is_read_only() {
    let public = super::PUBLIC;
    let more = format!(
        "outbox_wakeups_max = 1\n[push.subscriptions]\nverify = true\n[push.public]\nlisten = \"127.0.0.1:0\"\n{public}"
    );
    let app = PushApp::start_on(Arc::new(MemoryStore::default()), &more).await;
    let path = "/v1/users/Bob/subscriptions";
    app.client.post(path, &json!({"provider": "fcm", "token": "one"})).await;
    app.client.post("/v1/notifications", &json!({"users": ["Bob"], "type": "mention"})).await;
    let answer = create(&app, "Bob", "fcm", "two", "").await;
    assert_eq!((answer.status, code(&answer).as_deref()), (StatusCode::OK, Some("readonly")));
    let error = &answer.json()["error"];
    assert_eq!(error["info"], json!("The wiki is currently in read-only mode."));
    assert!(error["readonlyreason"].is_string());
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn what_is_created_is_woken_and_what_is_deleted_is_not() {
    let app = start().await;
    let success = |command: &str| json!({command: {"result": "Success"}});
    assert_eq!(create(&app, "Bob", "fcm", "phone:a|b", "").await.json(), success("create"));
    let topic = "org.wikimedia.wikipedia";
    assert_eq!(create(&app, "Bob", "apns", "AABB", topic).await.json(), success("create"));
    let wake = async || {
        let before = (app.sender.count(), app.apns.count());
        let body = json!({"users": ["Bob"], "type": "mention"});
        assert_eq!(app.client.post("/v1/notifications", &body).await.status, StatusCode::ACCEPTED);
        app.pass_window().await;
        (app.sender.count() - before.0, app.apns.count() - before.1)
    };
    assert_eq!(wake().await, (1, 1));
    // Of some that are known one is enough, and one that holds a pipe is named the other way.
    assert_eq!(delete(&app, "Bob", "aabb|unknown").await.json(), success("delete"));
    assert_eq!(wake().await, (1, 0));
    assert_eq!(delete(&app, "Bob", "\u{1f}phone:a|b").await.json(), success("delete"));
    assert_eq!(wake().await, (0, 0));
}

#[tokio::test]
async fn a_token_that_is_known_is_refreshed_or_moves_to_whoever_has_it_now() {
    let app = start().await;
    create(&app, "Bob", "fcm", "phone", "").await;
    let at = |answer: &reveille_testkit::Answer| answer.json()[0]["refreshed_at"].clone();
    let before = at(&app.client.get("/v1/users/Bob/subscriptions").await);
    app.clock.advance(Duration::from_s(60));
    let answer = create(&app, "Bob", "fcm", "phone", "").await;
    assert_eq!(code(&answer).as_deref(), Some("echo-push-token-exists"));
    assert_ne!(at(&app.client.get("/v1/users/Bob/subscriptions").await), before, "it is refreshed");

    let answer = create(&app, "Carol", "fcm", "phone", "").await;
    assert_eq!(code(&answer).as_deref(), Some("echo-push-token-exists"));
    let count = async |user: &str| {
        let answer = app.client.get(&format!("/v1/users/{user}/subscriptions")).await;
        answer.json().as_array().unwrap().len()
    };
    assert_eq!((count("Bob").await, count("Carol").await), (0, 1), "the phone is Carol's now");
}

/// The reference loses the oldest device to a registration that fails, and dies at a cap of 0.
#[tokio::test]
async fn at_the_cap_the_oldest_makes_room_and_only_for_what_is_new() {
    let more = format!(
        "[push.subscriptions]\nper_user_max = 2\n[push.public]\nlisten = \"127.0.0.1:0\"\n{}",
        super::PUBLIC
    );
    let app = PushApp::start_on(Arc::new(MemoryStore::default()), &more).await;
    for token in ["one", "two"] {
        create(&app, "Bob", "fcm", token, "").await;
        app.clock.advance(Duration::from_s(1));
    }
    let answer = create(&app, "Bob", "fcm", "two", "").await;
    assert_eq!(code(&answer).as_deref(), Some("echo-push-token-exists"));
    assert_eq!(delete(&app, "Bob", "one").await.json()["delete"]["result"], "Success");
    app.clock.advance(Duration::from_s(1));
    create(&app, "Bob", "fcm", "three", "").await;
    create(&app, "Bob", "fcm", "four", "").await;
    assert_eq!(
        code(&delete(&app, "Bob", "two").await).as_deref(),
        Some("echo-push-token-not-found")
    );
    assert_eq!(code(&delete(&app, "Bob", "three|four").await), None);
}

#[tokio::test]
async fn a_manager_deletes_everybodys_and_creates_for_nobody_else() {
    let app = start().await;
    create(&app, "Bob", "fcm", "bobs", "").await;
    create(&app, "Carol", "apns", "cc", "org.wikimedia.wikipedia").await;
    assert_eq!(
        code(&delete(&app, "Alice", "bobs|cc").await).as_deref(),
        Some("echo-push-token-not-found")
    );
    assert_eq!(code(&delete(&app, "PushBot", "bobs|cc|nobodys").await), None);
    for user in ["Bob", "Carol"] {
        let answer = app.client.get(&format!("/v1/users/{user}/subscriptions")).await;
        assert_eq!(answer.json(), json!([]), "{user}");
    }
    let rights = [("action", "query"), ("meta", "userinfo"), ("uiprop", "rights|groups")];
    let info = act(&app, "PushBot", &rights).await.json();
    assert_eq!(
        info["query"]["userinfo"]["rights"],
        json!(["editmyprivateinfo", "manage-all-push-subscriptions"])
    );
    assert_eq!(
        info["query"]["userinfo"]["groups"],
        json!(["*", "user", "push-subscription-manager"])
    );
}

/// The official app for Android says `provider` when it deletes.
#[tokio::test]
async fn what_is_not_known_is_warned_of() {
    let app = start().await;
    create(&app, "Bob", "fcm", "phone", "").await;
    let pairs = [
        ("action", "echopushsubscriptions"),
        ("command", "delete"),
        ("provider", "fcm"),
        ("providertoken", "phone"),
        ("centraluserid", "1"),
    ];
    let answer = act(&app, "Bob", &pairs).await.json();
    let warning = "Unrecognized parameters: provider, centraluserid.";
    assert_eq!(
        answer,
        json!({"warnings": {"main": {"warnings": warning}}, "delete": {"result": "Success"}})
    );
}

/// Nothing of it is in an error.
#[tokio::test]
async fn no_answer_repeats_a_token() {
    let app = start().await;
    for (provider, topic) in
        [("apns", "org.wikimedia.wikipedia"), ("apns", "x"), ("fcm", ""), ("gcm", "")]
    {
        for token in ["planted-secret", "planted-secret\u{e9}"] {
            let answer = create(&app, "Bob", provider, token, topic).await;
            assert!(!answer.text.contains("planted"), "{}", answer.text);
        }
    }
    assert!(!delete(&app, "Bob", "planted-other").await.text.contains("planted"));
}

#[tokio::test]
async fn a_device_that_died_is_gone_here_too() {
    let app = start().await;
    create(&app, "Bob", "fcm", "phone", "").await;
    app.sender.answer([Outcome::DropSubscription(reveille_model::Proof::Unguarded)]);
    let body = json!({"users": ["Bob"], "type": "mention"});
    app.client.post("/v1/notifications", &body).await;
    app.pass_window().await;
    app.sender.sent(1).await;
    PushApp::turns().await;
    assert_eq!(
        code(&delete(&app, "Bob", "phone").await).as_deref(),
        Some("echo-push-token-not-found")
    );
}
