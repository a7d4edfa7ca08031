//! What no well-meaning client sends.

use super::{App, BASE};

fn post(key: &str, length: usize) -> String {
    format!("POST {BASE}{key} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn keys_are_bounded() {
    let app = App::start("key_bytes_max = 100").await;
    assert_eq!(app.status("POST", &"k".repeat(100), &[], "x").await, 201);
    assert_eq!(app.status("POST", &"%6B".repeat(100), &[], "y").await, 201);
    assert_eq!(app.ask("GET", &"k".repeat(100), &[], "").await.text, "y");
    let long = app.ask("POST", &"k".repeat(101), &[], "x").await;
    assert_eq!((long.status.as_u16(), long.problem().as_str()), (414, "key-too-long"));
    // Beyond what a head may have nobody looks for a key in it.
    for length in [60_000, 1 << 20] {
        let mut connection = app.connect().await;
        let request = format!("GET {BASE}{} HTTP/1.1\r\nhost: x\r\n\r\n", "k".repeat(length));
        connection.send(request).await;
        // Whoever is still sending when it is hung up on may not see the answer.
        if let Some(answer) = connection.answer("GET").await {
            assert!([414, 431].contains(&answer.status), "{}", answer.head);
        }
    }
    assert_eq!(app.status("GET", &"k".repeat(100), &[], "").await, 200);
}

#[tokio::test]
async fn bodies_are_bounded_announced_or_not() {
    let app = App::start("value_bytes_max = 1000").await;
    assert_eq!(app.status("POST", "cat", &[], &"x".repeat(1_000)).await, 201);
    let large = app.ask("POST", "cat", &[], &"y".repeat(1_001)).await;
    assert_eq!((large.status.as_u16(), large.problem().as_str()), (413, "body-too-large"));
    // A hundred megabytes, of which whoever asks first sends none.
    let mut connection = app.connect().await;
    let asks = post("cat", 100_000_000).replace("host: x", "host: x\r\nexpect: 100-continue");
    connection.send(asks).await;
    assert_eq!(connection.one("POST").await.unwrap().status, 413);
    // And sent without asking, until it is hung up on.
    let mut connection = app.connect().await;
    connection.send(post("cat", 100_000_000)).await;
    let chunk = vec![b'z'; 1 << 20];
    for _ in 0..100 {
        connection.send(&chunk).await;
    }
    if let Some(answer) = connection.answer("POST").await {
        assert_eq!(answer.status, 413);
    }
    let mut connection = app.connect().await;
    connection
        .send(post("cat", 0).replace("content-length: 0", "transfer-encoding: chunked"))
        .await;
    connection.send(format!("7d0\r\n{}\r\n0\r\n\r\n", "w".repeat(2_000))).await;
    assert_eq!(connection.answer("POST").await.unwrap().status, 413);
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "x".repeat(1_000));
}

#[tokio::test]
async fn a_value_that_does_not_come_whole_is_none() {
    let app = App::start("").await;
    app.ask("POST", "cat", &[], "before").await;
    let mut connection = app.connect().await;
    connection.send(post("cat", 10)).await;
    connection.send("half").await;
    drop(connection);
    let mut connection = app.connect().await;
    connection
        .send(post("cat", 0).replace("content-length: 0", "transfer-encoding: chunked"))
        .await;
    connection.send("4\r\nhalf\r\nxx\r\n").await;
    drop(connection);
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "before");
}

#[tokio::test]
async fn a_path_says_what_it_says_and_nothing_else() {
    let app = App::start("").await;
    app.ask("POST", "a", &[], "a").await;
    app.ask("POST", "b", &[], "b").await;
    // The reference reads `a` here.
    assert_eq!(app.status("GET", "a/sessions/v1/b", &[], "").await, 404);
    assert_eq!(app.status("POST", "a/sessions/v1/b", &[], "own").await, 201);
    assert_eq!(app.ask("GET", "a", &[], "").await.text, "a");
    assert_eq!(app.ask("GET", "a%2Fsessions%2Fv1%2Fb", &[], "").await.text, "own");
    for (target, status) in [
        ("/sessions/v1/x/../a", 400),
        ("/sessions/v1/%2e%2e/a", 400),
        ("/sessions/v1/..", 400),
        ("/sessions/v1/.", 400),
        ("/sessions/v1/a/.", 400),
        ("/sessions/v1/x%2F..%2Fa", 400),
        ("/sessions/../sessions/v1/a", 404),
        ("/sessions/v1/a%", 400),
        ("/sessions/v1/%c3%28", 400),
        ("/sessions/v1/a%00", 404),
        ("/sessions/v1/%0d%0aset-cookie:x", 404),
        ("//sessions/v1/a", 404),
        ("*", 404),
        ("http://elsewhere/sessions/v1/a", 200),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        let answer = app.connect().await.ask(request).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.head);
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(app.status("POST", "a%00", &[], "nul").await, 201);
    assert_eq!(app.ask("GET", "a%00", &[], "").await.text, "nul");
    assert_eq!(app.ask("GET", "a", &[], "").await.text, "a");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let app = App::start("").await;
    for request in [
        "GET\r\n\r\n",
        "GET /sessions/v1/a b HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /sessions/v1/a HTTP/9.9\r\n\r\n",
        "POST /sessions/v1/a HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "POST /sessions/v1/a HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "GET /sessions/v1/a HTTP/1.1\r\nno colon\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
    ] {
        let mut connection = app.connect().await;
        connection.send(request).await;
        let answer = connection.answer("GET").await;
        assert!(answer.is_none_or(|answer| answer.status >= 400), "{request:?}");
    }
    // HTTP/1.0, and several requests at once.
    let mut connection = app.connect().await;
    connection.send([post("a", 1), "x".to_owned(), post("b", 1), "y".to_owned()].concat()).await;
    for _ in 0..2 {
        assert_eq!(connection.answer("POST").await.unwrap().status, 201);
    }
    let old = app.connect().await.ask(format!("GET {BASE}a HTTP/1.0\r\n\r\n")).await;
    assert_eq!((old.status, old.body.as_slice()), (200, &b"x"[..]));
}

/// Whoever sends a byte now and then is not waited for, however long they go on.
#[tokio::test(start_paused = true)]
async fn slow_clients_are_hung_up_on() {
    let app = App::start("").await;
    let mut slow = app.connect().await;
    slow.send(post("cat", 10)).await;
    slow.send("half").await;
    assert_eq!(slow.answer("POST").await.unwrap().status, 408);
    let mut head = app.connect().await;
    head.send(format!("GET {BASE}cat HTTP/1.1\r\nhost: x\r\nslow: ")).await;
    assert!(head.answer("GET").await.is_none_or(|answer| answer.status == 408));
    let mut silent = app.connect().await;
    assert!(silent.is_closed().await);
    assert_eq!(app.status("GET", "cat", &[], "").await, 404);
}

/// A page that somebody opens who can reach the store would plant a session there.
#[tokio::test]
async fn a_page_plants_no_session() {
    let app = App::start("").await;
    for of_page in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let planted = app.ask("POST", "cat", &[of_page], "x").await;
        assert_eq!((planted.status.as_u16(), planted.problem().as_str()), (403, "of-a-page"));
    }
    assert_eq!(app.status("GET", "cat", &[], "").await, 404);
}
