//! FCM on the wire against an HTTP/2 server that is none of ours: Python's `h2`, with `PyJWT` verifying the assertion. So client and
//! sandbox cannot agree on the same mistake.
#![cfg(test)]

mod common;

use std::sync::Arc;

use reveille_model::{DryRun, Duration, MessageType, Outcome, Provider, Token};
use reveille_providers::fcm::{FcmConfig, FcmSender, Priority};
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::oauth::ServiceAccount;
use reveille_providers::{Push, Sender as _, client_tls};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_testkit::TestSandbox;

const PUSHES: usize = 400;

#[tokio::test]
async fn an_independent_peer_finds_nothing_wrong() {
    // For its keys and certificates only.
    let files = TestSandbox::start("").await;
    let arguments =
        ["server.pem", "server.key", "service-account.json"].map(|name| files.file(name));
    let Some(peer) = common::start("fcm_peer.py", arguments).await else { return };
    let port: u16 = peer.hello.parse().expect("the peer's port");

    // The account as its file would be if the token endpoint were the peer's.
    let account = std::fs::read_to_string(files.file("service-account.json")).unwrap();
    let account = account.replace(&format!(":{}/token", files.fcm_port), &format!(":{port}/token"));
    let config = FcmConfig {
        account: ServiceAccount::from_json(account.as_bytes()).unwrap(),
        endpoint: Origin::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
        tls: client_tls(Some(&files.file("ca.pem"))).unwrap(),
        priority: Priority::Normal,
        pool: PoolSettings { connections_max: 3, ..FcmConfig::POOL },
    };
    let sender = Arc::new(FcmSender::new(config, Arc::new(|| SystemClock.now())).unwrap());
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..PUSHES {
        let push = Push {
            token: Token::parse(Provider::Fcm, &format!("token-{number}")).unwrap(),
            topic: None,
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            nonce: None,
            dry_run: DryRun::No,
            expires_at: SystemClock.now().plus(Duration::from_s(3600)),
            id: [0; 16],
        };
        let sender = Arc::clone(&sender);
        sending.spawn(async move { sender.send(&push).await });
    }
    let mut verdicts = sending.join_all().await;
    verdicts.retain(|verdict| verdict.outcome != Outcome::Accepted);

    let report = common::report(peer).await;
    assert_eq!(
        verdicts,
        [],
        "through changing stream limits and a GOAWAY on each connection: {report}"
    );
    assert_eq!(report["tokens_seen"], PUSHES, "{report}");
    assert_eq!(report["assertions_verified"], 1, "{report}");
    assert!(report["goaways_sent"].as_u64().unwrap() > 0, "{report}");
}
