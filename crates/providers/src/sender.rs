//! What the delivery worker sees of a provider.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::{DryRun, MessageType, Timestamp, Token, Topic};

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
    /// Whether the provider only checks.
    pub dry_run: DryRun,
    /// When the provider may stop trying.
    pub expires_at: Timestamp,
}

/// Sends pushes with one credential set.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one push and says what the answer means, or what it means that there is none. Bounded in time.
    async fn send(&self, push: &Push) -> Verdict;

    /// Tries the credentials without sending anything. Says what is wrong and what to do.
    async fn check(&self) -> Result<(), String>;
}
