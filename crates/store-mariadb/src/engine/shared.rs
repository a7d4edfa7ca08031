//! What all transactions of a process share.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use reveille_model::{Shuffle, Timestamp};
use reveille_store::tables::Plan;
use reveille_vault::Vault;
use sqlx::MySqlPool;

use super::lanes::Lanes;
use super::nodes::Node;
use super::sets::Sets;
use crate::cohorts::Mixing;
use crate::error::Done;
use crate::outbox::DoubtfulClaims;

/// How long a replica may take to answer.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// Who takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masters {
    /// One server.
    One,
    /// Galera's: what another one has locked is not seen, and what two have written shows at the commit.
    Several,
}

/// What all transactions of a process share.
pub(crate) struct Engine {
    pub(crate) pool: MySqlPool,
    /// A server that follows, a little behind.
    replica: Option<MySqlPool>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) node: Node,
    pub(crate) sets: Sets,
    /// How long one transaction may take.
    pub(crate) transaction_timeout: Duration,
    pub(crate) clock_skew_max: Option<Duration>,
    pub(crate) masters: Masters,
    /// The order of the release under way, with its shuffle. Can be made again at any time.
    pub(crate) plan: Mutex<Option<(Shuffle, Arc<Plan>)>>,
    /// Up to which window our own process was told that everything may leave, in milliseconds.
    pub(crate) told: AtomicI64,
    /// See [`reveille_store::Census::partial`].
    pub(crate) partial: AtomicU64,
    /// Up to which wake-up was looked for ones that expired.
    pub(crate) swept_until: AtomicI64,
    /// When suspects were looked through last, in milliseconds.
    pub(crate) suspects_swept_at: AtomicI64,
    /// Claims that may have been written.
    pub(crate) doubtful: DoubtfulClaims,
    mixing: RwLock<Option<Arc<Mixing>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(
        (pool, replica): (MySqlPool, Option<MySqlPool>),
        vault: Vault,
        node: Node,
        bounds: (Duration, Option<Duration>),
        masters: Masters,
    ) -> Self {
        let lanes = Lanes::of(node.slot());
        Self {
            pool,
            replica,
            vault: Arc::new(vault),
            lanes: Arc::new(lanes),
            node,
            sets: Sets::default(),
            transaction_timeout: bounds.0,
            clock_skew_max: bounds.1,
            masters,
            plan: Mutex::default(),
            told: AtomicI64::new(Timestamp::EPOCH.as_ms()),
            partial: AtomicU64::default(),
            swept_until: AtomicI64::default(),
            suspects_swept_at: AtomicI64::default(),
            doubtful: DoubtfulClaims::default(),
            mixing: RwLock::default(),
        }
    }

    /// Asks what may be a little old: the server that follows, where there is one, and ours where that gives no answer.
    pub(crate) async fn look<T, F: Future<Output = Done<T>> + Send>(
        &self,
        ask: impl Fn(MySqlPool) -> F + Send,
    ) -> Done<T> {
        if let Some(replica) = &self.replica {
            let answer = tokio::time::timeout(LOOK_TIME_MAX, ask(replica.clone())).await;
            match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failed)) => {
                    let error = reveille_store::StoreError::from(failed);
                    tracing::warn!(%error, "the replica cannot be asked");
                }
                Err(_) => tracing::warn!("the replica does not answer in time"),
            }
        }
        self.ask(ask(self.pool.clone())).await
    }

    pub(crate) async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
        self.pool.close().await;
    }

    /// How devices are mixed, once that was said.
    pub(crate) fn mixing(&self) -> Option<Arc<Mixing>> {
        self.mixing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn mix(&self, mixing: Mixing) {
        *self.mixing.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(mixing));
    }

    /// The plan of a release, if this process has made it.
    pub(crate) fn planned(&self, shuffle: Shuffle) -> Option<Arc<Plan>> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.as_ref().filter(|(of, _)| *of == shuffle).map(|(_, plan)| Arc::clone(plan))
    }

    pub(crate) fn keep_plan(&self, plan: Option<(Shuffle, Arc<Plan>)>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }
}
