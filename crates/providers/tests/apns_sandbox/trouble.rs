//! No answer.

use reveille_model::{Delay, Duration, Outcome};
use reveille_providers::apns::ApnsConfig;
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::{Sender as _, client_tls};
use reveille_testkit::free_port;
use serde_json::json;

use super::rig::{POOL, Rig, count, push, send_many};

const UNREACHABLE: (Outcome, &str) = (Outcome::RetryMessage(Delay::Unreachable), "unreachable");

#[tokio::test]
async fn a_request_without_an_answer_is_no_verdict_on_its_device() {
    let rig = Rig::start("").await;
    let pool = PoolSettings { request_timeout: Duration::from_ms(400), ..POOL };
    let sender = rig.sender_of(ApnsConfig { pool, ..rig.config() });
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
    let interim = json!({"token": "bb", "reply": "status", "status": 103, "count": 1});
    let fault = |reply: &str| json!({"token": "bb", "reply": reply, "count": 1});
    for (fault, reason) in [
        (fault("stall"), "timeout"),
        (interim, "timeout"),
        (fault("reset"), "connection_lost"),
        (fault("close"), "connection_lost"),
    ] {
        rig.fault(fault.clone()).await;
        let verdict = sender.send(&push("bb")).await;
        let expected = (Outcome::RetryMessage(Delay::Unanswered), reason);
        assert_eq!((verdict.outcome, verdict.reason.0), expected, "{fault}");
        assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted, "after {fault}");
    }
    // Silent connections are replaced.
    rig.fault(json!({"token": "dd*", "reply": "stall", "count": 6})).await;
    let before = rig.connections().await;
    send_many(&sender, 6, "dd").await;
    assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted);
    assert!(rig.connections().await > before);
}

#[tokio::test]
async fn a_stream_that_is_refused_again_and_again_is_given_up_after_three_resends() {
    let rig = Rig::start("").await;
    rig.fault(json!({"reply": "refused"})).await;
    let verdict = rig.sender().send(&push("aa")).await;
    assert_eq!((verdict.outcome, verdict.reason.0), UNREACHABLE);
    assert_eq!(rig.stats(0).await["answers"], json!({"refused": 4}));
}

#[tokio::test]
async fn a_connection_that_is_refused_concerns_nobody_as_long_as_there_is_another() {
    let rig = Rig::start("apns_streams_max = 1").await;
    let sender = rig.sender();
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
    rig.fault(json!({"reply": "refuse_connection", "count": 1})).await;
    rig.fault(json!({"reply": "success", "delay_ms": 5})).await;
    assert_eq!(count(&send_many(&sender, 40, "bb").await, Outcome::Accepted), 40);
    assert_eq!(rig.connections().await, 2, "the other was tried once, and not again in a hurry");
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_tried_again_after_a_pause() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    rig.fault(json!({"reply": "refuse_connection", "count": 1})).await;
    for _ in 0..20 {
        let verdict = sender.send(&push("aa")).await;
        assert_eq!((verdict.outcome, verdict.reason.0), UNREACHABLE);
    }
    assert_eq!(rig.connections().await, 1, "not one for each push");
    // The pause is of one second; nothing arrives in it.
    rig.sandbox.control.get("/stats?provider=apns&received_min=1&wait_s=2").await;
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn a_slow_handshake_is_waited_for_but_not_for_ever() {
    let rig = Rig::start("").await;
    rig.fault(json!({"reply": "slow_tls", "delay_ms": 200, "count": 1})).await;
    assert_eq!(rig.sender().send(&push("aa")).await.outcome, Outcome::Accepted);
    rig.fault(json!({"reply": "slow_tls", "delay_ms": 5000, "count": 1})).await;
    let pool = PoolSettings { connect_timeout: Duration::from_ms(200), ..POOL };
    let impatient = rig.sender_of(ApnsConfig { pool, ..rig.config() });
    let verdict = impatient.send(&push("aa")).await;
    assert_eq!((verdict.outcome, verdict.reason.0), UNREACHABLE);
}

#[tokio::test]
async fn nobody_who_cannot_be_reached_or_trusted_gets_a_push() {
    let rig = Rig::start("").await;
    let at = |port: u16| Origin::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let nowhere = ApnsConfig { endpoint: at(free_port()), ..rig.config() };
    // The authority of nobody we know; a name the certificate is not for.
    let distrustful = ApnsConfig { tls: client_tls(None).unwrap(), ..rig.config() };
    let endpoint = Origin::parse(&format!("https://127.0.0.2:{}", rig.sandbox.apns_port)).unwrap();
    let misled = ApnsConfig { endpoint, ..rig.config() };
    for config in [nowhere, distrustful, misled] {
        let sender = rig.sender_of(config);
        for _ in 0..3 {
            let verdict = sender.send(&push("aa")).await;
            assert_eq!((verdict.outcome, verdict.reason.0), UNREACHABLE);
        }
        let what = sender.check(push("aa").topic.as_ref()).await.unwrap_err();
        assert!(what.contains("cannot be reached"), "{what}");
    }
    assert_eq!(rig.stats(0).await["received"], 0);
}
