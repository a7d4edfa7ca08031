//! Forgets: expired wake-ups that nobody claims, old trails, old idempotency keys. In bounded steps.

use std::sync::Arc;

use reveille_model::Duration;
use reveille_model::limits::IDEMPOTENCY_RETENTION_S;
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Store, Sweep, Swept};

/// How often it looks.
const INTERVAL: Duration = Duration::from_s(1);
/// How long a token nobody registered is remembered as suspect after it was last heard of.
const SUSPECT_RETENTION: Duration = Duration::from_s(30 * 86_400);
/// How long a counter of a limit stays when its period is over. A request that another node with a clock a little behind has taken, or that the database carries out late,
/// would begin it anew.
const COUNTER_GRACE: Duration = Duration::from_s(15);
/// How many of each kind one transaction looks at.
const LIMIT: usize = 2_000;

/// Whether a sweep ended because of its bound.
fn is_full(swept: Swept) -> bool {
    let Swept { trails, idempotency_keys, counters, inbox_items, .. } = swept;
    [trails, idempotency_keys, counters, inbox_items].iter().any(|count| *count >= LIMIT as u64)
}

/// The sweeping task.
pub(crate) struct Sweeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trail_retention: Duration,
    pub(crate) inbox_retention: Duration,
}

impl Sweeper {
    /// Runs until the lifecycle stops.
    pub(crate) async fn run(self, lifecycle: Lifecycle) {
        while !lifecycle.is_stopping() {
            let now = self.clock.now();
            let sweep = Sweep {
                now,
                trails_before: now.minus(self.trail_retention),
                idempotency_before: now.minus(Duration::from_s(IDEMPOTENCY_RETENTION_S)),
                suspects_before: now.minus(SUSPECT_RETENTION),
                counters_before: now.minus(COUNTER_GRACE),
                inbox_before: now.minus(self.inbox_retention),
                limit: LIMIT,
            };
            match self.store.sweep(sweep).await {
                Ok(swept) if swept.expired > 0 => {
                    tracing::info!(count = swept.expired, "wake-ups expired unsent");
                    continue;
                }
                // There is more.
                Ok(swept) if is_full(swept) => continue,
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "nothing can be swept; trying again"),
            }
            tokio::select! {
                () = self.clock.sleep(INTERVAL) => {}
                () = lifecycle.stopping() => {}
            }
        }
    }
}
