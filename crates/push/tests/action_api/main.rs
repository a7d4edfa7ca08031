//! The Action API facade: what apps that know a wiki with the extension Echo ask, and what they are answered.
#![cfg(test)]

mod captured;
mod core;
mod inbox;
mod soup;
mod subscriptions;

use std::sync::Arc;

use http::Method;
use reveille_store::Store;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, PushApp};
use serde_json::{Value, json};

const PUBLIC: &str = "user_requests_per_minute_max = 1000000\naddress_requests_per_minute_max = 1000000\n[push.public.mediawiki]\nmanagers = [\"PushBot\"]\nwiki = \"testwiki\"\n[push.public.auth]\nmode = \"header\"\nheader = \"X-User\"\npeers = [\"127.0.0.1\"]\n[push.inbox]\nenabled = true\n";

async fn start() -> PushApp {
    start_on(Arc::new(MemoryStore::default())).await
}

async fn start_on(store: Arc<dyn Store>) -> PushApp {
    PushApp::start_public(store, PUBLIC).await
}

fn form(pairs: &[(&str, &str)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
}

/// Posts a form as somebody, or as nobody.
async fn ask(app: &PushApp, user: Option<&str>, pairs: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(user.map(|user| ("x-user", user)));
    app.public().call(Method::POST, "/w/api.php", &headers, form(pairs)).await
}

async fn csrf(app: &PushApp, user: Option<&str>) -> String {
    let pairs = [("action", "query"), ("meta", "tokens"), ("format", "json")];
    let answer = ask(app, user, &pairs).await.json();
    answer.pointer("/query/tokens/csrftoken").and_then(Value::as_str).unwrap().to_owned()
}

/// The same with what is in every request of an app.
async fn act(app: &PushApp, user: &str, pairs: &[(&str, &str)]) -> Answer {
    let token = csrf(app, Some(user)).await;
    let common = [("format", "json"), ("formatversion", "2"), ("token", token.as_str())];
    ask(app, Some(user), &[&common, pairs].concat()).await
}

async fn create(app: &PushApp, user: &str, provider: &str, token: &str, topic: &str) -> Answer {
    let mut pairs = vec![
        ("action", "echopushsubscriptions"),
        ("command", "create"),
        ("provider", provider),
        ("providertoken", token),
    ];
    pairs.extend((!topic.is_empty()).then_some(("topic", topic)));
    act(app, user, &pairs).await
}

async fn delete(app: &PushApp, user: &str, tokens: &str) -> Answer {
    let pairs =
        [("action", "echopushsubscriptions"), ("command", "delete"), ("providertoken", tokens)];
    act(app, user, &pairs).await
}

/// The code of an error, which header and body say alike; nothing where it is none.
fn code(answer: &Answer) -> Option<String> {
    let header = answer.headers.get("mediawiki-api-error");
    let header = header.map(|value| value.to_str().unwrap().to_owned());
    let json = answer.json();
    let body = json.pointer("/error/code").or_else(|| json.pointer("/errors/0/code"));
    assert_eq!(body.and_then(Value::as_str), header.as_deref(), "{}", answer.text);
    header
}

/// An answer without what says where it came from.
fn without_docref(mut answer: Value) -> Value {
    for place in ["", "/error"] {
        if let Some(Value::Object(members)) = answer.pointer_mut(place) {
            for name in ["docref", "*"] {
                if let Some(docref) = members.get_mut(name) {
                    *docref = json!("DOCREF");
                }
            }
        }
    }
    answer
}
