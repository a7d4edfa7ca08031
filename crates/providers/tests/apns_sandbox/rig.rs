//! A sandbox, senders to it, and a clock that senders believe.

use std::sync::Arc;

use reveille_model::{DryRun, Duration, MessageType, Outcome, Provider, Token, Topic, Verdict};
use reveille_providers::apns::{ApnsConfig, ApnsConnections, ApnsSender, Kind, ProviderKey};
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::jwt::SigningKey;
use reveille_providers::{Now, Push, Sender as _, client_tls};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_testkit::{ManualClock, TestSandbox};
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub(crate) const TOPIC: &str = "org.wikimedia.wikipedia";

/// As in production, but for tests that need many connections.
pub(crate) const POOL: PoolSettings =
    PoolSettings { dials_per_minute_max: 1_000, ..ApnsConfig::POOL };

pub(crate) struct Rig {
    pub(crate) sandbox: TestSandbox,
    /// What senders believe.
    pub(crate) clock: Arc<ManualClock>,
}

impl Rig {
    pub(crate) async fn start(more: &str) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        Self { sandbox: TestSandbox::start(more).await, clock }
    }

    pub(crate) fn now(&self) -> Now {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || clock.now())
    }

    pub(crate) fn config(&self) -> ApnsConfig {
        let port = self.sandbox.apns_port;
        ApnsConfig {
            provider_key: Some(ProviderKey {
                key: SigningKey::from_file(&self.sandbox.file("AuthKey.p8")).unwrap(),
                key_id: "SANDBOXKEY".to_owned(),
                team_id: "SANDBOXTEM".to_owned(),
            }),
            endpoint: Origin::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
            tls: client_tls(Some(&self.sandbox.file("ca.pem"))).unwrap(),
            kind: Kind::Alert,
            pool: POOL,
        }
    }

    /// A sender with connections of its own.
    pub(crate) fn sender_of(&self, config: ApnsConfig) -> Arc<ApnsSender> {
        Arc::new(ApnsSender::new(config, self.now(), &ApnsConnections::default()))
    }

    pub(crate) fn sender(&self) -> Arc<ApnsSender> {
        self.sender_of(self.config())
    }

    pub(crate) async fn fault(&self, mut fault: Value) {
        fault["provider"] = json!("apns");
        let answer = self.sandbox.control.post("/faults", &fault).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// How many streams connections may have open from now on.
    pub(crate) async fn allow_streams(&self, streams_max: u32) {
        let settings = json!({"provider": "apns", "streams_max": streams_max});
        assert_eq!(self.sandbox.control.post("/settings", &settings).await.status, 204);
    }

    /// The counters, once so many pushes have arrived.
    pub(crate) async fn stats(&self, received_min: u64) -> Value {
        let path = format!("/stats?provider=apns&received_min={received_min}&wait_s=10");
        self.sandbox.control.get(&path).await.json()["providers"]["apns"].clone()
    }

    pub(crate) async fn connections(&self) -> u64 {
        self.stats(0).await["connections"].as_u64().unwrap()
    }

    /// What has arrived, oldest first.
    pub(crate) async fn received(&self) -> Vec<Value> {
        let text = self.sandbox.control.get("/received?provider=apns").await.text;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn push(token: &str) -> Push {
    Push {
        token: Token::parse(Provider::Apns, token).unwrap(),
        topic: Some(Topic::parse(TOPIC).unwrap()),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        nonce: None,
        dry_run: DryRun::No,
        expires_at: SystemClock.now().plus(Duration::from_s(3600)),
        id: [7; 16],
    }
}

/// Pushes under way, to devices whose tokens begin with `prefix`.
pub(crate) fn start_many(sender: &Arc<ApnsSender>, count: usize, prefix: &str) -> JoinSet<Verdict> {
    let mut sending = JoinSet::new();
    for number in 0..count {
        let (sender, push) = (Arc::clone(sender), push(&format!("{prefix}{number:04x}")));
        sending.spawn(async move { sender.send(&push).await });
    }
    sending
}

pub(crate) async fn send_many(
    sender: &Arc<ApnsSender>,
    count: usize,
    prefix: &str,
) -> Vec<Verdict> {
    start_many(sender, count, prefix).join_all().await
}

/// How many have this outcome.
pub(crate) fn count(verdicts: &[Verdict], outcome: Outcome) -> usize {
    verdicts.iter().filter(|verdict| verdict.outcome == outcome).count()
}
