//! Trails in memory.

use async_trait::async_trait;
use reveille_model::NotificationId;

use super::MemoryStore;
use crate::{StoreError, TakeBack, Trail, Trails};

#[async_trait]
impl Trails for MemoryStore {
    async fn find(&self, id: NotificationId) -> Result<Option<Trail>, StoreError> {
        let state = self.lock();
        Ok(state.trails.get(&id).map(|row| Trail {
            id,
            window_end: row.window_end,
            deliver_after: row.deliver_after,
            taken_back: row.taken_back,
            cohorts: row.cohorts,
            has_left: row.window_end.is_some() && row.window_end <= state.expanded_until,
            ledger: row.ledger,
        }))
    }

    async fn take_back(&self, id: NotificationId) -> Result<TakeBack, StoreError> {
        let mut state = self.lock();
        let was_scheduled = state.scheduled.remove(&id).is_some();
        match state.trails.get_mut(&id) {
            Some(trail) if was_scheduled => {
                trail.taken_back = true;
                Ok(TakeBack::Taken)
            }
            Some(trail) if trail.taken_back => Ok(TakeBack::Taken),
            Some(_) => Ok(TakeBack::TooLate),
            None => Ok(TakeBack::Unknown),
        }
    }
}
