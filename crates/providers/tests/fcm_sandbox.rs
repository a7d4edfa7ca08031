//! FCM on the wire against the sandbox: every documented answer, and every kind of trouble a connection can have.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;

use reveille_model::{
    Delay, DryRun, Duration, MessageType, Outcome, Proof, Provider, Timestamp, Token, Verdict,
};
use reveille_providers::fcm::{FcmConfig, FcmSender, Priority};
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::oauth::ServiceAccount;
use reveille_providers::{Now, Push, Sender as _, client_tls};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_testkit::{TestSandbox, free_port};
use serde_json::{Value, json};

fn now() -> Now {
    Arc::new(|| SystemClock.now())
}

fn config(sandbox: &TestSandbox, port: u16, ca_file: Option<&Path>) -> FcmConfig {
    FcmConfig {
        account: ServiceAccount::from_file(&sandbox.file("service-account.json")).unwrap(),
        endpoint: Origin::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
        tls: client_tls(ca_file).unwrap(),
        priority: Priority::Normal,
        pool: FcmConfig::POOL,
    }
}

fn sender(sandbox: &TestSandbox, pool: PoolSettings) -> Arc<FcmSender> {
    let config = config(sandbox, sandbox.fcm_port, Some(&sandbox.file("ca.pem")));
    Arc::new(FcmSender::new(FcmConfig { pool, ..config }, now()).unwrap())
}

fn push(token: &str) -> Push {
    Push {
        token: Token::parse(Provider::Fcm, token).unwrap(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        nonce: None,
        dry_run: DryRun::No,
        expires_at: SystemClock.now().plus(Duration::from_s(3600)),
        id: [0; 16],
    }
}

async fn fault(sandbox: &TestSandbox, fault: Value) {
    assert_eq!(sandbox.control.post("/faults", &fault).await.status, 201);
}

async fn send_many(sender: &Arc<FcmSender>, count: usize, prefix: &str) -> Vec<Verdict> {
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..count {
        let (sender, push) = (Arc::clone(sender), push(&format!("{prefix}-{number}")));
        sending.spawn(async move { sender.send(&push).await });
    }
    sending.join_all().await
}

fn count(verdicts: &[Verdict], outcome: Outcome) -> usize {
    verdicts.iter().filter(|verdict| verdict.outcome == outcome).count()
}

async fn connections(sandbox: &TestSandbox) -> u64 {
    sandbox.control.get("/stats").await.json()["connections"].as_u64().unwrap()
}

#[tokio::test]
async fn what_arrives_is_the_documented_message_and_nothing_else() {
    let sandbox = TestSandbox::start("").await;
    let sender = sender(&sandbox, FcmConfig::POOL);
    sender.check(None).await.unwrap();
    let odd = "a|b \"\u{1f600}\n";
    assert_eq!(sender.send(&push(odd)).await.outcome, Outcome::Accepted);
    let dry = Push { dry_run: DryRun::Yes, ..push("dry") };
    assert_eq!(sender.send(&dry).await.outcome, Outcome::Accepted);
    let received = sandbox.control.get("/received?received_min=2&wait_s=10").await.text;
    let lines: Vec<Value> =
        received.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["token"]), (2, &json!(odd)));
    let message = &lines[0]["payload"]["message"];
    assert_eq!(message["data"], json!({"type": "checkEchoV1"}));
    assert_eq!(message["android"]["collapse_key"], "checkEchoV1");
    assert!(["3600s", "3599s"].contains(&message["android"]["ttl"].as_str().unwrap()));
    let names: Vec<&String> = lines[0]["headers"].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["content-length", "content-type"],
        "nothing that tells one push from another"
    );
    assert_eq!(lines[1]["payload"]["validate_only"], true);
    assert_eq!(connections(&sandbox).await, 2, "one for tokens, one for messages");
}

/// Every row of providers.md §2.6, over the wire.
#[tokio::test]
async fn every_documented_answer_has_its_verdict() {
    let sandbox = TestSandbox::start("").await;
    let sender = sender(&sandbox, FcmConfig::POOL);
    let server_error = Outcome::RetryMessage(Delay::ServerError(None));
    let guarded = Outcome::DropSubscription(Proof::Guarded);
    let throttled = Delay::Throttled(None);
    let rows = [
        ("unregistered", Outcome::DropSubscription(Proof::Unguarded), "UNREGISTERED"),
        ("invalid_token", guarded, "INVALID_TOKEN"),
        ("invalid_argument", Outcome::PayloadError, "INVALID_ARGUMENT"),
        ("sender_id_mismatch", guarded, "SENDER_ID_MISMATCH"),
        ("third_party_auth_error", Outcome::ConfigError, "THIRD_PARTY_AUTH_ERROR"),
        ("permission_denied", Outcome::ConfigError, "PERMISSION_DENIED"),
        ("not_found", Outcome::ConfigError, "NOT_FOUND"),
        ("payload_too_large", Outcome::PayloadError, "INVALID_ARGUMENT"),
        ("throttled", Outcome::PauseProvider(throttled), "QUOTA_EXCEEDED"),
        ("device_throttled", Outcome::RetryMessage(throttled), "QUOTA_EXCEEDED_DEVICE"),
        ("internal", server_error, "INTERNAL"),
        ("bad_gateway", server_error, "BAD_GATEWAY"),
        ("unavailable", server_error, "UNAVAILABLE"),
        ("gateway_timeout", server_error, "GATEWAY_TIMEOUT"),
        ("unknown", Outcome::PayloadError, "other"),
        ("success", Outcome::Accepted, "none"),
    ];
    for (reply, outcome, reason) in rows {
        fault(&sandbox, json!({"provider": "fcm", "token": reply, "reply": reply, "count": 1}))
            .await;
        let verdict = sender.send(&push(reply)).await;
        assert_eq!((verdict.outcome, verdict.reason.0), (outcome, reason), "{reply}");
    }
    // A time the provider names counts from the arrival of its answer.
    fault(&sandbox, json!({"reply": "unavailable", "retry_after_s": 120, "count": 1})).await;
    let before = SystemClock.now();
    let verdict = sender.send(&push("later")).await;
    let Outcome::RetryMessage(Delay::ServerError(Some(named))) = verdict.outcome else {
        panic!("{verdict:?}")
    };
    assert!(named >= before.plus(Duration::from_s(120)), "{named:?}");
}

#[tokio::test]
async fn an_old_access_token_is_renewed_once_and_a_refused_one_is_a_config_error() {
    let sandbox = TestSandbox::start("").await;
    let sender = sender(&sandbox, FcmConfig::POOL);
    fault(&sandbox, json!({"token": "once", "reply": "unauthenticated", "count": 1})).await;
    assert_eq!(sender.send(&push("once")).await.outcome, Outcome::Accepted);
    fault(&sandbox, json!({"token": "ever", "reply": "unauthenticated"})).await;
    assert_eq!(sender.send(&push("ever")).await.outcome, Outcome::ConfigError);
    assert_eq!(sender.send(&push("fine")).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn many_callers_share_a_token_and_connections_are_opened_at_the_stream_limit() {
    let sandbox = TestSandbox::start("streams_max = 10").await;
    fault(&sandbox, json!({"reply": "success", "delay_ms": 50})).await;
    let pool = PoolSettings { connections_max: 4, ..FcmConfig::POOL };
    let verdicts = send_many(&sender(&sandbox, pool), 300, "many").await;
    assert_eq!(count(&verdicts, Outcome::Accepted), 300);
    let connections = connections(&sandbox).await;
    assert!(
        (3..=5).contains(&connections),
        "{connections}: one for the token, up to four for messages"
    );
}

#[tokio::test]
async fn refused_streams_and_goaway_lose_nothing() {
    let sandbox = TestSandbox::start("").await;
    let sender = sender(&sandbox, FcmConfig::POOL);
    fault(&sandbox, json!({"token": "refused-*", "reply": "refused", "count": 2})).await;
    assert_eq!(count(&send_many(&sender, 20, "refused").await, Outcome::Accepted), 20);
    fault(&sandbox, json!({"token": "graceful-1?", "reply": "goaway_graceful", "count": 3})).await;
    assert_eq!(count(&send_many(&sender, 200, "graceful").await, Outcome::Accepted), 200);
    // At once: what was under way may have been processed, the rest is sent again.
    fault(&sandbox, json!({"token": "abrupt-1?", "reply": "goaway", "count": 1})).await;
    let verdicts = send_many(&sender, 200, "abrupt").await;
    let unanswered = count(&verdicts, Outcome::RetryMessage(Delay::Unanswered));
    assert_eq!(
        count(&verdicts, Outcome::Accepted) + unanswered,
        200,
        "nothing is misread: {verdicts:?}"
    );
    assert_eq!(count(&send_many(&sender, 20, "after").await, Outcome::Accepted), 20);
}

#[tokio::test]
async fn a_request_without_an_answer_is_no_verdict_on_its_device() {
    let sandbox = TestSandbox::start("").await;
    let pool = PoolSettings { request_timeout: Duration::from_ms(400), ..FcmConfig::POOL };
    let sender = sender(&sandbox, pool);
    assert_eq!(sender.send(&push("warm")).await.outcome, Outcome::Accepted);
    for reply in ["stall", "reset", "close"] {
        fault(&sandbox, json!({"token": reply, "reply": reply, "count": 1})).await;
        let verdict = sender.send(&push(reply)).await;
        assert_eq!(verdict.outcome, Outcome::RetryMessage(Delay::Unanswered), "{reply}");
        assert_eq!(sender.send(&push("next")).await.outcome, Outcome::Accepted, "after {reply}");
    }
    // Silent connections are replaced.
    fault(&sandbox, json!({"token": "silent-*", "reply": "stall", "count": 6})).await;
    let before = connections(&sandbox).await;
    send_many(&sender, 6, "silent").await;
    assert_eq!(sender.send(&push("next")).await.outcome, Outcome::Accepted);
    assert!(connections(&sandbox).await > before);
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_or_trusted_is_trouble_and_no_verdict() {
    let sandbox = TestSandbox::start("").await;
    let ca = sandbox.file("ca.pem");
    let nowhere = FcmSender::new(config(&sandbox, free_port(), Some(&ca)), now()).unwrap();
    for _ in 0..3 {
        let verdict = nowhere.send(&push("x")).await;
        let expected = (Outcome::RetryMessage(Delay::Unreachable), "unreachable");
        assert_eq!((verdict.outcome, verdict.reason.0), expected);
    }
    // An authority nobody vouches for: no credential is shown.
    let distrustful = FcmSender::new(config(&sandbox, sandbox.fcm_port, None), now()).unwrap();
    let verdict = distrustful.send(&push("x")).await;
    assert_eq!(verdict.outcome, Outcome::PauseProvider(Delay::ServerError(None)));
    // Clocks far apart: the account is refused, which is for an operator to mend.
    let past: Now = Arc::new(|| Timestamp::from_ms(1_000_000_000_000));
    let late = FcmSender::new(config(&sandbox, sandbox.fcm_port, Some(&ca)), past).unwrap();
    assert_eq!(late.send(&push("x")).await.outcome, Outcome::ConfigError);
    assert!(late.check(None).await.unwrap_err().contains("clock"));
}
