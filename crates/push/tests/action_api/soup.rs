//! Whatever is asked, in whatever combination: an answer in the API's words, never an error of the server.

use http::{Method, StatusCode};
use reveille_model::Rng;
use serde_json::Value;

use super::{code, csrf, form, start};

const NAMES: [&str; 40] = [
    "action",
    "format",
    "formatversion",
    "errorformat",
    "utf8",
    "ascii",
    "maxlag",
    "assert",
    "assertuser",
    "requestid",
    "curtimestamp",
    "command",
    "token",
    "provider",
    "providertoken",
    "topic",
    "meta",
    "list",
    "prop",
    "type",
    "uiprop",
    "notprop",
    "notfilter",
    "notsections",
    "notgroupbysection",
    "notformat",
    "notlimit",
    "notcontinue",
    "notalertcontinue",
    "notunreadfirst",
    "nottitles",
    "unplimit",
    "unpgrouppages",
    "unreadlist",
    "all",
    "sections",
    "timestampFormat",
    "callback",
    "continue",
    "x[]",
];
const VALUES: [&str; 44] = [
    "query",
    "echopushsubscriptions",
    "echomarkread",
    "echomarkseen",
    "help",
    "json",
    "jsonfm",
    "none",
    "1",
    "2",
    "latest",
    "bc",
    "plaintext",
    "wikitext",
    "html",
    "raw",
    "user",
    "anon",
    "create",
    "delete",
    "fcm",
    "apns",
    "tokens",
    "userinfo",
    "notifications",
    "unreadnotificationpages",
    "tokens|userinfo|notifications",
    "list|count|seenTime",
    "model",
    "alert",
    "message",
    "all",
    "ISO_8601",
    "",
    "0",
    "-1",
    "max",
    "99999999999999999999",
    "a|b|",
    "\u{1f}",
    "\u{1f}a\u{1f}\u{1f}",
    "\u{0}\u{e9}\u{1f600}",
    "<script>&\"'",
    "1795254000|7",
];
/// Requests that are made.
const REQUESTS: usize = 3_000;

#[tokio::test]
async fn whatever_is_asked_is_answered() {
    let app = start().await;
    let own = csrf(&app, Some("Bob")).await;
    let mut rng = Rng::from_seed([7; 32]);
    let mut pick = |count: usize| usize::try_from(rng.next_u64()).unwrap() % count;
    let mut errors = 0;
    for number in 0..REQUESTS {
        // Most say something that gets somewhere.
        let mut pairs = vec![("action", VALUES[pick(5)]), ("format", VALUES[5 + pick(3)])];
        pairs.extend((0..pick(8)).map(|_| (NAMES[pick(NAMES.len())], VALUES[pick(VALUES.len())])));
        if pick(2) == 0 {
            pairs.push(("token", &own));
        }
        let user = (pick(3) > 0).then_some(("x-user", "Bob"));
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(user);
        let answer = if pick(4) == 0 {
            let query = String::from_utf8(form(&pairs)).unwrap();
            let path = format!("/w/api.php?{query}");
            app.public().call(Method::GET, &path, &headers, Vec::new()).await
        } else {
            app.public().call(Method::POST, "/w/api.php", &headers, form(&pairs)).await
        };
        assert_eq!(answer.status, StatusCode::OK, "{number}: {pairs:?}: {}", answer.text);
        let media = answer.headers["content-type"].to_str().unwrap();
        match media {
            "application/json; charset=utf-8" => {
                assert!(answer.json().is_object(), "{number}: {pairs:?}: {}", answer.text);
                errors += usize::from(code(&answer).is_some());
            }
            "text/html; charset=utf-8" => {
                assert!(!answer.text.contains("<script>"), "{number}: {pairs:?}");
            }
            "text/plain; charset=utf-8" => assert_eq!(answer.text, ""),
            other => panic!("{number}: {pairs:?}: {other}"),
        }
    }
    assert!(errors > REQUESTS / 20 && errors < REQUESTS / 2, "{errors} errors");
    // It is still well.
    let answer = super::act(&app, "Bob", &[("action", "query"), ("meta", "userinfo")]).await.json();
    assert_eq!(answer.pointer("/query/userinfo/name"), Some(&Value::from("Bob")));
}
