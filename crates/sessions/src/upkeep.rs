//! What is done beside requests, step by step: entries that have ended go, and deletions reach every data centre.

use std::sync::Arc;

use metrics::counter;
use reveille_model::Duration;
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::Sessions;

use crate::metrics::UPKEEP;

/// How long to wait when there was nothing to do, or when the store failed.
const REST: Duration = Duration::from_s(1);

/// Goes on until the lifecycle stops. Each step is bounded, and other writers come between two of them.
pub(crate) async fn keep_up(store: Arc<dyn Sessions>, clock: Arc<dyn Clock>, lifecycle: Lifecycle) {
    while !lifecycle.is_stopping() {
        // A step that is broken off is taken again.
        let step = tokio::select! {
            step = store.upkeep(clock.now()) => step,
            () = lifecycle.stopping() => return,
        };
        match step {
            Ok(0) => {}
            Ok(done) => {
                counter!(UPKEEP).increment(done as u64);
                continue;
            }
            Err(error) => tracing::error!(%error, "what is to be done beside requests has failed"),
        }
        tokio::select! {
            () = clock.sleep(REST) => {}
            () = lifecycle.stopping() => {}
        }
    }
}
