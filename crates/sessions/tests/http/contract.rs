//! The reference's contract, line by line (session-store.md §1): which status, which body, which headers.

use serde_json::json;

use super::{App, header};

#[tokio::test]
async fn errors_have_the_words_of_the_reference() {
    let app = App::start("").await;
    for (method, key, body, status, word, instance) in [
        ("GET", "nobody", "", 404, "not_found", "/sessions/v1/nobody"),
        ("GET", "a%20b%2Fc%3C", "", 404, "not_found", "/sessions/v1/a b/c<"),
        ("GET", "", "", 404, "not_found", "/sessions/v1/"),
        ("POST", "", "x", 404, "not_found", "/sessions/v1/"),
        ("POST", "cat", "", 400, "bad_request", "/sessions/v1/cat"),
        ("GET", "cat?x=1", "", 400, "bad_request", "/sessions/v1/cat"),
        ("POST", "cat?x", "x", 400, "bad_request", "/sessions/v1/cat"),
        ("OPTIONS", "cat", "", 400, "bad_request", "/sessions/v1/cat"),
        ("PROPFIND", "cat", "", 400, "bad_request", "/sessions/v1/cat"),
        ("GET", "%zz", "", 400, "bad_request", "/sessions/v1/%zz"),
        ("GET", "%ff", "", 400, "bad_request", "/sessions/v1/\u{fffd}"),
    ] {
        let answer = app.ask(method, key, &[], body).await;
        assert_eq!(answer.status, status, "{method} {key}");
        assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        let (title, detail) = match word {
            "not_found" => ("Not found", "The value you requested was not found"),
            _ => ("Bad request", "The request was incorrect or malformed"),
        };
        let kind = format!("https://www.mediawiki.org/wiki/Kask/errors/{word}");
        let expected =
            json!({"type": kind, "title": title, "detail": detail, "instance": instance});
        assert_eq!(answer.json(), expected, "{method} {key}");
    }
    // A question mark alone asks nothing.
    assert_eq!(app.status("POST", "cat?", &[], "x").await, 201);
    assert_eq!(app.status("GET", "cat", &[], "").await, 200);
}

#[tokio::test]
async fn nothing_is_redirected_and_nothing_compressed() {
    let app = App::start("").await;
    let all = [("accept-encoding", "gzip, br")];
    for path in ["/", "/sessions", "/sessions/v1", "/sessions/v2/x", "/healthz/"] {
        let answer = app.client.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "not-found"),
            "{path}"
        );
    }
    app.ask("POST", "cat", &[], &"x".repeat(100_000)).await;
    let answer = app.ask("GET", "cat", &all, "").await;
    assert_eq!(header(&answer, "content-encoding"), None);
    assert_eq!(header(&answer, "content-length"), Some("100000"));
    for key in ["a//b", "/a", "a/", "a/b"] {
        assert_eq!(app.status("POST", key, &[], key).await, 201, "{key}");
    }
    for key in ["a//b", "%2Fa", "a%2F", "a%2fb"] {
        assert_eq!(app.status("GET", key, &[], "").await, 200, "{key}");
    }
}

#[tokio::test]
async fn another_base_and_none_at_all_work() {
    for (base, path) in [("v1", "/v1/x"), ("/a/b", "/a/b/x"), ("", "/x"), ("/", "/x")] {
        let app = App::start(&format!("base_uri = \"{base}\"")).await;
        let posted = app.client.call(http::Method::POST, path, &[], b"x".to_vec()).await;
        assert_eq!(posted.status, 201, "{base}");
        assert_eq!(app.client.get(path).await.text, "x");
        assert_eq!(app.client.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn health_and_metrics_are_the_references() {
    let app = App::start("").await;
    let health = app.client.get("/healthz").await;
    for member in ["version", "build_date", "build_host", "go_version"] {
        assert!(health.json()[member].is_string(), "{}", health.text);
    }
    assert_eq!(app.client.get("/readyz").await.status, 200);
    app.ask("POST", "cat", &[], "x").await;
    app.ask("BREW", "cat", &[], "").await;
    let metrics = app.client.get("/metrics").await;
    assert_eq!(header(&metrics, "content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "# HELP http_requests_total Count of HTTP requests processed, partitioned by status code and HTTP method.",
        "# TYPE http_requests_total counter",
        "http_requests_total{code=\"201\",method=\"POST\"}",
        "http_requests_total{code=\"400\",method=\"other\"}",
        "# TYPE http_request_duration_seconds histogram",
        "reveille_sessions_entries{namespace=\"default\"} 1",
        "reveille_sessions_bytes{namespace=\"default\"} 4",
    ] {
        assert!(metrics.text.contains(line), "{line} is not in\n{}", metrics.text);
    }
    for bound in
        ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "+Inf"]
    {
        let line = format!(
            "http_request_duration_seconds_bucket{{code=\"201\",method=\"POST\",le=\"{bound}\"}}"
        );
        assert!(metrics.text.contains(&line), "{line}");
    }
    let described = app.client.get("/openapi").await.json();
    assert!(described["paths"]["/sessions/v1/{key}"]["post"].is_object());
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_is_not_ready() {
    let app = App::start("").await;
    let mut connection = app.connect().await;
    connection
        .send("POST /sessions/v1/cat HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na")
        .await;
    // An answer on another connection: the first one was taken up before.
    app.ask("GET", "cat", &[], "").await;
    app.lifecycle.stop();
    connection.send("b").await;
    assert_eq!(connection.answer("POST").await.unwrap().status, 201);
    assert!(connection.is_closed().await);
}
