//! Values, conditions, lives.

use super::{App, header};

#[tokio::test]
async fn an_entry_is_written_read_replaced_and_deleted() {
    let app = App::start("").await;
    assert_eq!(app.status("GET", "cat", &[], "").await, 404);
    let written = app.ask("POST", "cat", &[], "first").await;
    assert_eq!(written.status, 201);
    assert_eq!(
        (header(&written, "content-length"), header(&written, "content-type")),
        (Some("0"), None)
    );
    let read = app.ask("GET", "cat", &[], "").await;
    assert_eq!((read.status.as_u16(), read.text.as_str()), (200, "first"));
    assert_eq!(header(&read, "content-type"), Some("application/octet-stream"));
    assert_eq!(header(&read, "cache-control"), Some("private, no-cache, max-age=86400"));
    assert_eq!(header(&read, "etag"), header(&written, "etag"));
    app.pass(100);
    let head = app.ask("HEAD", "cat", &[], "").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_eq!(header(&head, "content-length"), Some("5"));
    assert_eq!(header(&head, "cache-control"), Some("private, no-cache, max-age=86300"));
    assert_eq!(app.status("POST", "cat", &[], "second").await, 201);
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "second");
    assert_eq!(app.status("DELETE", "cat", &[], "").await, 204);
    assert_eq!(app.status("DELETE", "cat", &[], "").await, 204);
    assert_eq!(app.status("GET", "cat", &[], "").await, 404);
    assert_eq!(app.status("HEAD", "cat", &[], "").await, 404);
}

#[tokio::test]
async fn an_entry_lives_as_long_as_it_may_and_never_longer() {
    let app = App::start("default_ttl_s = 100").await;
    app.ask("POST", "day", &[], "x").await;
    app.ask("POST", "short", &[("cache-control", "max-age=10")], "x").await;
    app.ask("POST", "long", &[("cache-control", "max-age=1000")], "x").await;
    assert_eq!(app.status("POST", "none", &[("cache-control", "max-age=0")], "x").await, 201);
    assert_eq!(app.status("GET", "none", &[], "").await, 404);
    let left = async |key| {
        let answer = app.ask("GET", key, &[], "").await;
        header(&answer, "cache-control").map(str::to_owned)
    };
    assert_eq!(left("long").await.as_deref(), Some("private, no-cache, max-age=100"));
    assert_eq!(left("short").await.as_deref(), Some("private, no-cache, max-age=10"));
    app.pass(10);
    assert_eq!(app.status("GET", "short", &[], "").await, 404);
    app.pass(89);
    assert_eq!(app.status("GET", "day", &[], "").await, 200);
    app.pass(1);
    assert_eq!(app.status("GET", "day", &[], "").await, 404);
    assert_eq!(app.status("POST", "day", &[("cache-control", "max-age=soon")], "x").await, 400);
    let unlimited = App::start("default_ttl_s = 0").await;
    unlimited.ask("POST", "x", &[], "x").await;
    unlimited.pass(u32::MAX);
    let answer = unlimited.ask("GET", "x", &[], "").await;
    assert_eq!(header(&answer, "cache-control"), Some("private, no-cache"));
}

#[tokio::test]
async fn a_touch_restarts_the_life_and_changes_nothing_else() {
    let app = App::start("default_ttl_s = 100").await;
    assert_eq!(app.status("PATCH", "cat", &[], "").await, 404);
    let written = app.ask("POST", "cat", &[], "x").await;
    app.pass(90);
    let touched = app.ask("PATCH", "cat", &[], "").await;
    assert_eq!(touched.status, 204);
    assert_eq!(header(&touched, "etag"), header(&written, "etag"));
    app.pass(90);
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "x");
    assert_eq!(app.status("PATCH", "cat", &[], "body").await, 400);
    assert_eq!(app.status("PATCH", "cat", &[("if-match", "\"other\"")], "").await, 412);
    assert_eq!(app.status("PATCH", "cat", &[("cache-control", "max-age=5")], "").await, 204);
    app.pass(5);
    assert_eq!(app.status("PATCH", "cat", &[], "").await, 404);
    app.ask("POST", "cat", &[], "x").await;
    assert_eq!(app.status("PATCH", "cat", &[("cache-control", "max-age=0")], "").await, 204);
    assert_eq!(app.status("GET", "cat", &[], "").await, 404);
    assert_eq!(app.status("PATCH", "cat", &[("cache-control", "max-age=0")], "").await, 404);
}

#[tokio::test]
async fn put_sets_where_there_is_nothing_unless_it_is_told() {
    let app = App::start("").await;
    assert_eq!(app.status("PUT", "cat", &[], "first").await, 201);
    let refused = app.ask("PUT", "cat", &[], "second").await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (412, "precondition-failed"));
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "first");
    assert_eq!(app.status("PUT", "cat", &[("if-none-match", "*")], "second").await, 412);
    assert_eq!(app.status("PUT", "cat", &[("if-match", "*")], "second").await, 400);
    assert_eq!(app.status("PUT", "cat", &[("cache-control", "max-age=0")], "x").await, 412);
    assert_eq!(app.status("PUT", "dog", &[("cache-control", "max-age=0")], "x").await, 201);
    let app = App::start("put = \"upsert\"").await;
    for value in ["first", "second"] {
        assert_eq!(app.status("PUT", "cat", &[], value).await, 201);
    }
    assert_eq!(app.status("PUT", "cat", &[("if-none-match", "*")], "third").await, 412);
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "second");
}

#[tokio::test]
async fn conditions_hold_or_nothing_happens() {
    let app = App::start("").await;
    let any = ("if-match", "*");
    let none = ("if-none-match", "*");
    assert_eq!(app.status("POST", "cat", &[any], "1").await, 412);
    assert_eq!(app.status("POST", "cat", &[none], "1").await, 201);
    assert_eq!(app.status("POST", "cat", &[none], "2").await, 412);
    let answer = app.ask("GET", "cat", &[], "").await;
    let tag = header(&answer, "etag").unwrap();
    assert_eq!(app.status("POST", "cat", &[("if-match", "\"x\"")], "2").await, 412);
    assert_eq!(app.status("POST", "cat", &[("if-match", tag)], "2").await, 201);
    assert_eq!(app.status("POST", "cat", &[("if-match", tag)], "3").await, 412);
    assert_eq!(app.status("DELETE", "cat", &[("if-match", tag)], "").await, 412);
    assert_eq!(app.ask("GET", "cat", &[], "").await.text, "2");
    let answer = app.ask("GET", "cat", &[], "").await;
    let tag = header(&answer, "etag").unwrap();
    for method in ["GET", "HEAD"] {
        let known = app.ask(method, "cat", &[("if-none-match", tag)], "").await;
        assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
        assert_eq!(header(&known, "etag"), Some(tag));
    }
    assert_eq!(app.status("GET", "cat", &[("if-none-match", "\"x\"")], "").await, 200);
    let bad = app.ask("POST", "cat", &[("if-none-match", tag)], "3").await;
    assert_eq!((bad.status.as_u16(), bad.problem().as_str()), (400, "condition-malformed"));
    assert_eq!(app.status("DELETE", "cat", &[("if-match", tag)], "").await, 204);
    assert_eq!(app.status("DELETE", "cat", &[any], "").await, 412);
    // Where somebody writes who knows no conditions.
    let app = App::start("conditional_writes = false").await;
    for (method, headers) in
        [("PUT", &[][..]), ("PATCH", &[]), ("POST", &[none]), ("POST", &[any]), ("DELETE", &[any])]
    {
        let refused =
            app.ask(method, "cat", headers, if method == "PATCH" { "" } else { "x" }).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem().as_str()),
            (400, "condition-refused")
        );
    }
    assert_eq!(app.status("POST", "cat", &[], "x").await, 201);
    let upsert = App::start("conditional_writes = false\nput = \"upsert\"").await;
    assert_eq!(upsert.status("PUT", "cat", &[], "x").await, 201);
}
