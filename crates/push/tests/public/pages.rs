//! What pages may do, and what the documents say.

use std::sync::Arc;

use http::Method;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, PushApp};
use serde_json::json;

use super::BY_HEADER;

async fn app() -> PushApp {
    let public = format!("origins = [\"https://www.example.org\"]\n{BY_HEADER}");
    PushApp::start_public(Arc::new(MemoryStore::default()), &public).await
}

async fn post(app: &PushApp, headers: &[(&str, &str)]) -> Answer {
    let all = [&[("x-user", "alice"), ("content-type", "application/json")], headers].concat();
    let body = json!({"provider": "fcm", "token": "t"}).to_string();
    app.public().call(Method::POST, "/v1/subscriptions", &all, body.into()).await
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let app = app().await;
    for (headers, expected) in [
        (&[][..], 201),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://evil.example.org")], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://www.example.org")], 200),
    ] {
        let answer = post(&app, headers).await;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.text);
        if expected == 403 {
            assert_eq!(answer.problem(), "cross-site");
        }
    }
}

#[tokio::test]
async fn only_pages_of_listed_sites_may_read() {
    let app = app().await;
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "content-type"),
        ];
        let path = "/v1/subscriptions";
        app.public().call(Method::OPTIONS, path, &headers, Vec::new()).await
    };
    let listed = ask("https://www.example.org").await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.headers["access-control-allow-origin"], "https://www.example.org");
    assert_eq!(listed.headers["access-control-allow-credentials"], "true");
    let other = ask("https://evil.example").await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    // An error can be read too.
    let headers = [("origin", "https://www.example.org")];
    let error = app.public().call(Method::GET, "/v1/subscriptions", &headers, Vec::new()).await;
    assert_eq!(error.status, 401);
    assert_eq!(error.headers["access-control-allow-origin"], "https://www.example.org");
    assert_eq!(error.headers["www-authenticate"], "Bearer realm=\"reveille\"");
}

#[tokio::test]
async fn private_routes_are_not_public() {
    let app = app().await;
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/v1/notifications",
        "/v1/users/a/subscriptions",
        "/_info",
        "/",
    ] {
        let headers = [("x-user", "alice")];
        let answer = app.public().call(Method::GET, path, &headers, Vec::new()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "not-found"),
            "{path}"
        );
    }
    let spec = app.public().get("/openapi.json").await.json();
    let paths: Vec<&String> = spec["paths"].as_object().unwrap().keys().collect();
    for path in &paths {
        assert!(path.starts_with("/v1/") && !path.starts_with("/v1/users"), "{path}");
    }
    let page = app.public().get("/docs").await.text;
    for operation in spec["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|each| each.as_object().unwrap().values())
    {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}
