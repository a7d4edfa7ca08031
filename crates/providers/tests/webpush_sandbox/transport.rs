//! HTTP/2 and HTTP/1.1, redirects, and no answer.

use std::net::TcpListener;

use reveille_model::{Delay, Outcome, Proof};
use reveille_providers::webpush::{Target, WebPushConfig};
use reveille_providers::{Sender as _, client_tls};
use reveille_testkit::free_port;
use serde_json::json;

use super::rig::{GOOGLE, MOZILLA, OWN, Rig, push, push_to_port, said};
use super::server::{HTTP_1, Server, Then};

const LATER: Outcome = Outcome::RetryMessage(Delay::Unreachable);
const UNANSWERED: Outcome = Outcome::RetryMessage(Delay::Unanswered);

#[tokio::test]
async fn a_service_that_speaks_only_http_1_gets_the_same_request() {
    let mut rig = Rig::start("").await;
    for protocols in [HTTP_1, &[]] {
        let server = Server::start(&mut rig, protocols).await;
        let sender = rig.sender();
        let push = push_to_port(&rig, server.port);
        let reply = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        let (verdict, (head, body)) =
            tokio::join!(sender.send(&push), server.answer(reply, Then::Close));
        assert_eq!(said(verdict), (Outcome::Accepted, "none"));
        let mut lines: Vec<&str> = head.trim_end().lines().collect();
        assert_eq!(lines.remove(0), "POST /up/b HTTP/1.1");
        let mut names: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "host",
            "topic",
            "ttl",
            "urgency",
        ];
        assert_eq!((names.as_slice(), body.len()), (expected.as_slice(), 230));
    }
}

#[tokio::test]
async fn over_http_2_many_share_a_connection_and_keep_to_its_limit() {
    let rig = Rig::start("streams_max = 10").await;
    let sender = rig.sender();
    let push = rig.push((MOZILLA, "mozilla"), "b");
    rig.fault(json!({"reply": "success", "delay_ms": 5})).await;
    let sender = std::sync::Arc::new(sender);
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (sender, push) = (std::sync::Arc::clone(&sender), push.clone());
        sending.spawn(async move { sender.send(&push).await });
    }
    for verdict in sending.join_all().await {
        assert_eq!(verdict.outcome, Outcome::Accepted, "{verdict:?}");
    }
    let stats = rig.stats().await;
    assert_eq!(stats["connections"], 1, "none of them opened another one");
    assert_eq!(stats["violations"], 0);
}

#[tokio::test]
async fn where_nobody_can_connect_nobody_waits_for_ever() {
    let mut rig = Rig::start("").await;
    let port = free_port();
    rig.guard.origins.push(format!("https://{OWN}:{port}"));
    let (sender, push) = (std::sync::Arc::new(rig.sender()), push_to_port(&rig, port));
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (sender, push) = (std::sync::Arc::clone(&sender), push.clone());
        sending.spawn(async move { sender.send(&push).await });
    }
    for verdict in sending.join_all().await {
        assert_eq!(said(verdict), (LATER, "unreachable"));
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let mut rig = Rig::start("").await;
    // Where even the guard would let it through.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let there = format!("https://{OWN}:{}", elsewhere.local_addr().unwrap().port());
    rig.guard.origins.push(there.clone());
    let sender = rig.sender();
    for status in [301, 302, 303, 307, 308] {
        for location in [there.as_str(), "http://169.254.169.254/latest/meta-data", "/up/c"] {
            let headers = json!({ "location": location });
            let fault =
                json!({"reply": "status", "status": status, "headers": headers, "count": 1});
            rig.fault(fault).await;
            let verdict = sender.send(&rig.push((OWN, "up"), "b")).await;
            assert_eq!(said(verdict), (LATER, "redirect"), "{status} {location}");
        }
    }
    rig.fault(json!({"reply": "status", "status": 301, "headers": {"location": there}})).await;
    let moved = sender.send(&rig.push((MOZILLA, "mozilla"), "b")).await;
    assert_eq!(said(moved), (Outcome::DropSubscription(Proof::Guarded), "moved"));
    let nobody = elsewhere.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "nobody came");
    assert_eq!(rig.received().await.len(), 16, "nor again to where it was sent");
}

#[tokio::test]
async fn a_request_without_an_answer_is_no_verdict_on_its_browser() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    for reply in ["reset", "close"] {
        rig.fault(json!({"token": "b", "reply": reply, "count": 1})).await;
        let verdict = sender.send(&rig.push((GOOGLE, "google"), "b")).await;
        assert_eq!(said(verdict), (UNANSWERED, "connection_lost"), "{reply}");
        let verdict = sender.send(&rig.push((GOOGLE, "google"), "c")).await;
        assert_eq!(verdict.outcome, Outcome::Accepted, "after {reply}");
    }
    // Provably not processed: sent again at once.
    for reply in ["refused", "goaway_graceful"] {
        rig.fault(json!({"token": "b", "reply": reply, "count": 1})).await;
        let verdict = sender.send(&rig.push((GOOGLE, "google"), "b")).await;
        assert_eq!(verdict.outcome, Outcome::Accepted, "{reply}");
    }
    rig.fault(json!({"reply": "refuse_connection", "count": 1})).await;
    let verdict = rig.sender().send(&rig.push((GOOGLE, "google"), "b")).await;
    assert_eq!(said(verdict), (LATER, "unreachable"));
}

#[tokio::test]
async fn nobody_who_cannot_be_reached_or_trusted_gets_a_push() {
    let mut rig = Rig::start("").await;
    let port = free_port();
    rig.guard.origins.push(format!("https://{OWN}:{port}"));
    let verdict = rig.sender().send(&push_to_port(&rig, port)).await;
    assert_eq!(said(verdict), (LATER, "unreachable"));
    // An authority of nobody we know; a certificate for another name.
    let ca = rig.sandbox.file("ca.pem");
    for tls in [client_tls(None).unwrap(), client_tls(Some(&ca)).unwrap()] {
        let config = WebPushConfig { tls, ..rig.config(vec![rig.key()]) };
        let verdict = rig.sender_of(config).send(&rig.push((OWN, "up"), "b")).await;
        assert_eq!(said(verdict), (LATER, "unreachable"));
        assert_eq!(verdict.strike, None, "it may be mended");
    }
    assert_eq!(rig.stats().await["received"], 0);
    // A host by its address, where an operator trusts that very origin.
    rig.guard.origins.push(format!("https://127.0.0.1:{}", rig.sandbox.webpush_port));
    let json = rig.sandbox.subscription("up", "b");
    let target = Target::from_json(&json, &rig.guard).unwrap();
    let config =
        WebPushConfig { tls: client_tls(Some(&ca)).unwrap(), ..rig.config(vec![rig.key()]) };
    let verdict = rig.sender_of(config).send(&push(&target, rig.now()())).await;
    assert_eq!(verdict.outcome, Outcome::Accepted);
}
