//! The wiring of the session store: configuration and parts in, running tasks out.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use metrics_exporter_prometheus::PrometheusHandle;
use reveille_model::Duration;
use reveille_service::body::BodyLimits;
use reveille_service::clock::Clock;
use reveille_service::health::Readiness;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::listen::{self, Listening};
use reveille_service::reload;
use reveille_service::telemetry::fold_metrics;
use reveille_service::traces::{Traces, Trust, traced};
use reveille_store::Sessions;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::{ApiState, Shared, Troubles, router};
use crate::config::SessionsConfig;
use crate::metrics::Measures;
use crate::namespaces::Namespaces;
use crate::upkeep;

/// Longest time a value may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_s(20);
/// Memory all values that arrive may take together, and all large ones that leave, in bytes.
const VALUES_TOGETHER_MAX: usize = 256 * 1024 * 1024;
/// Largest request head, in bytes: the longest key with every byte escaped, and the other headers.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What a session store is made of besides its configuration.
pub struct Parts {
    /// Where entries are kept.
    pub store: Arc<dyn Sessions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Where traces begin.
    pub traces: Traces,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Why a session store cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen at {address} (sessions.listen): {source}; is another session store running?"
)]
pub struct StartError {
    /// The address.
    address: SocketAddr,
    /// Why.
    source: std::io::Error,
}

/// A session store that is ready to run.
#[derive(Debug)]
pub struct SessionsServer {
    listener: TcpListener,
    config: SessionsConfig,
    parts: Parts,
}

impl SessionsServer {
    /// Binds the address.
    pub async fn bind(config: SessionsConfig, parts: Parts) -> Result<Self, StartError> {
        let bound = TcpListener::bind(config.listen).await;
        let listener = bound.map_err(|source| StartError { address: config.listen, source })?;
        Ok(Self { listener, config, parts })
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// Starts every task. They run until the lifecycle stops.
    pub fn start(self, lifecycle: &Lifecycle) {
        let url = self.config.url(self.address());
        let reload = self.config.reload();
        let Self { listener, config, parts } = self;
        let Parts { store, clock, metrics, traces } = parts;
        let asked = Arc::clone(&store);
        let ask = move |_| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let store = Arc::clone(&asked);
            Box::pin(async move { store.ready().await.map_err(|error| error.to_string()) })
        };
        let namespaces = Namespaces::new(config.namespaces);
        let keys_behind = Some(config.base_uri.clone());
        let state = ApiState::from(Shared {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            measures: Measures::new(&namespaces),
            namespaces,
            metrics: metrics.clone(),
            readiness: Readiness::new(ask, Arc::clone(&clock), lifecycle.clone()),
            base_uri: config.base_uri,
            put: config.put,
            key_bytes_max: config.key_bytes_max,
            bodies: BodyLimits::new(config.value_bytes_max, BODY_TIME_MAX, VALUES_TOGETHER_MAX),
            answers: Arc::new(Semaphore::new(VALUES_TOGETHER_MAX / 1024)),
            deadline: config.deadline,
            lifecycle: lifecycle.clone(),
            troubles: Troubles::new(Arc::clone(&clock)),
            has_explained_put: AtomicBool::new(false),
        });
        let listening = Listening {
            tls: config.tls,
            connections_max: config.connections_max,
            head_bytes_max: HEAD_BYTES_MAX,
            per_address: None,
        };
        let router = traced(router(state), &traces, Trust::Callers, keys_behind);
        let serving = listen::serve(listener, listening, router, lifecycle.clone());
        lifecycle.spawn("sessions", serving);
        lifecycle.spawn("upkeep", upkeep::keep_up(store, Arc::clone(&clock), lifecycle.clone()));
        reload::keep_up(vec![reload], Arc::clone(&clock), lifecycle);
        lifecycle.spawn("metrics", fold_metrics(metrics, clock, lifecycle.clone()));
        tracing::info!(url, "the session store is listening");
    }
}
