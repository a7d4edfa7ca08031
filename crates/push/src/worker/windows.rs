//! Releases windows: sleeps until one ends, closes it, expands what it gathered, and tells the delivery workers.

use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use reveille_mixer::{Schedule, order};
use reveille_model::{Duration, Rng, Timestamp};
use reveille_service::clock::{Clock, Stopwatch};
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Store, StoreError};
use tokio::sync::watch;

use crate::metrics::{BATCH, RELEASE_DURATION, WINDOWS};

/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_s(1);

/// The task that releases windows.
pub struct Windows {
    /// Where what was gathered is.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When windows end.
    pub schedule: Schedule,
    /// Draws the order of batches.
    pub rng: Rng,
    /// Told the end of each released window.
    pub released: watch::Sender<Timestamp>,
}

impl std::fmt::Debug for Windows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Windows").field("schedule", &self.schedule).finish_non_exhaustive()
    }
}

impl Windows {
    /// Runs until the lifecycle stops. Begins with what ended while nobody looked.
    pub async fn run(mut self, lifecycle: Lifecycle) {
        let mut until = self.schedule.window(self.clock.now()).start;
        while !lifecycle.is_stopping() {
            if let Err(error) = self.release(until, &lifecycle).await {
                tracing::error!(%error, "a window cannot be released; trying again");
                self.wait(self.clock.now().plus(STORE_RETRY), &lifecycle).await;
                continue;
            }
            let next = self.schedule.window(self.clock.now().max(until)).end;
            self.wait(next, &lifecycle).await;
            // Whatever ended meanwhile leaves as one batch.
            until = self.schedule.window(self.clock.now()).start.max(until);
        }
    }

    async fn wait(&self, moment: Timestamp, lifecycle: &Lifecycle) {
        tokio::select! {
            () = self.clock.sleep_until(moment) => {}
            () = lifecycle.stopping() => {}
        }
    }

    /// Closes every window that ended at or before `until` and expands what they gathered, in bounded transactions between which intake
    /// goes on. Tells the delivery workers as soon as it may leave.
    async fn release(&mut self, until: Timestamp, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        let watch = Stopwatch::start();
        self.store.close(until).await?;
        let (mut wakeups, mut collapsed) = (0, 0);
        while !lifecycle.is_stopping() {
            let expanded = self.store.expand(until, order(&mut self.rng)).await?;
            wakeups += expanded.wakeups;
            collapsed += expanded.collapsed;
            if expanded.released {
                self.released.send_replace(until);
                counter!(WINDOWS).increment(1);
                #[expect(clippy::cast_precision_loss, reason = "a gauge")]
                gauge!(BATCH).set(wakeups as f64);
                histogram!(RELEASE_DURATION).record(watch.seconds());
                if wakeups > 0 {
                    tracing::info!(wakeups, collapsed, "a window was released");
                }
            }
            if expanded.done {
                break;
            }
        }
        Ok(())
    }
}
