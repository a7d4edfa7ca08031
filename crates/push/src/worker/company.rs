//! Gathers what nothing has caused, for each window while it is open: sealed devices whose beat it is, and no-ops.

use std::sync::Arc;

use reveille_mixer::{Schedule, Window, last_beat, noops};
use reveille_model::limits::EXPAND_MAX;
use reveille_model::{Duration, Rng, Timestamp};
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Store, StoreError};

use crate::config::MixConfig;

/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_s(1);
/// How often the store is asked to go on with one beat: enough for ten million sealed devices.
const BEAT_STEPS_MAX: u32 = 10_000;

/// The task that gathers them.
pub(crate) struct Company {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) schedule: Schedule,
    /// Draws which devices no-ops go to, and how many there are.
    pub(crate) rng: Rng,
    pub(crate) mix: MixConfig,
}

impl Company {
    /// Runs until the lifecycle stops.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) {
        let mut done_until = Timestamp::EPOCH;
        while !lifecycle.is_stopping() {
            // A clock that was set back gathers nothing twice.
            let window = self.schedule.window(self.clock.now().max(done_until));
            if let Err(error) = self.gather(window, &lifecycle).await {
                tracing::error!(%error, "sealed devices and no-ops cannot be gathered; trying again");
                self.wait(self.clock.now().plus(STORE_RETRY), &lifecycle).await;
                continue;
            }
            done_until = window.end;
            self.wait(done_until, &lifecycle).await;
        }
    }

    async fn wait(&self, moment: Timestamp, lifecycle: &Lifecycle) {
        tokio::select! {
            () = self.clock.sleep_until(moment) => {}
            () = lifecycle.stopping() => {}
        }
    }

    /// The beat first: the store remembers how far it came, so that a failure after it repeats none of it.
    async fn gather(&mut self, window: Window, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        let beat = last_beat(window.end, self.mix.sealed_period);
        for _ in 0..BEAT_STEPS_MAX {
            if self.store.beat(beat, window.end).await? || lifecycle.is_stopping() {
                break;
            }
        }
        let length = window.end.since(window.start);
        let count = noops(length, self.mix.noop_per_minute, &mut self.rng);
        let draws: Vec<u64> = (0..count).map(|_| self.rng.next_u64()).collect();
        for draws in draws.chunks(EXPAND_MAX) {
            self.store.noops(window.end, draws.to_vec()).await?;
        }
        Ok(())
    }
}
