//! Web Push on the wire against a push service that is none of ours: `http_ece` decrypts, `py_vapid` verifies who we are, over Python's
//! `h2` and over HTTP/1.1. So client and sandbox cannot agree on the same mistake.
#![cfg(test)]

mod common;

use std::ffi::OsString;
use std::sync::Arc;

use reveille_model::{Delay, DryRun, Duration, MessageType, Outcome};
use reveille_providers::jwt::SigningKey;
use reveille_providers::webpush::{
    Guard, Target, Urgency, VapidKey, VapidKeys, WebPushConfig, WebPushSender,
};
use reveille_providers::{Push, Sender as _, client_tls};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_testkit::TestSandbox;
use serde_json::{Value, json};

const PUSHES: u16 = 300;
const SUBJECT: &str = "mailto:ops@example.org";

#[tokio::test]
async fn an_independent_peer_finds_nothing_wrong() {
    // For its keys and certificates only.
    let files = TestSandbox::start("").await;
    let key = VapidKey::new(SigningKey::from_file(&files.file("vapid.pem")).unwrap());
    let names = ["server.pem", "server.key"].map(|name| files.file(name).into_os_string());
    let said = [OsString::from(key.public()), OsString::from(SUBJECT)];
    let Some(peer) = common::start("webpush_peer.py", names.into_iter().chain(said)).await else {
        return;
    };
    let subscriptions: Vec<Value> = serde_json::from_str(&peer.hello).expect("subscriptions");
    let origins = subscriptions.iter().map(|subscription| {
        let endpoint = url::Url::parse(subscription["endpoint"].as_str().unwrap()).unwrap();
        endpoint.origin().ascii_serialization()
    });
    let guard = Arc::new(Guard { origins: origins.collect(), ..Guard::default() });
    // Not the current one: the browsers say which key they subscribed with.
    let current = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let current = VapidKey::new(SigningKey::from_pem(current.as_bytes()).unwrap());
    let config = WebPushConfig {
        keys: VapidKeys::new(vec![current, key], SUBJECT.to_owned()),
        guard: Arc::clone(&guard),
        tls: client_tls(Some(&files.file("ca.pem"))).unwrap(),
        urgency: Urgency::High,
        proxy: None,
    };
    let sender = WebPushSender::new(config, Arc::new(|| SystemClock.now())).unwrap();
    let sender = Arc::new(sender);
    let longest = "x".repeat(64);
    let words = ["a", "checkEchoV1", longest.as_str()];
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..PUSHES {
        let number = usize::from(number);
        let subscription = &subscriptions[number % subscriptions.len()];
        let push = Push {
            token: Target::from_json(subscription, &guard).unwrap().to_token().unwrap(),
            topic: None,
            message_type: MessageType::parse(words[number % words.len()]).unwrap(),
            nonce: None,
            dry_run: DryRun::No,
            expires_at: SystemClock.now().plus(Duration::from_s(3600)),
            id: [0; 16],
        };
        let sender = Arc::clone(&sender);
        sending.spawn(async move {
            let verdict = sender.send(&push).await;
            // A connection that ends may leave open whether a push was looked at: then it is sent once more, as the outbox does.
            let is_open = verdict.outcome == Outcome::RetryMessage(Delay::Unanswered);
            if is_open { sender.send(&push).await } else { verdict }
        });
    }
    let mut verdicts = sending.join_all().await;
    verdicts.retain(|verdict| verdict.outcome != Outcome::Accepted);

    let report = common::report(peer).await;
    assert_eq!(verdicts, [], "{report}");
    for kind in ["h2", "http1"] {
        assert!(report["decrypted"][kind].as_u64().unwrap() >= u64::from(PUSHES / 2), "{report}");
    }
    assert_eq!(report["lengths"], json!([230]), "no length tells one from another: {report}");
    assert_eq!((&report["types"], &report["topics"]), (&json!(words), &json!(3)));
    assert_eq!(report["authorizations"], 2, "one token for each origin: {report}");
    assert!(report["goaways_sent"].as_u64().unwrap() > 0, "{report}");
}
