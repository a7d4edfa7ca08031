//! What the delivery worker sees of a provider.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::{DryRun, Duration, MessageType, Nonce, Provider, Timestamp, Token, Topic};

use tokio::sync::watch;

use crate::Verdict;

/// Tells the time; passed in, so that nothing here reads a clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One wake-up as a provider needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The device.
    pub token: Token,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// The only thing the app is told.
    pub message_type: MessageType,
    /// What the device is asked to show, to prove that it has its token. The only thing that differs from push to push, and always as long.
    pub nonce: Option<Nonce>,
    /// Whether the provider only checks.
    pub dry_run: DryRun,
    /// When the provider may stop trying.
    pub expires_at: Timestamp,
    /// Random, and the same for every attempt.
    pub id: [u8; 16],
}

impl Push {
    /// A push that tries credentials: its token is nobody's.
    pub(crate) fn to_nobody(now: Timestamp, topic: Option<Topic>) -> Self {
        Self {
            token: Token::parse(Provider::Apns, &"0".repeat(64)).expect("hexadecimal digits"),
            topic,
            message_type: MessageType::parse("check").expect("a word"),
            nonce: None,
            dry_run: DryRun::No,
            expires_at: now.plus(Duration::from_s(1)),
            id: [0; 16],
        }
    }
}

/// Sends pushes with one credential set.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one push and says what the answer means, or what it means that there is none. Bounded in time.
    async fn send(&self, push: &Push) -> Verdict;

    /// What of the credential set a push concerns: a topic, or an origin with our key for it. Empty where there is only one.
    fn scope(&self, _push: &Push) -> String {
        String::new()
    }

    /// How often the credentials have been changed under it. What was sent before a change says nothing about what is sent after it.
    fn renewals(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }

    /// Tries the credentials without waking anybody, for one of the configured topics where there are some. Says what is wrong and what to
    /// do.
    async fn check(&self, topic: Option<&Topic>) -> Result<(), String>;
}
