//! How much of an answer is read, and how long anybody is waited for.

use std::net::TcpListener;

use reveille_model::{Delay, Outcome, Proof};
use reveille_providers::Sender as _;
use reveille_service::clock::Stopwatch;
use serde_json::json;

use super::rig::{OWN, Rig, push_to_port, said};
use super::server::{HTTP_1, Server, Then};

const LATER: Outcome = Outcome::RetryMessage(Delay::Unreachable);
const UNANSWERED: Outcome = Outcome::RetryMessage(Delay::Unanswered);

/// Four peers that say too little, at once: fifteen seconds, or five where no connection comes about.
#[tokio::test]
async fn nobody_is_waited_for_for_ever() {
    let mut rig = Rig::start("").await;
    let server = Server::start(&mut rig, HTTP_1).await;
    // Connected to by the kernel, and never spoken to.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    rig.guard.origins.push(format!("https://{OWN}:{port}"));
    rig.fault(json!({"token": "stall", "reply": "stall"})).await;
    rig.fault(json!({"token": "interim", "reply": "status", "status": 103})).await;
    let (stall, interim) = (rig.push((OWN, "up"), "stall"), rig.push((OWN, "up"), "interim"));
    let (half, handshake) = (push_to_port(&rig, server.port), push_to_port(&rig, port));
    let sender = rig.sender();
    let stopwatch = Stopwatch::start();
    let connecting = async { (sender.send(&handshake).await, stopwatch.seconds()) };
    let head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n";
    let (unconnected, stalled, interim, halved, _) = tokio::join!(
        connecting,
        sender.send(&stall),
        sender.send(&interim),
        sender.send(&half),
        server.answer(head, Then::Wait),
    );
    assert_eq!(said(unconnected.0), (LATER, "unreachable"));
    assert!((4.5..14.5).contains(&unconnected.1), "{}", unconnected.1);
    assert_eq!(said(stalled), (UNANSWERED, "timeout"));
    assert_eq!(said(interim), (UNANSWERED, "timeout"));
    assert_eq!(halved.reason.0, "not_found", "the rest would not change what the status says");
    assert!((14.5..30.0).contains(&stopwatch.seconds()), "{}", stopwatch.seconds());
}

#[tokio::test]
async fn of_a_long_answer_only_the_beginning_counts() {
    let mut rig = Rig::start("").await;
    let server = Server::start(&mut rig, HTTP_1).await;
    let mismatch = "the credentials do not correspond";
    let padding = |bytes: usize| " ".repeat(bytes);
    let key_mismatch = (Outcome::DropSubscription(Proof::Guarded), "key_mismatch");
    let gone = (Outcome::DropSubscription(Proof::Unguarded), "gone");
    let chunk = padding(0x1000);
    for (status, text, expected) in [
        (403, format!("{mismatch}{}", padding(10_000)), key_mismatch),
        (403, format!("{}{mismatch}", padding(4_096 - mismatch.len())), key_mismatch),
        (403, format!("{}{mismatch}", padding(4_096)), (Outcome::ConfigError, "forbidden")),
        (410, padding(2_000_000), gone),
        (201, padding(2_000_000), (Outcome::Accepted, "none")),
    ] {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
        let reply = [head, text].concat().into_bytes();
        let (sender, push) = (rig.sender(), push_to_port(&rig, server.port));
        let (verdict, _) = tokio::join!(sender.send(&push), server.answer(&reply, Then::Close));
        assert_eq!(said(verdict), expected, "{status}");
    }
    // One that never ends, one that ends too early, one that is no HTTP.
    let endless =
        format!("HTTP/1.1 410 X\r\ntransfer-encoding: chunked\r\n\r\n1000\r\n{chunk}\r\n");
    let cut = "HTTP/1.1 410 X\r\ncontent-length: 100\r\n\r\nshort".to_owned();
    for (reply, then, expected) in [
        (endless, Then::Wait, gone),
        (cut, Then::Close, gone),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), Then::Close, (UNANSWERED, "connection_lost")),
        (String::new(), Then::Close, (UNANSWERED, "connection_lost")),
    ] {
        let (sender, push) = (rig.sender(), push_to_port(&rig, server.port));
        let (verdict, _) = tokio::join!(sender.send(&push), server.answer(reply.as_bytes(), then));
        assert_eq!(said(verdict), expected, "{reply:.20}");
    }
}
