//! The wiring of the push server: configuration and parts in, running tasks out. Reads from top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_mixer::Schedule;
use reveille_model::limits::BODY_BYTES_MAX;
use reveille_model::{Duration, Timestamp};
use reveille_providers::fcm::FcmSender;
use reveille_providers::{Now, Sender};
use reveille_service::body::BodyLimits;
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::{entropy, listen};
use reveille_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{ApiState, Readiness, router};
use crate::config::{FcmSection, PushConfig};
use crate::intake::{Intake, IntakeSettings};
use crate::worker::{Delivery, DeliverySettings, Sweeper, Windows};

/// Longest time a request body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_s(20);
/// Memory all request bodies under way may take together, in bytes.
const BODIES_TOGETHER_MAX: usize = 128 * 1024 * 1024;

/// What sends, for each credential set.
pub type Senders = Vec<(DeliverySettings, Arc<dyn Sender>)>;

/// What a push server is made of besides its configuration.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What sends, for each credential set.
    pub senders: Senders,
    /// What renders `/metrics`.
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Why a push server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error(
        "cannot listen at {address} (push.intake.listen): {source}; is another push server running?"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sender cannot be made.
    #[error("{0}")]
    Sender(String),
}

/// A push server that is ready to run.
pub struct PushServer {
    listener: TcpListener,
    config: PushConfig,
    parts: Parts,
    schedule: Schedule,
}

impl std::fmt::Debug for PushServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushServer").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The senders of a configuration's sections, which are taken out of it.
pub fn senders(sections: Vec<FcmSection>, clock: &Arc<dyn Clock>) -> Result<Senders, StartError> {
    let mut senders: Senders = Vec::new();
    for FcmSection { set, fcm, governor } in sections {
        let of_sender = Arc::clone(clock);
        let now: Now = Arc::new(move || of_sender.now());
        let sender = FcmSender::new(fcm, now)
            .map_err(|what| StartError::Sender(format!("{set}: {what}")))?;
        senders.push((DeliverySettings { set, governor }, Arc::new(sender)));
    }
    Ok(senders)
}

impl PushServer {
    /// Binds the address and reads what the store keeps for us.
    pub async fn bind(config: PushConfig, parts: Parts) -> Result<Self, StartError> {
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address, source })?;
        let key = parts.store.key("windows", entropy::seed()).await?;
        let schedule = config.window.schedule(key);
        Ok(Self { listener, config, parts, schedule })
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// Starts every task. They run until the lifecycle stops.
    pub async fn start(self, lifecycle: &Lifecycle) -> Result<(), StartError> {
        let Self { listener, config, parts, schedule } = self;
        let Parts { store, clock, senders, metrics } = parts;
        let tls = config.tls.as_ref().map(reveille_service::config::ServerTls::acceptor);
        let (released, of_delivery) = watch::channel(Timestamp::EPOCH);
        let intake = Arc::new(Intake::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            config.intake_settings(&schedule, &senders),
            entropy::rng(),
        ));
        let hmac_key = store.key("idempotency", entropy::seed()).await?;
        let state = ApiState {
            intake,
            bodies: BodyLimits::new(BODY_BYTES_MAX, BODY_TIME_MAX, BODIES_TOGETHER_MAX),
            hmac: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &hmac_key)),
            readiness: Arc::new(Readiness::new(
                Arc::clone(&store),
                Arc::clone(&clock),
                lifecycle.clone(),
            )),
            metrics,
        };
        for (settings, sender) in senders {
            let seeded = (entropy::rng(), of_delivery.clone());
            let delivery =
                Delivery::new(Arc::clone(&store), Arc::clone(&clock), sender, settings, seeded);
            lifecycle.spawn("delivery", delivery.run(lifecycle.clone()));
        }
        let windows = Windows {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            schedule,
            rng: entropy::rng(),
            released,
        };
        lifecycle.spawn("windows", windows.run(lifecycle.clone()));
        let sweeper = Sweeper { store, clock, trail_retention: config.trail_retention };
        lifecycle.spawn("sweeper", sweeper.run(lifecycle.clone()));
        let router: Router = router(state, config.callers);
        tracing::info!(address = %config.listen, "the push server is listening");
        lifecycle.spawn("intake", listen::serve(listener, tls, router, lifecycle.clone()));
        Ok(())
    }
}

impl PushConfig {
    fn intake_settings(
        &self,
        schedule: &Schedule,
        senders: &[(DeliverySettings, Arc<dyn Sender>)],
    ) -> IntakeSettings {
        IntakeSettings {
            schedule: schedule.clone(),
            message_types: self.message_types.clone(),
            events: self.events.clone(),
            sets: senders.iter().map(|(settings, _)| settings.set.clone()).collect(),
            ttl: self.ttl,
            waiting_max: self.waiting_max,
            per_user_max: self.per_user_max,
        }
    }
}
