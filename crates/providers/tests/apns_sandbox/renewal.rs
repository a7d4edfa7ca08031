//! Credentials that are changed under a sender.

use std::sync::Arc;

use reveille_model::Outcome;
use reveille_providers::Sender as _;
use reveille_providers::apns::{ApnsConfig, ApnsConnections, ApnsSender};
use reveille_providers::http2::Origin;
use reveille_service::lifecycle::Lifecycle;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::certificate::{Files, with_certificate};
use super::rig::{Rig, push};

/// Another key id, which this sandbox knows too.
const SECOND: &str = r#"
    [sandbox.apns_apps.second]
    topics = ["org.wikimedia.wikipedia"]
    key_file = "AuthKey.p8"
    key_id = "SECONDKEY2"
    team_id = "SANDBOXTEM"
"#;

/// Stands between a sender and the sandbox. Returns its port and how many connections through it are open.
async fn between(rig: &Rig, lifecycle: &Lifecycle) -> (u16, watch::Receiver<usize>) {
    let (to, listener) = (rig.sandbox.apns_port, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let (tell, open) = watch::channel(0);
    let tell = Arc::new(tell);
    let of_task = lifecycle.clone();
    lifecycle.spawn_brief(async move {
        while let Ok((mut ours, _)) = listener.accept().await {
            let tell = Arc::clone(&tell);
            of_task.spawn_brief(async move {
                tell.send_modify(|open| *open += 1);
                let mut theirs = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut ours, &mut theirs).await);
                tell.send_modify(|open| *open -= 1);
            });
        }
    });
    (port, open)
}

fn with_key(rig: &Rig, key_id: &str, port: u16) -> ApnsConfig {
    let endpoint = Origin::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let mut config = ApnsConfig { endpoint, ..rig.config() };
    config.provider_key.as_mut().unwrap().key_id = key_id.to_owned();
    config
}

fn signers(received: &[Value]) -> Vec<(&str, &str)> {
    received
        .iter()
        .map(|push| (push["token"].as_str().unwrap(), push["authorized_by"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn another_key_gets_connections_of_its_own_and_what_is_under_way_ends_with_the_one_before() {
    let rig = Rig::start(SECOND).await;
    let lifecycle = Lifecycle::default();
    let (port, mut open) = between(&rig, &lifecycle).await;
    let connections = ApnsConnections::default();
    let sender = ApnsSender::new(with_key(&rig, "SANDBOXKEY", port), rig.now(), &connections);
    let sender = Arc::new(sender);
    let renewals = sender.renewals();
    rig.fault(json!({"token": "aa", "reply": "success", "delay_ms": 300})).await;
    let (mut under_way, of_task) = (JoinSet::new(), Arc::clone(&sender));
    under_way.spawn(async move { of_task.send(&push("aa")).await });
    open.wait_for(|open| *open == 1).await.unwrap();
    sender.renew(with_key(&rig, "SECONDKEY2", port), &connections);
    assert_eq!(*renewals.borrow(), 1);
    // On a connection of the first key it would be answered UnrelatedKeyIdInToken.
    assert_eq!(sender.send(&push("bb")).await.outcome, Outcome::Accepted);
    let before = under_way.join_next().await.unwrap().unwrap();
    assert_eq!(before.outcome, Outcome::Accepted);
    let mut received = rig.received().await;
    received.sort_by_key(|push| push["token"].to_string());
    assert_eq!(signers(&received), [("aa", "SANDBOXKEY"), ("bb", "SECONDKEY2")]);
    // The one before is not needed any more.
    open.wait_for(|open| *open == 1).await.unwrap();
    assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted);
    assert_eq!(rig.connections().await, 2);
}

#[tokio::test]
async fn apps_whose_key_is_changed_share_the_new_one_and_the_same_key_keeps_its_connections() {
    let rig = Rig::start(SECOND).await;
    let (port, connections) = (rig.sandbox.apns_port, ApnsConnections::default());
    let of_key = |key_id| with_key(&rig, key_id, port);
    let apps = [(); 2].map(|()| ApnsSender::new(of_key("SANDBOXKEY"), rig.now(), &connections));
    for key_id in ["SANDBOXKEY", "SECONDKEY2"] {
        for app in &apps {
            app.renew(of_key(key_id), &connections);
            assert_eq!(app.send(&push("aa")).await.outcome, Outcome::Accepted);
        }
    }
    let stats = rig.stats(0).await;
    assert_eq!((&stats["connections"], &stats["refused"]), (&json!(2), &json!({})));
}

#[tokio::test]
async fn another_certificate_gets_connections_of_its_own() {
    let files = Files::new(2031);
    let rig = files.rig().await;
    let connections = ApnsConnections::default();
    let read = || with_certificate(&rig, files.read("client.pem", "client.key").unwrap());
    let sender = ApnsSender::new(read(), rig.now(), &connections);
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
    sender.renew(read(), &connections);
    assert_eq!(sender.send(&push("bb")).await.outcome, Outcome::Accepted);
    assert_eq!(rig.connections().await, 2);
}
