//! Deaths that others are to be told of.

use async_trait::async_trait;
use reveille_model::{CredentialSet, SubscriptionId, Timestamp, Token, Topic, User};

use crate::StoreError;

/// Keeps deaths until each destination has been told. They come in when a wake-up is settled as dead, in the same transaction; one whose
/// token turns out to live (a push to it is taken, an app registers it) is taken back untold.
#[async_trait]
pub trait Feedback: Send + Sync {
    /// Deaths to be told now, those due first. Of one token only the oldest: the next one comes after it is told.
    async fn untold(
        &self,
        to: Destination,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Death>, StoreError>;

    /// When the next is due.
    async fn next_untold(&self, to: Destination) -> Result<Option<Timestamp>, StoreError>;

    /// These were told.
    async fn told(&self, ids: Vec<DeathId>) -> Result<(), StoreError>;

    /// This one could not be told, and is due again then.
    async fn tell_again(&self, id: DeathId, due_at: Timestamp) -> Result<(), StoreError>;

    /// How many are untold, and since when the oldest.
    async fn untold_count(&self) -> Result<(u64, Option<Timestamp>), StoreError>;
}

/// Whom deaths are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// `[push.feedback] mode = "webhook"`.
    Webhook,
    /// `[push.feedback] mode = "mediawiki"`.
    MediaWiki,
}

impl Destination {
    /// Its word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::MediaWiki => "mediawiki",
        }
    }
}

/// Names a death inside one store. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeathId(pub i64);

/// A token that is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Its number.
    pub id: DeathId,
    /// The credentials it was sent to with.
    pub set: CredentialSet,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// The token.
    pub token: Token,
    /// Whose it was, if it was registered here.
    pub owner: Option<Owner>,
    /// Why: the reason of the verdict.
    pub reason: String,
    /// When the verdict came.
    pub at: Timestamp,
    /// How often telling it failed.
    pub attempts: u32,
}

/// A registration that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Whose it was.
    pub user: User,
}
