//! Devices that have not shown yet that they have the token they were registered with.

use async_trait::async_trait;
use reveille_model::{
    Duration, MessageType, NewSubscription, Nonce, Subscription, SubscriptionId, Timestamp, User,
};

use crate::{Put, StoreError};

/// Keeps devices until they have proven themselves. Until then they are nobody's: they wake nobody, and take no token from anybody.
#[async_trait]
pub trait Proofs: Send + Sync {
    /// Registers a device that its user has registered before, which needs no proof. Any other is kept until it has shown the nonce, which one
    /// push carries to it, outside all windows. Asked again for the same token of the same user, the newer nonce counts; within
    /// [`reveille_model::limits::PROOF_INTERVAL_S`] nothing more is sent.
    async fn ask_proof(&self, ask: AskProof) -> Result<Asked, StoreError>;

    /// Registers a device that shows its nonce. After [`reveille_model::limits::PROOFS_WRONG_MAX`] wrong ones it is forgotten.
    async fn prove(
        &self,
        user: &User,
        shown: (SubscriptionId, Nonce),
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Proved, StoreError>;
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct AskProof {
    /// The device.
    pub new: NewSubscription,
    /// The id it gets if it is new.
    pub fresh: SubscriptionId,
    /// What it has to show.
    pub nonce: Nonce,
    /// What the app is told.
    pub message_type: MessageType,
    /// How long the push is worth sending.
    pub ttl: Duration,
    /// A random place among what is due.
    pub sort_key: i64,
    /// With more wake-ups than this waiting the store is busy.
    pub waiting_max: u64,
    /// Most devices of one user that wait for their proof; the oldest go.
    pub per_user_max: usize,
    /// The present.
    pub now: Timestamp,
}

/// What asking came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Its user had registered it before.
    Refreshed(Subscription),
    /// A push with the nonce is due. The subscription is what it will be.
    Waiting(Subscription),
}

/// What showing a nonce came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proved {
    /// It is registered now.
    Registered(Put),
    /// It was another nonce.
    Wrong,
    /// The user has no such device waiting.
    Unknown,
}
