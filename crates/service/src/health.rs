//! Whether a server can do its work.

use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use http::StatusCode;
use reveille_model::{Duration, Timestamp};
use serde_json::json;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::problem::Problem;

/// How long an answer about the store is good for. Asking writes, and anyone may ask.
const CHECK_INTERVAL: Duration = Duration::from_s(1);
/// Longest time the store may take to answer.
const CHECK_TIME_MAX: Duration = Duration::from_s(5);
/// What a caller is asked to wait, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// Asks a store to do something real. An error says why it could not.
type Ask =
    dyn Fn(Timestamp) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

/// Whether a server can do its work.
pub struct Readiness {
    ask: Box<Ask>,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
    last: Mutex<Option<(Timestamp, bool)>>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

impl Readiness {
    /// Of a server whose store answers to `ask`.
    pub fn new(
        ask: impl Fn(Timestamp) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>
        + Send
        + Sync
        + 'static,
        clock: Arc<dyn Clock>,
        lifecycle: Lifecycle,
    ) -> Self {
        Self { ask: Box::new(ask), clock, lifecycle, last: Mutex::default() }
    }

    /// What a probe is told: the store does its work, and no stop is under way.
    pub async fn answer(&self) -> Result<Json<serde_json::Value>, Problem> {
        if self.lifecycle.is_stopping() {
            return Err(not_ready("the server is stopping"));
        }
        if !self.is_store_usable().await {
            return Err(not_ready("the store cannot be used; the log says why"));
        }
        Ok(Json(json!({"status": "ready"})))
    }

    /// Asks the store, at most once a second.
    async fn is_store_usable(&self) -> bool {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        if let Some((at, usable)) = *last
            && now < at.plus(CHECK_INTERVAL)
        {
            return usable;
        }
        let asked = tokio::time::timeout(CHECK_TIME_MAX.to_std(), (self.ask)(now)).await;
        let usable = match asked {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(error, "not ready: the store cannot be used");
                false
            }
            Err(_) => {
                tracing::error!("not ready: the store does not answer");
                false
            }
        };
        *last = Some((now, usable));
        usable
    }
}

fn not_ready(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready")
        .detail(detail)
        .retry_after(RETRY_AFTER_S)
}
