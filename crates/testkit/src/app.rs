//! A push server inside the test's process: memory store, a clock that stands still, a provider that answers as told.

use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::PrometheusHandle;
use reveille_mixer::{GovernorSettings, PauseSettings, RetrySettings, Throttling};
use reveille_model::{CredentialSet, Duration, Provider, Timestamp, Topic};
use reveille_providers::webpush::Service;
use reveille_push::{
    BUCKETS, DeliverySettings, Expiries, Parts, PushConfig, PushServer, describe_metrics,
};
use reveille_service::config::Document;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::start_metrics;
use reveille_service::traces::Traces;
use reveille_store::memory::MemoryStore;
use reveille_store::{Mix, Store};

use crate::{Client, ManualClock, StubSender};

/// The metrics of this test process.
///
/// # Panics
/// If they cannot be collected.
pub fn metrics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    let start = || {
        let handle = start_metrics(&BUCKETS).expect("metrics");
        describe_metrics();
        handle
    };
    METRICS.get_or_init(start).clone()
}

/// A running push server.
pub struct PushApp {
    /// Talks to it.
    pub client: Client,
    /// Talks to its public API, where it has one.
    pub public: Option<Client>,
    /// Its address, for raw connections.
    pub address: std::net::SocketAddr,
    /// Its clock; windows are 10 s long.
    pub clock: Arc<ManualClock>,
    /// Its FCM.
    pub sender: Arc<StubSender>,
    /// Its APNs, for the app `wikipedia` with the topics [`Self::TOPICS`].
    pub apns: Arc<StubSender>,
    /// Its Web Push services.
    pub webpush: Arc<StubSender>,
    /// Its store. What it counts is its own, whereas metrics are those of the whole test process.
    pub store: Arc<dyn Store>,
    /// Its life.
    pub lifecycle: Lifecycle,
}

impl std::fmt::Debug for PushApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushApp").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PushApp {
    /// The time at which clocks start, at the beginning of a window.
    pub const START: Timestamp = Timestamp::from_ms(1_795_254_000_000);
    /// The topics of its only app at Apple.
    pub const TOPICS: [&str; 2] = ["org.wikimedia.wikipedia", "org.wikimedia.wikipedia.tfbeta"];
    /// Whose devices show nobody that they were woken, as of a site whose app at Apple shows alerts.
    const SILENT: [Provider; 1] = [Provider::Fcm];
    /// How many pushes a minute a provider takes.
    const PACE: u32 = 600_000;
    /// How long windows are.
    pub const WINDOW: Duration = Duration::from_s(10);

    /// Lets the server do what is to be done. With a memory store everything runs in the test's thread, so that a bounded number of turns is enough.
    pub async fn turns() {
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the current window end, and all that follows happen.
    pub async fn pass_window(&self) {
        Self::turns().await;
        self.end_window();
        Self::turns().await;
    }

    /// Starts one on a memory store.
    pub async fn start() -> Self {
        Self::start_on(Arc::new(MemoryStore::default()), "").await
    }

    /// Starts one on a store; `more` is added to `[push]`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_on(store: Arc<dyn Store>, more: &str) -> Self {
        Self::start_on_parts(store, more, &Self::TOPICS).await
    }

    /// Starts one with a public API; `public` is what stands in `[push.public]` and after it.
    pub async fn start_public(store: Arc<dyn Store>, public: &str) -> Self {
        Self::start_on(store, &format!("[push.public]\nlisten = \"127.0.0.1:0\"\n{public}")).await
    }

    /// Its public API.
    ///
    /// # Panics
    /// If it has none.
    pub fn public(&self) -> &Client {
        self.public.as_ref().expect("a public API")
    }

    /// Starts one whose app at Apple has these topics.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_with_topics(store: Arc<dyn Store>, topics: &[&str]) -> Self {
        Self::start_on_parts(store, "", topics).await
    }

    /// Starts one that says itself how it mixes: `mix` is what stands in `[push.mix]` beside the window's length. Devices of the providers in
    /// `silent` show nobody that they were woken.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_mixed(store: Arc<dyn Store>, mix: &str, silent: &[Provider]) -> Self {
        let text = format!(
            "[push]\nstore = \"sqlite:unused\"\n[push.intake]\nlisten = \"127.0.0.1:0\"\n[push.mix]\nwindow_s = 10\n{mix}"
        );
        Self::start_whole(store, &text, (&Self::TOPICS, silent, Self::PACE)).await
    }

    async fn start_on_parts(store: Arc<dyn Store>, more: &str, topics: &[&str]) -> Self {
        // Of few devices each by itself: most tests are about something else than who is woken together.
        let text = format!(
            "[push]\nstore = \"sqlite:unused\"\n{more}\n[push.mix]\nmode = \"batch\"\nwindow_s = 10\n[push.intake]\nlisten = \"127.0.0.1:0\"\n[push.events.mention]\nmessage_type = \"checkEchoV1\"\n"
        );
        Self::start_whole(store, &text, (topics, &Self::SILENT, Self::PACE)).await
    }

    /// Starts one whose providers take so many pushes a minute.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_paced(store: Arc<dyn Store>, pace: u32) -> Self {
        let text = "[push]\nstore = \"sqlite:unused\"\n[push.mix]\nmode = \"batch\"\nwindow_s = 10\n[push.intake]\nlisten = \"127.0.0.1:0\"\n";
        Self::start_whole(store, text, (&Self::TOPICS, &Self::SILENT, pace)).await
    }

    /// Starts one with a whole configuration.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_on_text(store: Arc<dyn Store>, text: &str) -> Self {
        Self::start_whole(store, text, (&Self::TOPICS, &Self::SILENT, Self::PACE)).await
    }

    async fn start_whole(
        store: Arc<dyn Store>,
        text: &str,
        (topics, silent, pace): (&[&str], &[Provider], u32),
    ) -> Self {
        crate::install_crypto();
        let document = Document::parse(text, std::env::temp_dir()).expect("TOML");
        let config = PushConfig::read(&document);
        assert_eq!(document.problems().take(), []);
        let clock = Arc::new(ManualClock::new(Self::START));
        let [sender, apns, webpush] = [(); 3].map(|()| Arc::new(StubSender::default()));
        let mut senders: reveille_push::Senders = Vec::new();
        let mut add = |set: CredentialSet, retry, stub: &Arc<StubSender>| {
            let topics: &[&str] = if set.provider() == Provider::Apns { topics } else { &[] };
            let governor = GovernorSettings {
                in_flight_max: 100,
                per_minute_max: pace,
                pause: PauseSettings::DEFAULT,
                throttling: Throttling::OfDevice,
            };
            let topics = topics.iter().map(|text| Topic::parse(text).expect("a topic")).collect();
            let settings =
                DeliverySettings { set, topics, governor, per_scope: Some(governor), retry };
            senders.push((settings, Arc::<StubSender>::clone(stub)));
        };
        let set = |provider, name| CredentialSet::new(provider, name).expect("a name");
        add(set(Provider::Fcm, "default"), RetrySettings::FCM, &sender);
        add(set(Provider::Apns, "wikipedia"), RetrySettings::APNS, &apns);
        for service in Service::ALL {
            add(service.set(), RetrySettings::WEB_PUSH, &webpush);
        }
        let config = config.expect("no problems");
        let is_silent = |set: &CredentialSet| silent.contains(&set.provider());
        let sets = senders.iter().map(|(settings, _)| &settings.set);
        let mix =
            Mix { silent: sets.filter(|set| is_silent(set)).cloned().collect(), ..config.mix() };
        let parts = Parts {
            reloads: Vec::new(),
            mix,
            store: Arc::clone(&store),
            clock: Arc::<ManualClock>::clone(&clock),
            senders,
            metrics: metrics(),
            expiries: Expiries::default(),
            traces: Traces::default(),
        };
        let lifecycle = Lifecycle::default();
        let server = PushServer::bind(config, parts).await.expect("bound");
        let address = server.address();
        let public = server.public_address().map(|at| Client::new(&format!("http://{at}")));
        server.start(&lifecycle).await.expect("started");
        Self {
            client: Client::new(&format!("http://{address}")),
            public,
            address,
            clock,
            sender,
            apns,
            webpush,
            store,
            lifecycle,
        }
    }

    /// How many wake-ups there are, by where they are.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn ledger(&self) -> reveille_model::Ledger {
        self.store.depth().await.expect("depth").ledger
    }

    /// Lets the current window end.
    pub fn end_window(&self) {
        self.clock.advance(Self::WINDOW);
    }
}

impl Drop for PushApp {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}
