//! Who is calling.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use http::{Method, StatusCode};
use reveille_model::Duration;
use reveille_service::config::ServerTls;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::listen;
use reveille_service::reload::LOOK_EVERY;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, Client, Dir, PushApp, TestSandbox, needs_all, python};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// GET my devices, with headers.
async fn list(public: &Client, headers: &[(&str, &str)]) -> Answer {
    public.call(Method::GET, "/v1/subscriptions", headers, Vec::new()).await
}

async fn list_with_token(public: &Client, token: &str) -> Answer {
    list(public, &[("authorization", &format!("Bearer {token}"))]).await
}

/// A small HTTP server whose answers a test changes: the session store, or a login service's keys.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<BTreeMap<String, String>>>);

impl Pages {
    async fn start(&self) -> (String, Lifecycle) {
        self.start_with(None).await
    }

    async fn start_with(&self, tls: Option<&ServerTls>) -> (String, Lifecycle) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let page = async |State(pages): State<Self>, Path(path): Path<String>| match pages
            .0
            .lock()
            .await
            .get(&path)
        {
            Some(text) if text == "broken" => Err(StatusCode::INTERNAL_SERVER_ERROR),
            Some(text) => Ok(text.clone()),
            None => Err(StatusCode::NOT_FOUND),
        };
        let router = axum::Router::new().route("/{*path}", get(page)).with_state(self.clone());
        let lifecycle = Lifecycle::default();
        lifecycle.spawn(
            "pages",
            listen::serve(listener, tls.cloned().into(), router, lifecycle.clone()),
        );
        (url, lifecycle)
    }

    async fn set(&self, path: &str, text: impl Into<String>) {
        self.0.lock().await.insert(path.to_owned(), text.into());
    }
}

/// What `PyJWT` issues around the time at which servers start in tests.
fn issued() -> Option<Value> {
    let Some(python) = python() else {
        println!("{}", needs_all("tokens of an independent issuer"));
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/public/issuer.py");
    let now = PushApp::START.as_s().to_string();
    let output = Command::new(python).args([script, &now]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

const JWT: &str = "[push.public.auth]\nmode = \"jwt\"\nissuer = \"https://login.example\"\naudience = \"reveille\"\ncookie = \"login\"\n";

#[tokio::test]
async fn a_signed_token_counts_if_everything_about_it_is_right() {
    let Some(issued) = issued() else { return };
    let folder = Dir::new();
    let file = folder.join("jwks.json");
    std::fs::write(&file, issued["jwks"].to_string()).unwrap();
    let auth = format!("{JWT}jwks_file = \"{}\"\n", file.display());
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &auth).await;
    for (name, token) in issued["tokens"].as_object().unwrap() {
        let answer = list_with_token(app.public(), token.as_str().unwrap()).await;
        if name.starts_with("good") {
            assert_eq!(answer.status, 200, "{name}");
        } else {
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (401, "unauthorized"),
                "{name}"
            );
        }
    }
    let good = issued["tokens"]["good ES256"].as_str().unwrap();
    let cookie = format!("theme=dark; login={good}");
    assert_eq!(list(app.public(), &[("cookie", &cookie)]).await.status, 200);
    // It ends by the server's clock.
    app.clock.advance(Duration::from_s(640));
    assert_eq!(list_with_token(app.public(), good).await.status, 401);
}

#[tokio::test]
async fn keys_are_read_anew_as_they_change() {
    let Some(issued) = issued() else { return };
    let pages = Pages::default();
    let (url, _pages) = pages.start().await;
    pages.set("keys", "broken").await;
    let auth = format!("{JWT}jwks_url = \"{url}/keys\"\n");
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &auth).await;
    let token = |name: &str| issued["tokens"][name].as_str().unwrap().to_owned();
    let old = token("good ES256");
    let answer = list_with_token(app.public(), &old).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "auth-unavailable"));
    assert!(answer.headers.contains_key("retry-after"));

    pages.set("keys", issued["jwks"].to_string()).await;
    app.clock.advance(Duration::from_s(10));
    assert_eq!(list_with_token(app.public(), &old).await.status, 200);
    // What comes over the network cannot make secrets of keys.
    assert_eq!(list_with_token(app.public(), &token("good HS256")).await.status, 401);

    pages.set("keys", issued["rotated"].to_string()).await;
    let new = issued["rotated token"].as_str().unwrap();
    app.clock.advance(Duration::from_s(10));
    assert_eq!(list_with_token(app.public(), new).await.status, 200, "a new key is found");
    assert_eq!(list_with_token(app.public(), &old).await.status, 401, "and the old one is gone");
    pages.set("keys", "broken").await;
    app.clock.advance(Duration::from_s(310));
    assert_eq!(list_with_token(app.public(), new).await.status, 200, "keys outlive an outage");
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_whom_the_operator_trusts() {
    let Some(issued) = issued() else { return };
    let sandbox = TestSandbox::start("").await;
    let pages = Pages::default();
    pages.set("keys", issued["jwks"].to_string()).await;
    let (cert, key) = (sandbox.file("server.pem"), sandbox.file("server.key"));
    let tls = ServerTls::from_files(&cert, &key, &[b"http/1.1"]).unwrap();
    let (url, _pages) = pages.start_with(Some(&tls)).await;
    let token = issued["tokens"]["good EdDSA"].as_str().unwrap();
    let ca = format!("ca_file = \"{}\"\n", sandbox.file("ca.pem").display());
    for (trusted, status) in [(ca.as_str(), 200), ("", 503)] {
        let auth = format!("{JWT}jwks_url = \"{url}/keys\"\n{trusted}");
        let app = PushApp::start_public(Arc::new(MemoryStore::default()), &auth).await;
        assert_eq!(list_with_token(app.public(), token).await.status, status, "{trusted}");
    }
}

/// A value as MediaWiki writes it, without a key.
fn session(user: &str, expires: i64) -> String {
    format!(
        "PHP..a:2:{{s:4:\"data\";a:0:{{}}s:8:\"metadata\";a:3:{{s:6:\"userId\";{user}s:8:\"userName\";s:5:\"Alice\";s:7:\"expires\";i:{expires};}}}}"
    )
}

#[tokio::test]
async fn a_wikis_session_says_whose_it_is() {
    const ID: &str = "0123456789abcdefghijklmnopqrstuv";
    let pages = Pages::default();
    let (url, _pages) = pages.start().await;
    let auth = format!(
        "[push.public.auth]\nmode = \"sessions\"\nurl = \"{url}/sessions/v1/\"\nwiki = \"enwiki\"\n"
    );
    let store = Arc::new(MemoryStore::default());
    let app = PushApp::start_public(store, &auth).await;
    let key = format!("sessions/v1/enwiki:MWSession:{ID}");
    let cookie = format!("enwiki_session={ID}");
    let status = async || list(app.public(), &[("cookie", &cookie)]).await.status.as_u16();
    assert_eq!(status().await, 401, "no such session");
    pages.set(&key, session("i:0;", 0)).await;
    assert_eq!(status().await, 401, "nobody is logged in yet");
    pages.set(&key, session("i:42;", PushApp::START.as_s())).await;
    assert_eq!(status().await, 401, "it has ended");
    pages.set(&key, session("O:4:\"Evil\":0:{}", 0)).await;
    assert_eq!(status().await, 401, "objects are never made");
    pages.set(&key, "broken").await;
    assert_eq!(status().await, 503);
    pages.set(&key, session("i:42;", PushApp::START.as_s() + 60)).await;
    assert_eq!(status().await, 200);
    assert_eq!(list_with_token(app.public(), ID).await.status, 200, "a bearer token names it too");

    let headers = [("cookie", cookie.as_str()), ("content-type", "application/json")];
    let phone = json!({"provider": "fcm", "token": "of-42"}).to_string();
    let answer = app.public().call(Method::POST, "/v1/subscriptions", &headers, phone.into()).await;
    assert_eq!(answer.status, 201);
    let devices = app.client.get("/v1/users/enwiki:42/subscriptions").await.json();
    assert_eq!(devices.as_array().unwrap().len(), 1, "the user is the wiki's");
    for bad in
        ["", "short", "../../../../../../other/sessions", "0123456789abcdefghijklmnopqrst%2F"]
    {
        let answer = list(app.public(), &[("cookie", &format!("enwiki_session={bad}"))]).await;
        assert_eq!(answer.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn a_wikis_signature_is_checked_and_other_sites_write_json() {
    const ID: &str = "0123456789abcdefghijklmnopqrstuv";
    // Made with OpenSSL: `openssl dgst -sha256 -hmac 'key 2' -binary | base64`.
    const SIGNED_ANEW: &str = "JSON.PqMvRCd4UTEaODdv2pNyPWzeR/J259pa01Ym/mq4Oxk=.{\"a\":1}";
    let pages = Pages::default();
    let (url, _pages) = pages.start().await;
    let folder = Dir::new();
    let file = folder.join("hmac.key");
    std::fs::write(&file, "k1\n").unwrap();
    let auth = format!(
        "[push.public.auth]\nmode = \"sessions\"\nurl = \"{url}\"\nwiki = \"w\"\nuser_path = \"a\"\nhmac_key_file = \"{}\"\n",
        file.display()
    );
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &auth).await;
    let token = format!("Bearer {ID}");
    let headers = [("authorization", token.as_str())];
    // The contract's vector, and the same without its signature.
    let signed = "JSON.RyGHWFFXVtho4XKl4DeaFn+xDjCBEfDvE7SdXWfWcZs=.{\"a\":1}";
    pages.set(&format!("w:MWSession:{ID}"), signed).await;
    assert_eq!(list(app.public(), &headers).await.status, 200);
    pages.set(&format!("w:MWSession:{ID}"), "JSON..{\"a\":1}").await;
    assert_eq!(list(app.public(), &headers).await.status, 401);
    // The wiki gets another key, and the file follows.
    pages.set(&format!("w:MWSession:{ID}"), SIGNED_ANEW).await;
    assert_eq!(list(app.public(), &headers).await.status, 401);
    std::fs::write(&file, "key 2\n").unwrap();
    let mut looks = 0;
    while list(app.public(), &headers).await.status != 200 {
        looks += 1;
        assert!(looks < 100, "nobody looks");
        app.clock.advance(LOOK_EVERY);
    }

    let auth = format!(
        "[push.public.auth]\nmode = \"sessions\"\nurl = \"{url}/\"\ncookie = \"sid\"\nuser_path = \"account.name\"\n"
    );
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &auth).await;
    pages.set(ID, json!({"account": {"name": "alice"}}).to_string()).await;
    assert_eq!(list(app.public(), &[("cookie", &format!("sid={ID}"))]).await.status, 200);
}

#[tokio::test]
async fn devices_without_an_account_get_a_user_of_their_own() {
    let auth = "[push.public.auth]\nanonymous = true\n";
    let store = Arc::new(MemoryStore::default());
    let app = PushApp::start_public(Arc::<MemoryStore>::clone(&store), auth).await;
    let minted = app.public().post("/v1/anonymous", &Value::Null).await;
    assert_eq!(minted.status, 201);
    let token = minted.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(list_with_token(app.public(), &token).await.status, 200);
    assert_eq!(list_with_token(app.public(), &token[1..]).await.status, 401);
    assert_eq!(list(app.public(), &[]).await.status, 401);
    let other = app.public().post("/v1/anonymous", &Value::Null).await;
    assert_ne!(other.json()["user"], minted.json()["user"]);
    // It is good as long as the store is.
    let again = PushApp::start_public(store, auth).await;
    assert_eq!(list_with_token(again.public(), &token).await.status, 200);
    let without = PushApp::start_public(Arc::new(MemoryStore::default()), super::BY_HEADER).await;
    assert_eq!(without.public().post("/v1/anonymous", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn whoever_calls_too_often_is_told_when_to_come_again() {
    let limits = format!(
        "user_requests_per_minute_max = 3\naddress_requests_per_minute_max = 5\n{}",
        super::BY_HEADER
    );
    let app = PushApp::start_public(Arc::new(MemoryStore::default()), &limits).await;
    let status = async |user: &str| {
        let answer = list(app.public(), &[("x-user", user)]).await;
        (answer.status.as_u16(), answer.headers.contains_key("retry-after"))
    };
    for _ in 0..3 {
        assert_eq!(status("alice").await, (200, false));
    }
    assert_eq!(status("alice").await, (429, true));
    assert_eq!(status("bob").await, (200, false));
    assert_eq!(status("carol").await, (429, true), "the address has used up its share");
}
