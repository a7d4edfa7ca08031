//! What every module has from `MediaWiki`'s core: a real wiki and the facade are asked the same, and answer the same.

use http::Method;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, Client, PushApp, RealWiki, Visitor, needs_all};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{form, start, without_docref};

/// What nobody can foresee, and what is named after the module that stands for ours.
fn normal(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.len() == 42 && text.ends_with("+\\") {
                "TOKEN".clone_into(text);
            }
            *text = text.replace("echopushsubscriptions", "options");
        }
        Value::Array(items) => items.iter_mut().for_each(normal),
        Value::Object(members) => {
            if members.contains_key("curtimestamp") {
                members.insert("curtimestamp".to_owned(), json!("NOW"));
            }
            members.values_mut().for_each(normal);
        }
        _ => {}
    }
}

async fn post(client: &Client, visitor: &Visitor, pairs: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    if !visitor.cookies.is_empty() {
        headers.push(("cookie", &visitor.cookies));
    }
    client.call(Method::POST, "/w/api.php", &headers, form(pairs)).await
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Asked of both by somebody and by nobody, in each way of writing answers.
const CORE: &[Pairs<'_>] = &[
    &[("action", "query")],
    &[("action", "query"), ("meta", "tokens")],
    &[("action", "query"), ("meta", "tokens|userinfo")],
    &[("action", "query"), ("meta", "tokens"), ("type", "csrf|nosuch")],
    &[("action", "query"), ("meta", "tokens"), ("type", "nosuch|other")],
    &[("action", "query"), ("meta", "tokens"), ("type", "")],
    &[("action", "query"), ("meta", "nosuch")],
    &[("action", "query"), ("meta", "nosuch|userinfo|other")],
    &[("action", "query"), ("meta", "\u{1f}userinfo\u{1f}tokens")],
    &[("action", "query"), ("meta", "userinfo"), ("uiprop", "nosuch")],
    &[("action", "query"), ("meta", "userinfo"), ("blah", "1"), ("bleh", "2")],
    &[("action", "query"), ("meta", "userinfo"), ("blah", "")],
    &[("action", "query"), ("list", "nosuch")],
    &[
        ("action", "query"),
        ("meta", "userinfo"),
        ("requestid", "a\"\u{e9}<"),
        ("curtimestamp", "1"),
    ],
    &[("action", "query"), ("responselanginfo", "1")],
    &[("action", "query"), ("assert", "user")],
    &[("action", "query"), ("assert", "anon")],
    &[("action", "query"), ("assert", "nosuch")],
    &[("action", "query"), ("assertuser", "Alice")],
    &[("action", "query"), ("assertuser", "Bob")],
    &[("action", "query"), ("maxlag", "abc"), ("assert", "nosuch")],
    &[("action", "query"), ("maxlag", "5")],
    &[("action", "nosuch"), ("maxlag", "abc")],
    &[("action", "nosuch\u{1f600}"), ("blah", "1")],
    &[("action", "")],
    &[("action", "query"), ("errorformat", "nosuch")],
];

const WAYS: &[Pairs<'_>] = &[
    &[("format", "json")],
    &[("format", "json"), ("utf8", "")],
    &[("format", "json"), ("formatversion", "2")],
    &[("format", "json"), ("formatversion", "2"), ("ascii", "1")],
    &[("format", "json"), ("formatversion", "latest"), ("errorformat", "plaintext")],
    &[("format", "json"), ("formatversion", "1"), ("errorformat", "plaintext")],
    &[("format", "json"), ("formatversion", "2"), ("errorformat", "wikitext")],
    &[("format", "json"), ("formatversion", "2"), ("errorformat", "html")],
    &[("format", "json"), ("formatversion", "2"), ("errorformat", "none")],
    &[("format", "none")],
];

/// Those of a module that writes: `options` stands for it, which core has.
const WRITING: &[Pairs<'_>] = &[
    &[],
    &[("token", "")],
    &[("token", "abc+\\")],
    &[("token", "abc"), ("blah", "1")],
    &[("token", "abc"), ("assert", "anon")],
];

fn compare(ours: &Answer, theirs: &Answer, what: &str) {
    assert_eq!(ours.status, theirs.status, "{what}");
    for name in ["mediawiki-api-error", "content-type", "x-content-type-options"] {
        assert_eq!(
            ours.headers.get(name),
            theirs.headers.get(name),
            "{name} of {what}: {}",
            ours.text
        );
    }
    let [ours_json, theirs_json] = [ours, theirs].map(|answer| {
        let mut value = without_docref(answer.json());
        normal(&mut value);
        value
    });
    assert_eq!(ours_json, theirs_json, "{what}");
    // Escaped or not.
    assert_eq!(ours.text.is_ascii(), theirs.text.is_ascii(), "{what}: {}", ours.text);
}

#[tokio::test]
async fn core_is_answered_as_a_real_wiki_does() {
    let Some(wiki) = RealWiki::start().await else {
        println!("{}", needs_all("the facade beside a real wiki"));
        return;
    };
    let text = format!(
        "user_requests_per_minute_max = 1000000\naddress_requests_per_minute_max = 1000000\n[push.public.auth]\nmode = \"mediawiki\"\napi = \"{}\"\nwiki = \"testwiki\"\n",
        wiki.api
    );
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &text).await;
    let real = Client::new(wiki.api.trim_end_matches("/w/api.php"));
    let alice = wiki.log_in("Alice").await;
    let mut compared = 0;
    for (number, core) in CORE.iter().enumerate() {
        for visitor in [&Visitor::default(), &alice] {
            // Each with one of the ways in turn, so that all of both are seen.
            for way in [0, 2, 4 + number % 6] {
                let pairs = [core, WAYS[way]].concat();
                let (ours, theirs) =
                    (post(app.public(), visitor, &pairs).await, post(&real, visitor, &pairs).await);
                compare(&ours, &theirs, &format!("{pairs:?} of {:?}", visitor.cookies));
                compared += 1;
            }
        }
    }
    for way in WAYS {
        let pairs = [&[("action", "nosuch\u{e9}"), ("blah", "1")], *way].concat();
        let nobody = Visitor::default();
        let (ours, theirs) =
            (post(app.public(), &nobody, &pairs).await, post(&real, &nobody, &pairs).await);
        compare(&ours, &theirs, &format!("{pairs:?}"));
    }
    for (writing, way) in WRITING.iter().flat_map(|each| [(each, WAYS[0]), (each, WAYS[4])]) {
        for visitor in [&Visitor::default(), &alice] {
            let ours =
                [&[("action", "echopushsubscriptions"), ("command", "create")], *writing, way]
                    .concat();
            let theirs = [&[("action", "options")], *writing, way].concat();
            let (ours, theirs) =
                (post(app.public(), visitor, &ours).await, post(&real, visitor, &theirs).await);
            compare(&ours, &theirs, &format!("{writing:?}"));
        }
    }
    println!("{compared} requests were answered alike");
}

/// A token that the wiki has given is as good as one of ours.
#[tokio::test]
async fn the_wikis_own_tokens_count() {
    let Some(mut wiki) = RealWiki::start().await else {
        println!("{}", needs_all("a real wiki's tokens"));
        return;
    };
    let text = format!(
        "[push.public.auth]\nmode = \"mediawiki\"\napi = \"{}\"\nwiki = \"testwiki\"\n",
        wiki.api
    );
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &text).await;
    let (mut alice, bob) = (wiki.log_in("Alice").await, wiki.log_in("Bob").await);
    let token = wiki.csrf_token(&mut alice).await;
    let pairs = |token: &str, phone: &str| {
        [
            ("action", "echopushsubscriptions"),
            ("command", "create"),
            ("provider", "fcm"),
            ("providertoken", phone),
            ("format", "json"),
            ("token", token),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let create = async |visitor: &Visitor, token: &str, phone: &str| {
        let pairs = pairs(token, phone);
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        post(app.public(), visitor, &pairs).await
    };
    let success = json!({"create": {"result": "Success"}});
    assert_eq!(create(&alice, &token, "one").await.json(), success);
    assert_eq!(create(&bob, &token, "two").await.json()["error"]["code"], "badtoken");
    // One that counts vouches for no other.
    for wrong in ["0123+\\".to_owned(), "0".repeat(1_000)] {
        assert_eq!(create(&alice, &wrong, "two").await.json()["error"]["code"], "badtoken");
    }

    // Whoever has logged out at the wiki is known here for a while, and by no token that everybody has.
    let mut bobs_phone = wiki.log_in("Bob").await;
    let before = bobs_phone.clone();
    assert_eq!(create(&bobs_phone, "0123+\\", "two").await.json()["error"]["code"], "badtoken");
    wiki.log_out(&mut bobs_phone).await;
    assert_eq!(create(&before, "+\\", "two").await.json()["error"]["code"], "badtoken");

    // Who may not edit what is private about them may not register what is private about them.
    wiki.set("$wgGroupPermissions['*']['editmyprivateinfo'] = false;");
    app.clock.advance(reveille_model::Duration::from_s(60));
    let answer = create(&alice, &token, "three").await;
    assert_eq!(answer.json()["error"]["code"], "permissiondenied", "{}", answer.text);
    wiki.set("");

    // It is down: that is said, and nobody is taken for nobody.
    wiki.stop();
    app.clock.advance(reveille_model::Duration::from_s(60));
    let answer = create(&alice, &token, "four").await;
    assert_eq!(answer.status, http::StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["mediawiki-api-error"], "internal_api_error_Unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    let nobody = Visitor::default();
    let answer = post(app.public(), &nobody, &[("action", "query"), ("format", "json")]).await;
    assert_eq!(answer.json(), json!({"batchcomplete": ""}));
}

#[tokio::test]
async fn people_see_a_page_and_what_is_no_form_has_no_parameters() {
    let app = start().await;
    let get = async |path: &str| app.public().call(Method::GET, path, &[], Vec::new()).await;
    let help = get("/w/api.php").await;
    assert_eq!(help.headers["content-type"], "text/html; charset=utf-8");
    assert!(help.text.contains("echopushsubscriptions"));
    let page = get("/w/api.php?action=query&meta=userinfo").await;
    assert!(page.text.contains("&quot;anon&quot;: &quot;&quot;"), "{}", page.text);
    let xml = get("/w/api.php?action=query&format=xml").await;
    assert_eq!(xml.headers["mediawiki-api-error"], "badvalue");
    let headers = [("content-type", "application/json")];
    let body = json!({"action": "query", "format": "json"}).to_string().into_bytes();
    let answer = app.public().call(Method::POST, "/w/api.php", &headers, body).await;
    assert!(answer.text.starts_with("<!DOCTYPE html>"), "{}", answer.text);
}

#[tokio::test]
async fn whoever_comes_too_often_is_told_in_its_words() {
    for of in ["user", "address"] {
        let many = format!("{of}_requests_per_minute_max = 1000000");
        let few = format!("{of}_requests_per_minute_max = 2");
        is_limited(&super::PUBLIC.replace(&many, &few)).await;
    }
}

async fn is_limited(public: &str) {
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), public).await;
    for limited in [false, false, true] {
        let answer =
            super::ask(&app, Some("Bob"), &[("action", "query"), ("format", "json")]).await;
        let expected = limited.then_some("ratelimited");
        assert_eq!(super::code(&answer).as_deref(), expected, "{}", answer.text);
        assert_eq!(answer.headers.contains_key("retry-after"), limited);
        assert_eq!(answer.status, http::StatusCode::OK);
    }
}
