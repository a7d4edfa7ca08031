//! Fair shares of the outbox between callers, as far as this node sees them.
//!
//! How much waits is the same for all nodes; whose it is each knows of what came to it, which behind a load balancer is as good as all of it.

use std::sync::{Arc, Mutex, PoisonError};

use reveille_mixer::Shares;
use reveille_model::{Duration, Timestamp};
use reveille_service::auth::Caller;
use reveille_store::{Store, StoreError};

/// How often it is looked how much waits. In between what was accepted here is added.
const LOOK_EVERY: Duration = Duration::from_s(1);

/// Who may have how much waiting. With one caller there is nobody to be fair to.
pub(crate) struct Sharing {
    store: Arc<dyn Store>,
    waiting_max: u64,
    known: Mutex<Option<Known>>,
    /// Held by whoever looks: the others go by what was seen last.
    looking: tokio::sync::Mutex<()>,
}

/// What was seen when it was looked last.
struct Known {
    shares: Shares<Caller>,
    waiting: u64,
    looked_at: Timestamp,
}

impl Sharing {
    /// Shares an outbox of so many wake-ups.
    pub(crate) fn new(store: Arc<dyn Store>, waiting_max: u64) -> Self {
        Self { store, waiting_max, known: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// Whether a caller may have more accepted.
    pub(crate) async fn allows(&self, caller: Caller, now: Timestamp) -> Result<bool, StoreError> {
        match self.looked_at() {
            None => {
                let _looking = self.looking.lock().await;
                if self.looked_at().is_none() {
                    self.look(now).await?;
                }
            }
            Some(at) if now.since(at) >= LOOK_EVERY => {
                if let Ok(_looking) = self.looking.try_lock() {
                    self.look(now).await?;
                }
            }
            Some(_) => {}
        }
        let known = self.known();
        Ok(known
            .as_ref()
            .is_none_or(|known| known.shares.allows(caller, known.waiting, self.waiting_max)))
    }

    /// So many were accepted from a caller for the window that ends then.
    pub(crate) fn accepted(&self, caller: Caller, window_end: Timestamp, wakeups: u64) {
        if let Some(known) = self.known().as_mut() {
            known.waiting += wakeups;
            known.shares.accepted(caller, window_end, wakeups);
        }
    }

    async fn look(&self, now: Timestamp) -> Result<(), StoreError> {
        let depth = self.store.depth().await?;
        let waiting = depth.ledger.waiting + depth.scheduled;
        // Of windows that are open something may come at any moment.
        let oldest = depth.oldest_window_end.map_or(now, |oldest| oldest.min(now));
        let mut known = self.known();
        match known.as_mut() {
            Some(known) => {
                known.shares.drained(oldest);
                (known.waiting, known.looked_at) = (waiting, now);
            }
            None => {
                let shares = Shares::new(oldest, waiting);
                *known = Some(Known { shares, waiting, looked_at: now });
            }
        }
        Ok(())
    }

    fn looked_at(&self) -> Option<Timestamp> {
        self.known().as_ref().map(|known| known.looked_at)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
