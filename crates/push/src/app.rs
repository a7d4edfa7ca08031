//! The wiring of the push server: configuration and parts in, running tasks out. Reads from top to bottom.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_mixer::Schedule;
use reveille_model::limits::BODY_BYTES_MAX;
use reveille_model::{CredentialSet, Duration, Provider, Timestamp};
use reveille_providers::Sender;
use reveille_service::body::BodyLimits;
use reveille_service::clock::Clock;
use reveille_service::entropy;
use reveille_service::health::Readiness;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::listen::{self, Listening};
use reveille_service::places::PerAddress;
use reveille_service::reload::{self, Reloadable};
use reveille_service::telemetry::fold_metrics;
use reveille_service::traces::{Traces, Trust, traced};
use reveille_store::{Destination, Mix, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{
    ActionApi, ApiState, Devices, PublicState, RateLimits, intake_router, public_router,
};
use crate::board::Board;
use crate::config::{
    ConsoleConfig, DropGuardConfig, FeedbackConfig, MixConfig, PublicConfig, PushConfig,
};
use crate::console::{self, Facts};
use crate::expiries::Expiries;
use crate::feedback::{MediaWiki, Webhook};
use crate::halting::Halting;
use crate::identity::{Anonymous, Identity};
use crate::intake::{App, Intake, IntakeSettings, NO_APP};
use crate::senders::Senders;
use crate::worker::{
    Company, Delivery, DeliveryParts, DeliverySettings, Muster, Privacy, Sweeper, Windows,
};

/// As many connections an address may hold in any case, for those who share one: a household, a company, a carrier.
const ADDRESS_CONNECTIONS_MIN: usize = 512;
/// Largest body of a device's registration, in bytes: the longest token with every byte escaped, and its JSON.
const PUBLIC_BODY_BYTES_MAX: usize = 32 * 1024;
/// Largest form of the Action API, in bytes: 500 tokens of FCM (about 200 bytes), escaped.
const FORM_BYTES_MAX: usize = 512 * 1024;
/// Longest time such a body may take to arrive.
const PUBLIC_BODY_TIME_MAX: Duration = Duration::from_s(5);
/// Memory all of these may take together, in bytes.
const PUBLIC_BODIES_TOGETHER_MAX: usize = 64 * 1024 * 1024;
/// Longest time a request body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_s(20);
/// Memory all request bodies under way may take together, in bytes.
const BODIES_TOGETHER_MAX: usize = 128 * 1024 * 1024;

/// What a push server is made of besides its configuration.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What sends, for each credential set.
    pub senders: Senders,
    /// Whose files are read again when they change, of those that send.
    pub reloads: Vec<Reloadable>,
    /// What renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// When credentials end, where they do.
    pub expiries: Expiries,
    /// How the store is to mix devices: what the configuration says ([`PushConfig::mix`]).
    pub mix: Mix,
    /// Where traces begin.
    pub traces: Traces,
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
    #[error("cannot listen at {address} ({setting}): {source}; is another push server running?")]
    Listen {
        /// Where the address is set.
        setting: &'static str,
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
    /// The public API cannot be made.
    #[error("push.public: {0}")]
    Public(String),
}

/// A push server that is ready to run.
pub struct PushServer {
    listener: TcpListener,
    public: Option<TcpListener>,
    config: PushConfig,
    parts: Parts,
    schedule: Schedule,
}

impl std::fmt::Debug for PushServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushServer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl PushServer {
    /// Binds the address and reads what the store keeps for us.
    pub async fn bind(config: PushConfig, parts: Parts) -> Result<Self, StartError> {
        let listener = listen_at(config.listen, "push.intake.listen").await?;
        let public = match &config.public {
            Some(public) => Some(listen_at(public.listen, "push.public.listen").await?),
            None => None,
        };
        parts.store.mix(parts.mix.clone()).await?;
        let key = parts.store.key("windows", entropy::seed()).await?;
        let schedule = config.mix.window.schedule(key);
        Ok(Self { listener, public, config, parts, schedule })
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// The address of the public API, where there is one.
    pub fn public_address(&self) -> Option<SocketAddr> {
        self.public.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Starts every task. They run until the lifecycle stops.
    pub async fn start(self, lifecycle: &Lifecycle) -> Result<(), StartError> {
        let Self { listener, public, config, parts, schedule } = self;
        let Parts { store, clock, senders, metrics, mix, mut reloads, expiries, traces } = parts;
        reloads.extend(config.reloads());
        let facts = config.facts(expiries, clock.now());
        let tls = config.tls.clone().into();
        let (released, of_delivery) = watch::channel(Timestamp::EPOCH);
        let intake = Arc::new(Intake::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            config.intake_settings(&schedule, &senders, mix),
            entropy::rng(),
        ));
        let feedback = Feedback::new(&config);
        if config.compat_metrics {
            crate::compat::turn_on();
        }
        adopt_known_topics(&store, &senders).await?;
        let bodies = BodyLimits::new(BODY_BYTES_MAX, BODY_TIME_MAX, BODIES_TOGETHER_MAX);
        let devices = Devices {
            intake: Arc::clone(&intake),
            bodies: bodies.clone(),
            released: released.clone(),
        };
        // What strangers send must not keep the site's own server waiting.
        let of_public = Devices { bodies: public_bodies(), ..devices.clone() };
        let state = ApiState {
            intake,
            devices,
            bodies,
            hmac: Arc::new(hmac_key(&store, "idempotency").await?),
            readiness: readiness(&store, &clock, lifecycle),
            metrics: metrics.clone(),
            tell: feedback.tell.clone(),
            deaths: feedback.deaths.clone(),
            halting: Halting::start(Arc::clone(&store), &clock, lifecycle).await?,
        };
        let delivery = ToDeliver {
            drop_guard: config.drop_guard,
            of_delivery,
            halted: state.halting.subscribe(),
            feedback: &feedback,
            board: &of_public.intake.board,
            traces: &traces,
        };
        delivery.start(senders, (&store, &clock), lifecycle).await?;
        feedback.start(config.feedback, (&store, &clock), lifecycle).await?;
        let sweeper = Sweeper {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            trail_retention: config.trail_retention,
            inbox_retention: config.inbox.retention,
        };
        lifecycle.spawn("sweeper", sweeper.run(lifecycle.clone()));
        crate::metrics::begin();
        lifecycle.spawn("metrics", fold_metrics(metrics, Arc::clone(&clock), lifecycle.clone()));
        reload::keep_up(reloads, clock, lifecycle);
        let windows = (&of_public.intake, schedule, &traces);
        start_windows(config.mix, windows, released, lifecycle);
        if let (Some(listener), Some(public)) = (public, config.public) {
            start_public(listener, public, (of_public, &traces), lifecycle).await?;
        }
        let has_tls = config.tls.is_some();
        let console = console_of(&state, (config.console, has_tls), facts, lifecycle).await?;
        let router = intake_router(state, config.callers, console);
        let router = traced(router, &traces, Trust::Callers, None);
        tracing::info!(address = %config.listen, "the push server is listening");
        lifecycle.spawn("intake", listen::serve(listener, tls, router, lifecycle.clone()));
        Ok(())
    }
}

/// The console's routes, where it is on.
async fn console_of(
    state: &ApiState,
    (config, has_tls): (Option<ConsoleConfig>, bool),
    facts: Facts,
    lifecycle: &Lifecycle,
) -> Result<Option<Router>, StoreError> {
    let Some(config) = config else { return Ok(None) };
    let key = hmac_key(&state.intake.store, "console").await?;
    let of = (&config, has_tls);
    Ok(Some(console::router(state.clone(), of, (key, facts), lifecycle.clone())))
}

/// Whether the store takes writes, as `/readyz` asks it.
fn readiness(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    lifecycle: &Lifecycle,
) -> Arc<Readiness> {
    let asked = Arc::clone(store);
    let ask = move |now| -> Pin<Box<dyn Future<Output = _> + Send>> {
        let store = Arc::clone(&asked);
        Box::pin(async move { store.check(now).await.map_err(|error| error.to_string()) })
    };
    Arc::new(Readiness::new(ask, Arc::clone(clock), lifecycle.clone()))
}

/// What all delivery workers share.
struct ToDeliver<'a> {
    drop_guard: DropGuardConfig,
    of_delivery: watch::Receiver<Timestamp>,
    halted: watch::Receiver<reveille_model::Providers>,
    feedback: &'a Feedback,
    board: &'a Arc<Board>,
    traces: &'a Traces,
}

impl ToDeliver<'_> {
    /// Starts one worker for each credential set.
    async fn start(
        &self,
        senders: Senders,
        (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
        lifecycle: &Lifecycle,
    ) -> Result<(), StartError> {
        for (settings, sender) in senders {
            let parts = DeliveryParts {
                store: Arc::clone(store),
                clock: Arc::clone(clock),
                rng: entropy::rng(),
                released: self.of_delivery.clone(),
                halted: self.halted.clone(),
                push_ids: hmac_key(store, "push-ids").await?,
                drop_guard: self.drop_guard.settings,
                hold: self.drop_guard.hold,
                tell: self.feedback.tell.clone(),
                deaths: self.feedback.deaths.clone(),
                board: Arc::clone(self.board),
                traces: self.traces.clone(),
            };
            let delivery = Delivery::new(parts, sender, settings);
            lifecycle.spawn("delivery", delivery.run(lifecycle.clone()));
        }
        Ok(())
    }
}

/// Starts what gathers company for each window, and what releases it.
fn start_windows(
    mix: MixConfig,
    (intake, schedule, traces): (&Arc<Intake>, Schedule, &Traces),
    released: watch::Sender<Timestamp>,
    lifecycle: &Lifecycle,
) {
    let (store, clock) = (&intake.store, &intake.clock);
    let company = Company {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        schedule: schedule.clone(),
        rng: entropy::rng(),
        mix,
    };
    lifecycle.spawn("company", company.run(lifecycle.clone()));
    let muster = mix.sizes().map(|sizes| Muster::new(Arc::clone(store), sizes, mix.muster));
    let windows = Windows {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        schedule,
        rng: entropy::rng(),
        released,
        muster,
        privacy: Privacy::new(
            mix.mode,
            mix.floor(),
            (Arc::clone(&intake.accepted), Arc::clone(&intake.board)),
        ),
        board: Arc::clone(&intake.board),
        traces: traces.clone(),
    };
    lifecycle.spawn("windows", windows.run(lifecycle.clone()));
}

async fn listen_at(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| StartError::Listen { setting, address, source })
}

/// The bounds of what devices and browsers send.
fn public_bodies() -> BodyLimits {
    BodyLimits::new(PUBLIC_BODY_BYTES_MAX, PUBLIC_BODY_TIME_MAX, PUBLIC_BODIES_TOGETHER_MAX)
}

/// Starts the public API.
async fn start_public(
    listener: TcpListener,
    config: PublicConfig,
    (devices, traces): (Devices, &Traces),
    lifecycle: &Lifecycle,
) -> Result<(), StartError> {
    let store = &devices.intake.store;
    let anonymous = if config.anonymous {
        Some(Anonymous::new(hmac_key(store, "anonymous").await?))
    } else {
        None
    };
    let identity =
        Identity::new(config.auth, anonymous, lifecycle.clone()).map_err(StartError::Public)?;
    let tls = config.tls.clone();
    let connections_max = connections_of_address(config.per_address);
    let exempt = config.trusted_proxies.clone();
    let per_address = Some(PerAddress { connections_max, exempt });
    let listening = Listening { tls, per_address, ..Listening::default() };
    let rates = RateLimits::new(
        config.per_user,
        config.per_address,
        config.trusted_proxies,
        hmac::Key::new(hmac::HMAC_SHA256, &entropy::seed()),
    );
    let (identity, rates) = (Arc::new(identity), Arc::new(rates));
    let action = ActionApi {
        bodies: BodyLimits::new(FORM_BYTES_MAX, PUBLIC_BODY_TIME_MAX, PUBLIC_BODIES_TOGETHER_MAX),
        csrf: Arc::new(hmac_key(store, "csrf").await?),
        managers: Arc::new(config.mediawiki.managers),
        wiki: config.mediawiki.wiki,
    };
    let state = PublicState { devices, identity, rates, action };
    let router = public_router(state, &config.origins).map_err(StartError::Public)?;
    let router = traced(router, traces, Trust::Strangers, None);
    tracing::info!(address = %config.listen, "the public API is listening");
    lifecycle.spawn("public", listen::serve(listener, listening, router, lifecycle.clone()));
    Ok(())
}

/// How many connections an address may hold that may have so many requests a minute. One that does nothing for half a minute is closed, so that those who
/// keep to that limit have no more, a new one for each request.
fn connections_of_address(per_minute: NonZeroU32) -> usize {
    let of_half_a_minute = usize::try_from(per_minute.get() / 2).unwrap_or(usize::MAX);
    of_half_a_minute.max(ADDRESS_CONNECTIONS_MIN)
}

/// Who is told of deaths.
struct Feedback {
    tell: Vec<Destination>,
    /// Told when there are new ones.
    deaths: watch::Sender<()>,
}

impl Feedback {
    fn new(config: &PushConfig) -> Self {
        let tell = config.feedback.iter().map(FeedbackConfig::destination).collect();
        Self { tell, deaths: watch::Sender::new(()) }
    }

    async fn start(
        &self,
        config: Option<FeedbackConfig>,
        (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
        lifecycle: &Lifecycle,
    ) -> Result<(), StartError> {
        let (store, clock) = (Arc::clone(store), Arc::clone(clock));
        let (rng, deaths) = (entropy::rng(), self.deaths.subscribe());
        match config {
            Some(FeedbackConfig::Webhook(config)) => {
                let ids = hmac_key(&store, "webhook-ids").await?;
                let webhook = Webhook { store, clock, config: *config, ids, rng, deaths };
                lifecycle.spawn("webhook", webhook.run(lifecycle.clone()));
            }
            Some(FeedbackConfig::MediaWiki(config)) => {
                let wiki = MediaWiki { store, clock, config: *config, rng, deaths };
                lifecycle.spawn("mediawiki", wiki.run(lifecycle.clone()));
            }
            None => {}
        }
        Ok(())
    }
}

/// What was accepted for a topic that no app had, and one has now, is its.
async fn adopt_known_topics(store: &Arc<dyn Store>, senders: &Senders) -> Result<(), StoreError> {
    let Ok(nobody) = CredentialSet::new(Provider::Apns, NO_APP) else { return Ok(()) };
    for (settings, _) in senders {
        for topic in &settings.topics {
            let count = store.adopt(&nobody, topic, &settings.set).await?;
            if count > 0 {
                tracing::info!(count, set = %settings.set, "wake-ups of a topic that is known now were adopted");
            }
        }
    }
    Ok(())
}

/// A key for hashes, created once in the store.
async fn hmac_key(store: &Arc<dyn Store>, name: &str) -> Result<hmac::Key, StoreError> {
    let key = store.key(name, entropy::seed()).await?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

impl PushConfig {
    /// What the console knows from the start.
    fn facts(&self, expiries: Expiries, started_at: Timestamp) -> Facts {
        Facts {
            mode: self.mix.mode,
            sizes: self.mix.sizes().map_or((0, 0), |sizes| (sizes.form, sizes.floor)),
            per_day_max: self.mix.per_day_max,
            sealed_period: self.mix.sealed_period,
            warnings: self.privacy_warnings.clone(),
            settings: self.shown.clone(),
            expiries,
            started_at,
        }
    }

    fn intake_settings(
        &self,
        schedule: &Schedule,
        senders: &[(DeliverySettings, Arc<dyn Sender>)],
        mix: Mix,
    ) -> IntakeSettings {
        IntakeSettings {
            schedule: schedule.clone(),
            message_types: self.message_types.clone(),
            events: self.events.clone(),
            limits: self.limits.of.clone(),
            default_limit: self.limits.default,
            apps: senders
                .iter()
                .map(|(settings, _)| App {
                    set: settings.set.clone(),
                    topics: settings.topics.clone(),
                })
                .collect(),
            guard: Arc::clone(&self.guard),
            browser_key: self.browser_key.clone(),
            ttl: self.ttl,
            waiting_max: self.waiting_max,
            per_user_max: self.subscriptions.per_user_max,
            verify: self.subscriptions.verify,
            has_inbox: self.inbox.is_enabled,
            stale_after: self.subscriptions.stale_after,
            mix,
            callers: self.callers.count(),
        }
    }
}
