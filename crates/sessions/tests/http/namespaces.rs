//! Namespaces: their own lives, quotas, callers and rates.

use std::sync::Arc;

use reveille_store::memory::MemorySessions;

use super::{App, header};

const THREE: &str = "default_ttl_s = 100
[sessions.namespaces.echo]
prefix = \"enwiki:echo:\"
ttl_s = 1000
entries_max = 2
[sessions.namespaces.seen]
prefix = \"enwiki:echo:seen:\"
bytes_max = 40
conditional_writes = false
";

#[tokio::test]
async fn the_longest_prefix_says_whose_a_key_is() {
    let app = App::start(THREE).await;
    let left = async |key| {
        app.ask("POST", key, &[], "x").await;
        let answer = app.ask("GET", key, &[], "").await;
        header(&answer, "cache-control").unwrap().rsplit('=').next().unwrap().to_owned()
    };
    assert_eq!(left("enwiki:MWSession:x").await, "100");
    assert_eq!(left("enwiki:echo:1").await, "1000");
    assert_eq!(left("enwiki%3Aecho%3A1").await, "1000");
    assert_eq!(left("enwiki:echo:seen:1").await, "100");
    assert_eq!(left("enwiki:ech").await, "100");
    assert_eq!(app.status("PUT", "enwiki:echo:seen:1", &[], "x").await, 400);
    assert_eq!(app.status("PUT", "enwiki:echo:2", &[], "x").await, 201);
    // Two are as many as it may have; others are not touched by that.
    let full = app.ask("POST", "enwiki:echo:3", &[], "x").await;
    assert_eq!((full.status.as_u16(), full.problem().as_str()), (507, "quota-exceeded"));
    assert_eq!(app.status("POST", "enwiki:echo:1", &[], "again").await, 201);
    assert_eq!(app.status("POST", "enwiki:MWSession:y", &[], "x").await, 201);
    assert_eq!(app.status("POST", "enwiki:echo:seen:1", &[], &"x".repeat(40)).await, 507);
    assert_eq!(app.ask("GET", "enwiki:echo:seen:1", &[], "").await.text, "x");
    app.ask("DELETE", "enwiki:echo:1", &[], "").await;
    assert_eq!(app.status("POST", "enwiki:echo:3", &[], "x").await, 201);
    let metrics = app.client.get("/metrics").await.text;
    assert!(metrics.contains("reveille_sessions_entries{namespace=\"echo\"} 2"), "{metrics}");
    assert!(metrics.contains(
        "reveille_sessions_requests_total{namespace=\"seen\",method=\"POST\",code=\"507\"} 1"
    ));
}

#[tokio::test]
async fn a_token_is_for_its_own_namespace() {
    let more = "[sessions.namespaces.echo]\nprefix = \"echo:\"\ntokens_file = \"echo.tokens\"\n\
                [sessions.namespaces.open]\nprefix = \"other:\"\ntokens_file = \"other.tokens\"\n";
    let files = [
        ("echo.tokens", "echo-token-0123456789\n"),
        ("other.tokens", "other-token-0123456789\n# both\necho-and-other-0123456789\n"),
    ];
    let app = App::start_on(Arc::new(MemorySessions::default()), more, &files).await;
    let with = async |key, token: &str| {
        let header = format!("Bearer {token}");
        let headers = [("authorization", header.as_str())];
        app.ask("POST", key, if token.is_empty() { &[] } else { &headers }, "x").await
    };
    let unknown = with("echo:1", "").await;
    assert_eq!(unknown.status, 401);
    assert_eq!(header(&unknown, "www-authenticate"), Some("Bearer realm=\"reveille\""));
    assert_eq!(unknown.json()["type"], "https://www.mediawiki.org/wiki/Kask/errors/not_authorized");
    assert_eq!(with("echo:1", "nobodys-token-0123456789").await.status, 401);
    let elsewhere = with("echo:1", "other-token-0123456789").await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.problem().as_str()), (403, "forbidden"));
    assert_eq!(with("echo:1", "echo-token-0123456789").await.status, 201);
    // Whoever is refused keeps the connection, whatever they have sent.
    let mut connection = app.connect().await;
    let large = "x".repeat(300_000);
    for _ in 0..2 {
        let request = format!(
            "POST /sessions/v1/echo:1 HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{large}",
            large.len()
        );
        assert_eq!(connection.ask(request).await.status, 401);
    }
    // Nobody is asked where no file is named.
    assert_eq!(with("third:1", "").await.status, 201);
    assert_eq!(with("third:1", "whatever").await.status, 201);
    assert_eq!(app.status("GET", "echo:1", &[], "").await, 401);
}

#[tokio::test]
async fn a_namespace_has_a_rate_of_its_own() {
    let more = "[sessions.namespaces.slow]\nprefix = \"slow:\"\nrequests_per_s_max = 2\n";
    let app = App::start(more).await;
    let mut refused = None;
    for _ in 0..50 {
        let answer = app.ask("GET", "slow:1", &[], "").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 404);
    }
    let refused = refused.expect("fifty come faster than two a second");
    assert_eq!(refused.problem(), "too-many-requests");
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert_eq!(app.status("GET", "fast:1", &[], "").await, 404);
}
