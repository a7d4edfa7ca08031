//! The routes. What is not one of them is an entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use axum::Router;
use axum::routing::{any, get};
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_model::Duration;
use reveille_service::body::BodyLimits;
use reveille_service::clock::Clock;
use reveille_service::health::Readiness;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::Sessions;
use tokio::sync::Semaphore;

use super::{docs, entries, operations};
use crate::config::Put;
use crate::metrics::Measures;
use crate::namespaces::Namespaces;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct ApiState(Arc<Shared>);

/// One for the process.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Sessions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) namespaces: Namespaces,
    pub(crate) measures: Measures,
    /// What renders `/metrics`.
    pub(crate) metrics: PrometheusHandle,
    pub(crate) readiness: Readiness,
    pub(crate) base_uri: String,
    pub(crate) put: Put,
    pub(crate) key_bytes_max: usize,
    pub(crate) bodies: BodyLimits,
    /// What is left of the memory that large values on their way may take together, in KiB.
    pub(crate) answers: Arc<Semaphore>,
    pub(crate) deadline: Duration,
    /// Outlives requests.
    pub(crate) lifecycle: Lifecycle,
    pub(crate) troubles: Troubles,
    pub(crate) has_explained_put: AtomicBool,
}

impl From<Shared> for ApiState {
    fn from(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// How often trouble of the store is written to the log, however many requests meet it.
const REPORT_INTERVAL: Duration = Duration::from_s(1);

/// Trouble of the store, told at a bounded rate.
#[derive(Debug)]
pub(crate) struct Troubles {
    clock: Arc<dyn Clock>,
    told_at_ms: AtomicI64,
    untold: AtomicU64,
}

impl Troubles {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, told_at_ms: AtomicI64::new(i64::MIN / 2), untold: AtomicU64::new(0) }
    }

    pub(crate) fn report(&self, what: &str) {
        let now = self.clock.now().as_ms();
        let told = self.told_at_ms.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(told).cast_unsigned() >= REPORT_INTERVAL.as_ms();
        let swap = |told| {
            self.told_at_ms.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && swap(told).is_ok() {
            let others = self.untold.swap(0, Ordering::Relaxed);
            tracing::error!(what, others, "a request failed for the store's sake");
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn router(state: ApiState) -> Router {
    Router::new()
        .route("/healthz", any(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/openapi", get(docs::openapi))
        .route("/openapi.json", get(docs::openapi))
        .fallback(entries::entry)
        .with_state(state)
}
