//! What a woken app reads.

use http::{Method, StatusCode};
use reveille_model::Duration;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

use super::{act, ask, code, start};

/// Puts something into Bob's inbox, a second after what was before.
async fn notify(app: &PushApp, content: Value) {
    app.clock.advance(Duration::from_s(1));
    let body = json!({"users": ["Bob"], "type": "mention", "content": content});
    let answer = app.client.post("/v1/notifications", &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
}

async fn query(app: &PushApp, pairs: &[(&str, &str)]) -> Value {
    let answer = act(app, "Bob", &[&[("action", "query")], pairs].concat()).await;
    assert_eq!(code(&answer), None, "{}", answer.text);
    answer.json()
}

async fn notifications(app: &PushApp, pairs: &[(&str, &str)]) -> Value {
    query(app, &[&[("meta", "notifications")], pairs].concat()).await["query"]["notifications"]
        .clone()
}

fn headers(list: &Value) -> Vec<&str> {
    let items = list["list"].as_array().unwrap();
    items.iter().map(|item| item["*"]["header"].as_str().unwrap()).collect()
}

fn talk(header: &str) -> Value {
    json!({
        "header": header, "compactHeader": "short", "body": "text", "icon": "edit-user-talk",
        "iconUrl": "/icon.svg", "category": "edit-user-talk", "section": "alert",
        "title": {"full": "User talk:Bob", "namespace": "User_talk", "namespace-key": 3, "text": "Bob"},
        "agent": {"id": 3, "name": "Alice"}, "revid": 77,
        "links": {"primary": {"url": "https://wiki.example/1", "label": "View"}, "secondary": []},
        "secret": "not shown",
    })
}

#[tokio::test]
async fn an_item_is_shown_as_apps_know_it() {
    let app = start().await;
    notify(&app, talk("<b>Alice</b> left a message")).await;
    let found =
        notifications(&app, &[("notprop", "list|count|seenTime"), ("notformat", "model")]).await;
    let item = &found["list"][0];
    let id = item["id"].as_u64().unwrap();
    assert!(0 < id && id < 1 << 53, "{id}");
    assert_eq!(
        *item,
        json!({
            "wiki": "testwiki", "id": id, "type": "mention", "category": "edit-user-talk", "section": "alert",
            "timestamp": {
                "utciso8601": "2026-11-21T09:40:01Z", "utcunix": 1_795_254_001, "unix": "1795254001",
                "utcmw": "20261121094001", "mw": "20261121094001", "date": "Today",
            },
            "title": {"full": "User talk:Bob", "namespace": "User_talk", "namespace-key": 3, "text": "Bob"},
            "agent": {"id": 3, "name": "Alice"}, "revid": 77, "targetpages": [],
            "*": {
                "header": "<b>Alice</b> left a message", "compactHeader": "short", "body": "text",
                "icon": "edit-user-talk", "iconUrl": "/icon.svg",
                "links": {"primary": {"url": "https://wiki.example/1", "label": "View"}, "secondary": []},
            },
        })
    );
    assert_eq!(found["continue"], Value::Null);
    assert_eq!((&found["rawcount"], &found["count"]), (&json!(1), &json!("1")));
    let never = "1970-01-01T00:00:01Z";
    assert_eq!(found["seenTime"], json!({"alert": never, "message": never}));
    let plain = notifications(&app, &[]).await;
    assert!(plain["list"][0].get("*").is_none() && plain.get("count").is_none());
}

/// Content may be anything: what does not fit is left out, and plain text is never markup.
#[tokio::test]
async fn content_of_another_kind_is_shown_all_the_same() {
    let app = start().await;
    for content in [
        json!("a <script> & text"),
        json!(7),
        json!({"header": 7, "links": {"primary": "x", "secondary": {}}, "title": "x", "agent": [], "revid": "1"}),
    ] {
        notify(&app, content).await;
    }
    let found = notifications(&app, &[("notformat", "model")]).await;
    assert_eq!(headers(&found), ["a &lt;script&gt; &amp; text", "mention", "mention"]);
    for item in found["list"].as_array().unwrap() {
        assert_eq!(item["*"]["links"], json!({"primary": [], "secondary": []}));
        assert!(
            ["title", "agent", "revid", "read"].iter().all(|name| item.get(name).is_none()),
            "{item}"
        );
        assert_eq!((&item["category"], &item["section"]), (&json!("mention"), &json!("alert")));
    }
}

#[tokio::test]
async fn pages_go_back_in_time_and_each_is_read_forward() {
    let app = start().await;
    for number in 1..=5 {
        notify(&app, json!({"header": number.to_string(), "section": if number == 4 { "message" } else { "alert" }})).await;
    }
    let model = ("notformat", "model");
    let first = notifications(&app, &[model, ("notlimit", "2")]).await;
    assert_eq!(headers(&first), ["4", "5"]);
    let next = first["continue"].as_str().unwrap();
    let second = notifications(&app, &[model, ("notlimit", "2"), ("notcontinue", next)]).await;
    assert_eq!(headers(&second), ["2", "3"]);
    let next = second["continue"].as_str().unwrap();
    let third = notifications(&app, &[model, ("notlimit", "2"), ("notcontinue", next)]).await;
    assert_eq!((headers(&third), &third["continue"]), (vec!["1"], &Value::Null));
    // Its page is found by its time if it is gone.
    let (at, _) = next.split_once('|').unwrap();
    let gone = notifications(&app, &[model, ("notcontinue", &format!("{at}|77"))]).await;
    assert_eq!(headers(&gone), ["1"]);
    let answer =
        act(&app, "Bob", &[("action", "query"), ("meta", "notifications"), ("notcontinue", "x")])
            .await;
    assert_eq!(code(&answer).as_deref(), Some("badcontinue"));

    let grouped = notifications(
        &app,
        &[
            model,
            ("notgroupbysection", ""),
            ("notprop", "list|count|seenTime"),
            ("notalertlimit", "1"),
        ],
    )
    .await;
    assert_eq!(headers(&grouped["alert"]), ["1", "2", "3", "5"]);
    assert_eq!(headers(&grouped["message"]), ["4"]);
    assert_eq!(
        (&grouped["alert"]["rawcount"], &grouped["message"]["count"]),
        (&json!(4), &json!("1"))
    );
    assert_eq!(
        (&grouped["rawcount"], &grouped["alert"]["seenTime"]),
        (&json!(5), &json!("1970-01-01T00:00:01Z"))
    );
    assert_eq!(headers(&notifications(&app, &[model, ("notsections", "message")]).await), ["4"]);
}

#[tokio::test]
async fn what_is_read_and_seen_is_remembered() {
    let app = start().await;
    for number in 1..=3 {
        notify(&app, json!({"header": number.to_string(), "section": if number == 3 { "message" } else { "alert" }})).await;
    }
    let all = notifications(&app, &[]).await;
    let id = |place: usize| all["list"][place]["id"].to_string();
    let mark = async |pairs: &[(&str, &str)]| {
        let answer = act(&app, "Bob", &[&[("action", "echomarkread")], pairs].concat()).await;
        assert_eq!(code(&answer), None, "{}", answer.text);
        assert_eq!(answer.text.len(), 16_384, "it shows how much there is");
        json!({"query": answer.json()["query"]})
    };
    let counts = |alert: usize, message: usize| {
        let of = |count: usize| json!({"rawcount": count, "count": count.to_string()});
        json!({"query": {"echomarkread": {
            "result": "success", "alert": of(alert), "message": of(message),
            "rawcount": alert + message, "count": (alert + message).to_string(),
        }}})
    };
    assert_eq!(mark(&[]).await, counts(2, 1), "nothing is asked for");
    assert_eq!(mark(&[("list", &format!("{}|12345|x", id(0)))]).await, counts(1, 1));
    let read = notifications(&app, &[("notfilter", "read")]).await;
    assert_eq!(read["list"][0]["read"], json!("20261121094001"));
    assert_eq!(
        notifications(&app, &[("notfilter", "!read")]).await["list"].as_array().unwrap().len(),
        2
    );
    let first =
        notifications(&app, &[("notunreadfirst", ""), ("notlimit", "2"), ("notformat", "model")])
            .await;
    assert_eq!(headers(&first), ["2", "3"]);
    assert_eq!(mark(&[("unreadlist", &id(0))]).await, counts(2, 1));
    assert_eq!(mark(&[("sections", "message")]).await, counts(2, 0));
    assert_eq!(mark(&[("all", "")]).await, counts(0, 0));

    let seen = [("action", "echomarkseen"), ("type", "alert"), ("timestampFormat", "ISO_8601")];
    let answer = act(&app, "Bob", &seen).await.json();
    let at = "2026-11-21T09:40:03Z";
    assert_eq!(answer["query"]["echomarkseen"], json!({"result": "success", "timestamp": at}));
    let time = notifications(&app, &[("notprop", "seenTime")]).await;
    assert_eq!(time, json!({"seenTime": {"alert": at, "message": "1970-01-01T00:00:01Z"}}));
    let answer = act(&app, "Bob", &[("action", "echomarkseen"), ("type", "all")]).await.json();
    assert_eq!(answer["query"]["echomarkseen"]["timestamp"], json!("20261121094003"));
    assert!(answer["warnings"]["echomarkseen"]["warnings"].as_str().unwrap().contains("ISO_8601"));
}

#[tokio::test]
async fn whoever_has_read_is_not_woken_for_it() {
    let app = start().await;
    super::create(&app, "Bob", "fcm", "phone", "").await;
    notify(&app, json!("one")).await;
    act(&app, "Bob", &[("action", "echomarkread"), ("all", "")]).await;
    app.pass_window().await;
    assert_eq!(app.sender.count(), 0);
}

#[tokio::test]
async fn unread_pages_are_counted() {
    let app = start().await;
    let about = |namespace: u64, full: &str, text: &str| json!({"title": {"full": full, "namespace-key": namespace, "text": text}});
    for content in [
        about(0, "Coffee", "Coffee"),
        about(1, "Talk:Coffee", "Coffee"),
        about(1, "Talk:Coffee", "Coffee"),
        json!("about no page"),
    ] {
        notify(&app, content).await;
    }
    let pages = async |pairs: &[(&str, &str)]| {
        let pairs = [&[("meta", "unreadnotificationpages")], pairs].concat();
        query(&app, &pairs).await["query"]["unreadnotificationpages"]["testwiki"].clone()
    };
    let found = pages(&[]).await;
    assert_eq!(
        found["pages"],
        json!([{"title": "Talk:Coffee", "count": 2}, {"title": "Coffee", "count": 1}, {"title": null, "count": 1}])
    );
    assert_eq!(found["totalCount"], json!(4));
    assert_eq!(found["source"]["title"], json!("testwiki"));
    let grouped = pages(&[("unpgrouppages", "")]).await;
    assert_eq!(
        grouped["pages"],
        json!([{"ns": 0, "title": "Talk:Coffee", "unprefixed": "Coffee", "pages": ["Talk:Coffee", "Coffee"], "count": 3}])
    );
    assert_eq!(pages(&[("unplimit", "1")]).await["pages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn strangers_and_forgers_read_and_mark_nothing() {
    let app = start().await;
    notify(&app, json!("secret")).await;
    for meta in ["notifications", "unreadnotificationpages"] {
        let answer =
            ask(&app, None, &[("action", "query"), ("meta", meta), ("format", "json")]).await;
        assert_eq!(code(&answer).as_deref(), Some("login-required"));
        assert_eq!(answer.json()["error"]["info"], json!("You must be logged in."));
    }
    for (user, token, expected) in [
        (Some("Bob"), "", "missingparam"),
        (Some("Bob"), "+\\", "badtoken"),
        (None, "+\\", "login-required"),
    ] {
        let pairs = [("action", "echomarkread"), ("all", ""), ("token", token), ("format", "json")];
        assert_eq!(code(&ask(&app, user, &pairs).await).as_deref(), Some(expected));
    }
    for (user, kind, expected) in
        [(None, "", "missingparam"), (None, "zz", "badvalue"), (None, "all", "login-required")]
    {
        let pairs = [("action", "echomarkseen"), ("type", kind), ("format", "json")];
        assert_eq!(code(&ask(&app, user, &pairs).await).as_deref(), Some(expected));
    }
    let counts = notifications(&app, &[("notprop", "count")]).await;
    assert_eq!(counts, json!({"rawcount": 1, "count": "1"}));
}

/// Whoever sees lengths only does not see whether there was something new.
#[tokio::test]
async fn what_shows_an_inbox_is_equally_long() {
    let app = start().await;
    let path = "/w/api.php?action=query&meta=notifications|unreadnotificationpages&notprop=list|count&notformat=model&format=json";
    let mut lengths = Vec::new();
    for version in ["1", "2"] {
        for content in [None, Some(json!({"header": "é".repeat(500)})), Some(json!("x"))] {
            if let Some(content) = content {
                notify(&app, content).await;
            }
            let path = format!("{path}&formatversion={version}");
            let answer =
                app.public().call(Method::GET, &path, &[("x-user", "Bob")], Vec::new()).await;
            assert!(answer.json()["query"]["notifications"]["list"].is_array());
            lengths.push(answer.text.len());
        }
    }
    assert_eq!(lengths, [16_384; 6]);
}

/// Where there is no inbox there are no modules over it.
#[tokio::test]
async fn without_an_inbox_its_modules_are_unknown() {
    let public = super::PUBLIC.replace("enabled = true", "enabled = false");
    let store = std::sync::Arc::new(reveille_store::memory::MemoryStore::default());
    let app = PushApp::start_public(store, &public).await;
    for action in ["echomarkread", "echomarkseen"] {
        let answer = ask(&app, Some("Bob"), &[("action", action), ("format", "json")]).await;
        assert_eq!(code(&answer).as_deref(), Some("badvalue"));
    }
    let pairs = [("action", "query"), ("meta", "notifications|userinfo"), ("format", "json")];
    let answer = ask(&app, Some("Bob"), &pairs).await.json();
    assert_eq!(
        answer["warnings"]["query"]["*"],
        json!("Unrecognized value for parameter \"meta\": notifications")
    );
}
