//! Preferences and limits in memory.

use async_trait::async_trait;
use reveille_model::{EventType, Limit, Timestamp, User};

use super::MemoryStore;
use super::state::State;
use crate::{Preferences, StoreError, Wakes};

impl State {
    /// What a user has said about an event type.
    pub(super) fn said(&self, user: &User, event_type: &EventType) -> Option<bool> {
        self.preferences.get(user)?.get(event_type).copied()
    }

    /// Counts a notification to a user, and says whether that is still within the limit.
    pub(super) fn is_within(
        &mut self,
        user: &User,
        event_type: &EventType,
        (limit, now): (Limit, Timestamp),
    ) -> bool {
        let ends_at = limit.period_end(now);
        let of = (user.clone(), event_type.clone());
        let counter = self.counters.entry(of).or_insert((ends_at, 0));
        // A clock that was set back begins no period anew.
        if ends_at > counter.0 {
            *counter = (ends_at, 0);
        }
        let is_within = counter.1 < limit.count;
        counter.1 += u32::from(is_within);
        is_within
    }
}

#[async_trait]
impl Preferences for MemoryStore {
    async fn preferences(&self, user: &User) -> Result<Wakes, StoreError> {
        Ok(self.lock().preferences.get(user).cloned().unwrap_or_default())
    }

    async fn prefer(&self, user: &User, wakes: Wakes) -> Result<(), StoreError> {
        self.lock().preferences.insert(user.clone(), wakes);
        Ok(())
    }
}
