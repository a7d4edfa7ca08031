//! Devices that look dead, while a mistake of ours would look the same: watched, or held in quarantine until more is known.

use std::fmt;

use async_trait::async_trait;
use reveille_model::{CredentialSet, IdError, SubscriptionId, Timestamp, Topic};

use crate::{Destination, StoreError, TokenKey};

/// Keeps quarantined devices. They come in by [`crate::End::Suspected`] and by strikes; they leave by a push that is taken, by a new
/// registration, by a second verdict in a scope that can be trusted, or by an operator's word.
///
/// Every call concerns at most [`reveille_model::limits::QUARANTINE_PAGE_MAX`] devices.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Those whose id comes after `after`, in order of their ids.
    async fn quarantined(
        &self,
        after: Option<QuarantineId>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError>;

    /// How many there are.
    async fn quarantined_count(&self) -> Result<u64, StoreError>;

    /// Takes them out: they live. What waits for them is due now. Returns how many there were.
    async fn release(&self, which: Which, now: Timestamp) -> Result<u64, StoreError>;

    /// Drops them: their subscriptions go, what waits for them ends as dead, and it is told. Returns how many there were.
    async fn drop_quarantined(
        &self,
        which: Which,
        tell: Vec<Destination>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// Names a quarantined device. Not its token, and nothing the token could be made from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineId(pub TokenKey);

impl QuarantineId {
    /// From its text form, 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        // The same text form as every other id.
        SubscriptionId::parse(text).map(|id| Self(TokenKey(*id.as_bytes())))
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SubscriptionId::from_bytes(self.0.0))
    }
}

impl fmt::Debug for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A device in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name here.
    pub id: QuarantineId,
    /// The credentials it was sent to with.
    pub set: CredentialSet,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// Its subscription; nothing where a caller named the token and nobody registered it.
    pub subscription: Option<SubscriptionId>,
    /// Why it looks dead: the reason of the last verdict.
    pub reason: String,
    /// When the first verdict came.
    pub since: Timestamp,
    /// How many came.
    pub verdicts: u32,
    /// It is not sent to before this.
    pub next_try: Timestamp,
}

/// Which of those in quarantine are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// One.
    One(QuarantineId),
    /// Those of a credential set.
    Set(CredentialSet),
    /// All of them.
    All,
}
