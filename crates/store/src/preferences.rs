//! What users have said about event types.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reveille_model::{EventType, User};

use crate::StoreError;

/// Whether an event type wakes a user, for those they have said something about.
pub type Wakes = BTreeMap<EventType, bool>;

/// Keeps preferences. [`crate::Outbox::accept`] asks them.
#[async_trait]
pub trait Preferences: Send + Sync {
    /// What a user has said; at most [`reveille_model::limits::PREFERENCES_PER_USER_MAX`].
    async fn preferences(&self, user: &User) -> Result<Wakes, StoreError>;

    /// Takes what a user says now in the place of what they said before.
    async fn prefer(&self, user: &User, wakes: Wakes) -> Result<(), StoreError>;
}
