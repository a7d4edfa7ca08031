//! Connections: how many, how full, and how they end.

use reveille_model::{Delay, Outcome};
use reveille_providers::Sender as _;
use reveille_providers::apns::ApnsConfig;
use reveille_providers::http2::PoolSettings;
use serde_json::json;

use super::rig::{POOL, Rig, count, push, send_many, start_many};

#[tokio::test]
async fn what_one_connection_refuses_is_sent_over_another_once() {
    for (status, reason) in
        [(503, "ServiceUnavailable"), (403, "UnrelatedKeyIdInToken"), (400, "IdleTimeout")]
    {
        let rig = Rig::start("").await;
        let sender = rig.sender();
        assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
        let fault = json!({"reply": "status", "status": status, "reason": reason, "count": 1});
        rig.fault(fault).await;
        let verdict = sender.send(&push("bb")).await;
        assert_eq!(verdict.outcome, Outcome::Accepted, "{reason}");
        assert_eq!(rig.connections().await, 2, "{reason}");
        assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted);
        assert_eq!(rig.connections().await, 2, "the new one goes on");
    }
}

#[tokio::test]
async fn a_connection_that_shuts_down_takes_nothing_more() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    rig.fault(json!({"token": "aa", "reply": "status", "status": 503, "reason": "Shutdown"})).await;
    // What is under way on it is answered all the same.
    rig.fault(json!({"token": "bb*", "reply": "success", "delay_ms": 200})).await;
    assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted);
    let under_way = start_many(&sender, 20, "bb");
    let verdict = sender.send(&push("aa")).await;
    let soon = Outcome::RetryMessage(Delay::Unanswered);
    assert_eq!((verdict.outcome, verdict.reason.0), (soon, "Shutdown"));
    assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted);
    assert_eq!(count(&under_way.join_all().await, Outcome::Accepted), 20);
    assert_eq!(rig.connections().await, 2);
}

#[tokio::test]
async fn one_stream_is_open_until_the_provider_token_was_accepted() {
    let rig = Rig::start("").await;
    rig.fault(json!({"reply": "success", "delay_ms": 100, "count": 1})).await;
    // All at once, before anything is known of the connection.
    let sending = start_many(&rig.sender(), 200, "aa");
    let first = rig.stats(1).await;
    assert_eq!(first["violations"], 0);
    assert_eq!(count(&sending.join_all().await, Outcome::Accepted), 200);
    let stats = rig.stats(0).await;
    assert_eq!(stats["violations"], 0);
    // A second one, if the first answer came before the new limit.
    assert!(stats["connections"].as_u64().unwrap() <= 2, "{stats}");
}

#[tokio::test]
async fn connections_are_opened_at_the_stream_limit() {
    let rig = Rig::start("apns_streams_max = 10").await;
    rig.fault(json!({"reply": "success", "delay_ms": 50})).await;
    let pool = PoolSettings { connections_max: 4, ..ApnsConfig::POOL };
    let sender = rig.sender_of(ApnsConfig { pool, ..rig.config() });
    assert_eq!(count(&send_many(&sender, 300, "aa").await, Outcome::Accepted), 300);
    let stats = rig.stats(0).await;
    let connections = stats["connections"].as_u64().unwrap();
    assert!((3..=4).contains(&connections), "{connections}");
    assert_eq!(stats["violations"], 0);
}

#[tokio::test]
async fn the_stream_limit_is_obeyed_from_one_to_a_thousand_and_back_to_one() {
    let rig = Rig::start("apns_streams_max = 1").await;
    rig.fault(json!({"reply": "success", "delay_ms": 20})).await;
    let pool = PoolSettings { connections_max: 4, ..POOL };
    let sender = rig.sender_of(ApnsConfig { pool, ..rig.config() });
    // One at a time on each connection, then all that wait at once.
    let sending = start_many(&sender, 400, "aa");
    rig.stats(40).await;
    rig.allow_streams(1_000).await;
    assert_eq!(count(&sending.join_all().await, Outcome::Accepted), 400);
    // Lowered while hundreds are under way, and for long enough that nothing is excused any more (half a second).
    let sending = start_many(&sender, 400, "bb");
    rig.stats(450).await;
    rig.allow_streams(1).await;
    assert_eq!(count(&sending.join_all().await, Outcome::Accepted), 400);
    assert_eq!(count(&send_many(&sender, 120, "cc").await, Outcome::Accepted), 120);
    rig.allow_streams(1_000).await;
    assert_eq!(count(&send_many(&sender, 300, "dd").await, Outcome::Accepted), 300);
    let stats = rig.stats(0).await;
    assert_eq!(stats["violations"], 0);
    assert_eq!(stats["connections"], 4, "where one stream is allowed, others are opened");
}

#[tokio::test]
async fn refused_streams_and_goaway_in_two_phases_lose_nothing() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    rig.fault(json!({"token": "aa*", "reply": "refused", "count": 2})).await;
    assert_eq!(count(&send_many(&sender, 20, "aa").await, Outcome::Accepted), 20);
    let graceful =
        json!({"token": "bb001?", "reply": "goaway_graceful", "reason": "Shutdown", "count": 3});
    rig.fault(graceful).await;
    assert_eq!(count(&send_many(&sender, 200, "bb").await, Outcome::Accepted), 200);
    assert_eq!(rig.sandbox.control.get("/faults").await.json(), json!([]), "all were played");
    assert_eq!(rig.stats(0).await["violations"], 0);
}

#[tokio::test]
async fn goaway_at_once_leaves_open_only_what_may_have_been_processed() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    assert_eq!(sender.send(&push("aa")).await.outcome, Outcome::Accepted);
    for (round, reason) in
        [Some("TooManyRequests"), Some("active streams violated"), None].into_iter().enumerate()
    {
        let prefix = format!("b{round}");
        let token = format!("{prefix}001?");
        let fault = json!({"token": token, "reply": "goaway", "reason": reason, "count": 1});
        rig.fault(fault).await;
        let verdicts = send_many(&sender, 200, &prefix).await;
        let unanswered = count(&verdicts, Outcome::RetryMessage(Delay::Unanswered));
        let accepted = count(&verdicts, Outcome::Accepted);
        assert_eq!(accepted + unanswered, 200, "nothing is misread: {verdicts:?}");
        assert!(accepted > 0, "{verdicts:?}");
        assert_eq!(sender.send(&push("cc")).await.outcome, Outcome::Accepted, "and it goes on");
    }
}
