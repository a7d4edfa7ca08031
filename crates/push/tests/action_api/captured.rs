//! What was asked of a real wiki with the real extension Echo, byte for byte, and answered as it was.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{create, csrf, start, without_docref};

/// A dialogue: the last request of a file, and its answer.
struct Dialogue {
    method: Method,
    query: String,
    form: String,
    code: Option<String>,
    body: String,
}

fn dialogue(name: &str) -> Dialogue {
    let path = format!("{}/tests/fixtures/mediawiki/{name}.raw", env!("CARGO_MANIFEST_DIR"));
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let text = text.replace('\r', "");
    // Each part begins with a line that says when it came.
    let mut parts = text.rsplit("##### ").map(|part| part.split_once('\n').unwrap());
    let mut next = |kind: &str| parts.find(|(line, _)| line.contains(kind)).unwrap().1.to_owned();
    let (response, request) = (next("RESPONSE"), next("REQUEST"));
    let (head, form) = request.split_once("\n\n").unwrap_or((&request, ""));
    let mut line = head.lines().next().unwrap().split(' ');
    let method: Method = line.next().unwrap().parse().unwrap();
    let query = line.next().unwrap().split_once('?').map_or("", |(_, query)| query).to_owned();
    let (head, body) = response.split_once("\n\n").unwrap();
    let code = head.lines().find_map(|line| line.strip_prefix("MediaWiki-API-Error: "));
    let code = code.map(str::to_owned);
    Dialogue { method, query, form: form.trim().to_owned(), code, body: body.trim().to_owned() }
}

#[tokio::test]
async fn what_a_real_wiki_was_asked_is_answered_as_it_did() {
    let app = start().await;
    // Whose session it was; what the wiki's own tokens are here.
    for (name, user) in [
        ("10-notfound", Some("PushBot")),
        ("11-mixed", Some("PushBot")),
        ("12-us-separator", Some("PushBot")),
        ("13-51tokens", Some("PushBot")),
        ("14-badcsrf", Some("PushBot")),
        ("15-anoncsrf", Some("PushBot")),
        ("16-get", Some("PushBot")),
        ("17-nocookie", None),
        ("18-nocookie-anontoken", None),
        ("19-noformat", Some("PushBot")),
        ("20-assert", None),
        ("22-nonmanager", Some("Alice")),
        ("21-success", Some("PushBot")),
    ] {
        for (provider, token, topic) in [
            ("fcm", "BOB-FCM-TOKEN:APA91b/xyz_-1", ""),
            ("fcm", "a|b", ""),
            ("fcm", "c2", ""),
            ("apns", "ffeeddcc00112233", "org.wikimedia.wikipedia.tfbeta"),
        ] {
            create(&app, "Bob", provider, token, topic).await;
        }
        let Dialogue { method, query, form, code, body } = dialogue(name);
        let own = csrf(&app, user).await;
        let own: String = form_urlencoded::byte_serialize(own.as_bytes()).collect();
        let renew = |text: &str| {
            let pairs = text.split('&').map(|pair| match pair.split_once('=') {
                // The wiki's, from when it was captured; an invalid one stays what it is.
                Some(("token", token)) if token.len() == 46 && user.is_some() => {
                    format!("token={own}")
                }
                _ => pair.to_owned(),
            });
            pairs.collect::<Vec<_>>().join("&")
        };
        let path = format!("/w/api.php?{}", renew(&query));
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(user.map(|user| ("x-user", user)));
        let answer = app.public().call(method, &path, &headers, renew(&form).into_bytes()).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        let header = answer.headers.get("mediawiki-api-error");
        assert_eq!(header.map(|value| value.to_str().unwrap()), code.as_deref(), "{name}");
        match serde_json::from_str::<Value>(&body) {
            Ok(captured) => {
                assert_eq!(without_docref(answer.json()), without_docref(captured), "{name}");
            }
            // A page for people.
            Err(_) => assert!(
                body.starts_with("<!DOCTYPE html>") && answer.text.starts_with("<!DOCTYPE html>"),
                "{name}: {}",
                answer.text
            ),
        }
    }
}
