//! Rows of counts, so many that transactions that run beside one another each have one of their own.
//!
//! Every transaction that writes changes counts of the ledger. In one row they would wait for one another, through the disk. So it has a lane: a row that no other
//! transaction of the process uses meanwhile, and none of another process but by chance, which costs time and nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::nodes::NODES_MAX;

/// Lanes of one process: so many of its transactions write at once.
const OF_NODE: usize = 8;
/// Lanes there are.
pub(crate) const LANES: usize = OF_NODE * NODES_MAX;

/// The lanes of a process.
#[derive(Debug)]
pub(crate) struct Lanes {
    free: Mutex<Vec<i64>>,
    places: Arc<Semaphore>,
}

/// A lane that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lane {
    id: i64,
    lanes: Arc<Lanes>,
    _place: OwnedSemaphorePermit,
}

impl Lanes {
    /// Those of the process in a slot.
    pub(super) fn of(slot: i64) -> Self {
        let count = i64::try_from(OF_NODE).unwrap_or_default();
        // Whoever has no place uses the first one's.
        let first = slot.max(0) * count;
        let free = (first..first + count).rev().collect();
        Self { free: Mutex::new(free), places: Arc::new(Semaphore::new(OF_NODE)) }
    }

    /// Waits for a free lane.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Lane> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let id = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Lane { id, lanes: Arc::clone(self), _place: place })
    }
}

impl Lane {
    pub(crate) const fn id(&self) -> i64 {
        self.id
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lanes.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Lanes, OF_NODE};

    #[tokio::test]
    async fn a_lane_is_one_transactions_and_comes_back() {
        let lanes = Arc::new(Lanes::of(2));
        let mut taken = Vec::new();
        for _ in 0..OF_NODE {
            taken.push(lanes.take().await.unwrap());
        }
        let mut ids: Vec<i64> = taken.iter().map(super::Lane::id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (16..24).collect::<Vec<i64>>());
        let last = taken.pop().unwrap();
        let id = last.id();
        // The second is polled while the first waits.
        let (waited, ()) = tokio::join!(lanes.take(), async { drop(last) });
        assert_eq!(waited.unwrap().id(), id);
    }
}
