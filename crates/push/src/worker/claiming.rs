//! A claim under way. Answers are heard meanwhile.

use std::pin::Pin;
use std::sync::Arc;

use reveille_service::traces::Traces;
use reveille_store::{Claim, Claimed, Store, StoreError};

/// What a claim comes to.
pub(super) type Claiming = Pin<Box<dyn Future<Output = Result<Vec<Claimed>, StoreError>> + Send>>;

/// Begins to claim, once this is waited for.
pub(super) fn claiming(store: &Arc<dyn Store>, claim: Claim, traces: &Traces) -> Claiming {
    let (store, traces) = (Arc::clone(store), traces.clone());
    Box::pin(async move {
        let mut span = traces.begin("claim");
        span.of_set(&claim.set);
        let claimed = store.claim(claim).await;
        match &claimed {
            Ok(claimed) => span.count("reveille.wakeups", claimed.len() as u64),
            Err(_) => span.failed(),
        }
        claimed
    })
}

/// Waits for the claim under way; without one, for ever.
pub(super) async fn claimed(claiming: &mut Option<Claiming>) -> Result<Vec<Claimed>, StoreError> {
    let Some(future) = claiming else { return std::future::pending().await };
    let claimed = future.await;
    *claiming = None;
    claimed
}
