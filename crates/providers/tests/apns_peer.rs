//! APNs on the wire against an HTTP/2 server that is none of ours: Python's `h2`, with `PyJWT` verifying provider tokens. So client and
//! sandbox cannot agree on the same mistake.
#![cfg(test)]

mod common;

use std::ffi::OsString;
use std::sync::Arc;

use reveille_model::{DryRun, Duration, MessageType, Outcome, Provider, Token, Topic};
use reveille_providers::apns::{ApnsConfig, ApnsConnections, ApnsSender, Kind, ProviderKey};
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::jwt::SigningKey;
use reveille_providers::{Push, Sender as _, client_tls};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_testkit::TestSandbox;

const TOPIC: &str = "org.wikimedia.wikipedia";
const PUSHES: u64 = 400;

#[tokio::test]
async fn an_independent_peer_finds_nothing_wrong() {
    // For its keys and certificates only.
    let files = TestSandbox::start("").await;
    let names = ["server.pem", "server.key", "AuthKey.p8"];
    let arguments = names.map(|name| files.file(name).into_os_string());
    let said = ["SANDBOXKEY", "SANDBOXTEM", TOPIC].map(OsString::from);
    let Some(peer) = common::start("apns_peer.py", arguments.into_iter().chain(said)).await else {
        return;
    };
    let config = |kind| ApnsConfig {
        provider_key: Some(ProviderKey {
            key: SigningKey::from_file(&files.file("AuthKey.p8")).unwrap(),
            key_id: "SANDBOXKEY".to_owned(),
            team_id: "SANDBOXTEM".to_owned(),
        }),
        endpoint: Origin::parse(&format!("https://127.0.0.1:{}", peer.hello)).unwrap(),
        tls: client_tls(Some(&files.file("ca.pem"))).unwrap(),
        kind,
        pool: PoolSettings { connections_max: 3, dials_per_minute_max: 100, ..ApnsConfig::POOL },
    };
    let connections = ApnsConnections::default();
    let senders = [Kind::Alert, Kind::Background].map(|kind| {
        let now = Arc::new(|| SystemClock.now());
        Arc::new(ApnsSender::new(config(kind), now, &connections))
    });
    let mut sending = tokio::task::JoinSet::new();
    for (number, sender) in (0..PUSHES).zip(senders.iter().cycle()) {
        let id = u128::from(number) << 64 | u128::from(number);
        let push = Push {
            token: Token::parse(Provider::Apns, &format!("{number:064X}")).unwrap(),
            topic: Some(Topic::parse(TOPIC).unwrap()),
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            nonce: None,
            dry_run: DryRun::No,
            expires_at: SystemClock.now().plus(Duration::from_s(3600)),
            id: id.to_be_bytes(),
        };
        let sender = Arc::clone(sender);
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
    assert_eq!((&report["tokens_seen"], &report["ids_seen"]), (&PUSHES.into(), &PUSHES.into()));
    assert_eq!(report["alerts"], PUSHES / 2, "{report}");
    assert_eq!(report["backgrounds"], PUSHES / 2, "{report}");
    assert_eq!(report["bearers_seen"], 1, "all connections and apps show one token: {report}");
    assert!(report["goaways_sent"].as_u64().unwrap() > 0, "{report}");
    assert!(report["most_streams"].as_u64().unwrap() > 8, "the limit was used: {report}");
}
