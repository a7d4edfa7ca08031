//! What MediaWiki's `RESTBagOStuff` was seen to send, byte for byte: both its POST and its PUT, with and without HMAC.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::App;
use super::raw::Connection;

/// A captured request and its answer.
struct Dialogue {
    connection: u32,
    request: Vec<u8>,
    status: u16,
    body: Vec<u8>,
}

impl Dialogue {
    fn method(&self) -> String {
        self.word(0)
    }

    fn path(&self) -> String {
        self.word(1)
    }

    fn word(&self, at: usize) -> String {
        let line = self.request.split(|byte| *byte == b'\r').next().unwrap();
        String::from_utf8(line.to_vec()).unwrap().split(' ').nth(at).unwrap().to_owned()
    }

    fn value(&self) -> Vec<u8> {
        after_head(&self.request)
    }
}

fn after_head(bytes: &[u8]) -> Vec<u8> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    bytes[at + 4..].to_vec()
}

/// `##### 2.051s conn=1 req=1 REQUEST 532 bytes`, a line's end, and so many bytes.
fn dialogues(file: &[u8]) -> Vec<Dialogue> {
    let (mut rest, mut found, mut request) = (file, Vec::new(), None);
    while let Some(at) = rest.windows(6).position(|six| six == b"##### ") {
        let line_end = at + rest[at..].iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[at..line_end]).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let connection = words[2].strip_prefix("conn=").unwrap().parse().unwrap();
        let length: usize = words[words.len() - 2].parse().unwrap();
        let bytes = rest[line_end + 1..line_end + 1 + length].to_vec();
        match words[4] {
            "REQUEST" => request = Some(bytes),
            "RESPONSE" => {
                let head = String::from_utf8_lossy(&bytes).into_owned();
                found.push(Dialogue {
                    connection,
                    request: request.take().unwrap(),
                    status: head.split(' ').nth(1).unwrap().parse().unwrap(),
                    body: after_head(&bytes),
                });
            }
            _ => {}
        }
        rest = &rest[line_end + 1 + length..];
    }
    found
}

/// Sends what was sent, on as many connections, and compares with what whoever keeps values would say. Returns the statuses.
async fn replay(app: &App, dialogues: &[Dialogue]) -> Vec<u16> {
    let mut connections: HashMap<u32, Connection> = HashMap::new();
    let mut kept: HashMap<String, Vec<u8>> = HashMap::new();
    let mut statuses = Vec::new();
    for dialogue in dialogues {
        let connection = match connections.entry(dialogue.connection) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(none) => none.insert(app.connect().await),
        };
        let answer = connection.ask(&dialogue.request).await;
        let (status, body) = match dialogue.method().as_str() {
            "GET" => match kept.get(&dialogue.path()) {
                Some(value) => (200, value.clone()),
                // The very body that was captured, if there was none then too.
                None if dialogue.status == 404 => (404, dialogue.body.clone()),
                None => (404, answer.body.clone()),
            },
            "DELETE" => {
                kept.remove(&dialogue.path());
                (204, Vec::new())
            }
            _ => {
                kept.insert(dialogue.path(), dialogue.value());
                (201, Vec::new())
            }
        };
        assert_eq!(answer.status, status, "{}", answer.head);
        assert_eq!(answer.body, body);
        // What its parser needs: a word after the status, a length, nothing compressed.
        assert!(answer.head.split("\r\n").next().unwrap().splitn(3, ' ').count() == 3);
        assert_eq!(answer.header("content-length").is_some(), status != 204, "{}", answer.head);
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.header("transfer-encoding"), None);
        statuses.push(status);
    }
    statuses
}

#[tokio::test]
async fn logging_in_viewing_and_logging_out_is_answered_as_it_was() {
    for (name, file) in [
        ("login", &include_bytes!("../fixtures/01-login-view-logout.raw")[..]),
        ("hmac", include_bytes!("../fixtures/03-hmac.raw")),
        ("echoseen", include_bytes!("../fixtures/04-echoseen.raw")),
    ] {
        let dialogues = dialogues(file);
        assert!(dialogues.len() > 10, "{name}");
        let statuses = replay(&App::start("").await, &dialogues).await;
        let captured: Vec<u16> = dialogues.iter().map(|dialogue| dialogue.status).collect();
        assert_eq!(statuses, captured, "{name}");
    }
}

/// The class as it comes out of the box, which the reference refuses: nothing is kept, and every page asks for a session that is not there.
#[tokio::test]
async fn a_client_left_on_put_works_where_put_replaces() {
    let dialogues = dialogues(include_bytes!("../fixtures/02-defaults-put.raw"));
    let refused = dialogues.iter().filter(|dialogue| dialogue.status == 400).count();
    assert_eq!(refused, 8, "what the reference said");
    let statuses = replay(&App::start("put = \"upsert\"").await, &dialogues).await;
    assert!(!statuses.contains(&400));
}

/// A store that fails once is asked again by the next page.
#[tokio::test]
async fn what_was_sent_while_a_store_failed_is_answered() {
    let dialogues = dialogues(include_bytes!("../fixtures/transient-500.raw"));
    let statuses = replay(&App::start("").await, &dialogues).await;
    assert_eq!(statuses.len(), 12);
}
