//! Hands requests to the store, for the window that is open now.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::histogram;
use reveille_mixer::{Schedule, Window};
use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    CredentialSet, Duration, EventType, Limit, MessageType, Mixed, NewSubscription, Nonce,
    NotificationId, Policy, Provider, Rng, Spread, Subscription, SubscriptionChange,
    SubscriptionId, Timestamp, Topic, User,
};
use reveille_providers::Current;
use reveille_providers::webpush::Guard;
use reveille_service::auth::Caller;
use reveille_service::clock::Clock;
use reveille_store::{
    AcceptError, Acceptance, Accepted, AskProof, Asked, Idempotency, Imported, Item, Mix, Proved,
    Put, Store, StoreError,
};

use crate::board::Board;
use crate::compat;
use crate::config::{BrowserKey, EventConfig};
use crate::metrics::ADDED_DELAY;
use crate::sharing::Sharing;

/// How often a request that came as its window closed is tried with the next one.
const WINDOWS_TRIED_MAX: u32 = 5;

/// How long a push that asks for proof is worth sending.
const VERIFY_TTL: Duration = Duration::from_s(3_600);

/// The credential set of APNs messages for a topic that no app has. Nobody delivers for it: what is accepted waits until its time to live
/// ends, in case the caller is right and the configuration is not.
pub(crate) const NO_APP: &str = "no-app";

/// One configured credential set.
#[derive(Debug, Clone)]
pub struct App {
    /// Its credentials.
    pub set: CredentialSet,
    /// The topics they cover (APNs only).
    pub topics: Vec<Topic>,
}

/// Why no credential set can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhichApp {
    /// `app` names none, or none is named and there are several.
    Unknown,
    /// No topic is named, and it is not the only one.
    NoTopic,
}

/// What intake needs to know.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// How windows follow one another.
    pub schedule: Schedule,
    /// What apps may be told; the first is the default.
    pub message_types: Vec<MessageType>,
    /// What is said about event types.
    pub events: BTreeMap<EventType, EventConfig>,
    /// How many notifications of an event type users get.
    pub limits: BTreeMap<EventType, Limit>,
    /// And of one that is not named there.
    pub default_limit: Option<Limit>,
    /// The configured credential sets.
    pub apps: Vec<App>,
    /// Where browsers' endpoints may lead.
    pub guard: Arc<Guard>,
    /// The VAPID key browsers are told of.
    pub browser_key: Option<Arc<Current<BrowserKey>>>,
    /// Time to live where the caller gives none.
    pub ttl: Duration,
    /// With more wake-ups than this waiting nothing is accepted.
    pub waiting_max: u64,
    /// Most subscriptions of one user.
    pub per_user_max: usize,
    /// Whether a device that its user registers has to prove that it has its token.
    pub verify: bool,
    /// Whether what callers have to say is kept.
    pub has_inbox: bool,
    /// A device that was not registered for so long is marked stale.
    pub stale_after: Option<Duration>,
    /// How the store mixes devices.
    pub mix: Mix,
    /// How many callers share the outbox.
    pub callers: usize,
}

/// Whether it joins the window that is open, and not a later one of its own choice.
fn joins_now(item: &Item) -> bool {
    match item {
        Item::Tokens(_) => true,
        Item::Notification(notification) => notification.deliver_after.is_none(),
    }
}

/// The way into the store.
pub struct Intake {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: IntakeSettings,
    /// Nothing where there is one caller.
    sharing: Option<Sharing>,
    /// Wake-ups and marks accepted since the start.
    pub(crate) accepted: Arc<AtomicU64>,
    /// What was seen lately.
    pub(crate) board: Arc<Board>,
    rng: Mutex<Rng>,
    /// The window found last; nearly every request falls into it.
    window: Mutex<Option<Window>>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake over a store.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: IntakeSettings,
        rng: Rng,
    ) -> Self {
        let (rng, window) = (Mutex::new(rng), Mutex::default());
        let sharing =
            (settings.callers > 1).then(|| Sharing::new(Arc::clone(&store), settings.waiting_max));
        let (accepted, board) = (Arc::default(), Arc::default());
        Self { store, clock, settings, sharing, accepted, board, rng, window }
    }

    /// Whether a caller may have more accepted, as far as others have to be left room.
    pub(crate) async fn has_room_for(&self, caller: Caller) -> Result<bool, StoreError> {
        match &self.sharing {
            Some(sharing) => sharing.allows(caller, self.clock.now()).await,
            None => Ok(true),
        }
    }

    /// Accepts all items of a caller or none. Returns once they are on disk.
    pub async fn accept(
        &self,
        caller: Caller,
        items: Vec<Item>,
        idempotency: Option<Idempotency>,
    ) -> Result<Accepted, AcceptError> {
        let now = self.clock.now();
        let mut acceptance = Acceptance {
            now,
            window_end: self.window(now).end,
            waiting_max: self.settings.waiting_max,
            idempotency,
            items,
        };
        let joining = acceptance.items.iter().filter(|item| joins_now(item)).count();
        for _ in 0..WINDOWS_TRIED_MAX {
            let window_end = acceptance.window_end;
            match self.store.accept(acceptance).await {
                Ok(accepted) => {
                    if let Accepted::New { wakeups, .. } = &accepted {
                        self.accepted.fetch_add(*wakeups, Ordering::Relaxed);
                        self.board.accepted(now, window_end, *wakeups);
                        if let Some(sharing) = &self.sharing {
                            sharing.accepted(caller, window_end, *wakeups);
                        }
                        let delay = window_end.since(now).to_std().as_secs_f64();
                        histogram!(ADDED_DELAY).record_many(delay, joining);
                        compat::queued(window_end.since(now), joining);
                    }
                    return Ok(accepted);
                }
                Err(AcceptError::WindowClosed { closed_until, acceptance: returned }) => {
                    // The window ended meanwhile, or the clock stepped back a little. Much further back nothing is accepted: it would
                    // wait for a window that is far away.
                    let moment = closed_until.max(self.clock.now());
                    if closed_until > self.window(self.clock.now()).end {
                        tracing::error!(
                            "the clock stands before windows that are closed; set it, or restart with the right time"
                        );
                        return Err(StoreError::Busy.into());
                    }
                    acceptance = *returned;
                    acceptance.window_end = self.window(moment).end;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// Registers a device, or refreshes its registration.
    pub(crate) async fn put(&self, new: NewSubscription) -> Result<Put, StoreError> {
        let fresh = SubscriptionId::from_bytes(self.random_16());
        self.store.put(new, fresh, self.per_user_max(), self.clock.now()).await
    }

    /// Takes over devices that were registered somewhere else.
    pub(crate) async fn import(
        &self,
        devices: Vec<(NewSubscription, SubscriptionId, Timestamp)>,
    ) -> Result<Vec<Imported>, StoreError> {
        self.store.import(devices, self.per_user_max()).await
    }

    /// Registers a device whose user may be wrong about its token: what is new has to prove itself.
    pub(crate) async fn ask_proof(&self, new: NewSubscription) -> Result<Asked, StoreError> {
        let ask = {
            let mut rng = self.rng();
            AskProof {
                new,
                fresh: SubscriptionId::from_bytes(rng.bytes_16()),
                nonce: Nonce::from_bytes(rng.bytes_16()),
                message_type: MessageType::verify(),
                ttl: VERIFY_TTL,
                sort_key: rng.next_u64().cast_signed(),
                waiting_max: self.settings.waiting_max,
                per_user_max: self.per_user_max(),
                now: self.clock.now(),
            }
        };
        self.store.ask_proof(ask).await
    }

    /// Registers a device that shows its nonce.
    pub(crate) async fn prove(
        &self,
        user: &User,
        id: SubscriptionId,
        nonce: Nonce,
    ) -> Result<Proved, StoreError> {
        self.store.prove(user, (id, nonce), self.per_user_max(), self.clock.now()).await
    }

    fn per_user_max(&self) -> usize {
        self.settings.per_user_max.min(SUBSCRIPTIONS_PER_USER_MAX)
    }

    /// Changes a device of a user.
    pub(crate) async fn change(
        &self,
        user: &User,
        id: SubscriptionId,
        change: SubscriptionChange,
    ) -> Result<Option<Subscription>, StoreError> {
        self.store.change(user, id, change, self.clock.now()).await
    }

    /// The user has looked: what waits for them is cancelled. Returns how many wake-ups were at once.
    pub(crate) async fn fetched(&self, user: &User) -> Result<u64, StoreError> {
        self.store.fetched(user, self.settings.message_types.clone()).await
    }

    /// Removes every trace of a user.
    pub(crate) async fn erase(&self, user: &User) -> Result<(), StoreError> {
        self.store.erase(user, self.settings.message_types.clone()).await
    }

    /// Whether devices of a credential set show nobody that they were woken.
    pub(crate) fn is_silent(&self, set: &CredentialSet) -> bool {
        self.settings.mix.silent.contains(set)
    }

    /// How a device is woken.
    pub(crate) fn mixed(&self, device: &Subscription) -> Mixed {
        self.settings.mix.of(device)
    }

    /// Devices that were registered before this are stale, if any are.
    pub(crate) fn stale_before(&self) -> Option<Timestamp> {
        self.settings.stale_after.map(|after| self.clock.now().minus(after))
    }

    /// Sixteen random bytes.
    pub(crate) fn random_16(&self) -> [u8; 16] {
        self.rng().bytes_16()
    }

    pub(crate) fn fresh_id(&self) -> NotificationId {
        NotificationId::from_bytes(self.random_16())
    }

    /// The credential set a caller means by `app`: the section of that name, else `default`, else the only one. Where none is configured
    /// it is `default`, and what is accepted waits for it until its time to live ends.
    pub(crate) fn set_for(
        &self,
        provider: Provider,
        app: Option<&str>,
    ) -> Result<CredentialSet, WhichApp> {
        let mut of_provider = self.apps_of(provider);
        if let Some(app) = app {
            let named = of_provider.find(|each| each.set.name() == app);
            return named.map(|each| each.set.clone()).ok_or(WhichApp::Unknown);
        }
        let candidates: Vec<&App> = of_provider.collect();
        match candidates.as_slice() {
            [] => CredentialSet::new(provider, "default").map_err(|_| WhichApp::Unknown),
            [only] => Ok(only.set.clone()),
            many => many
                .iter()
                .find(|each| each.set.name() == "default")
                .map(|each| each.set.clone())
                .ok_or(WhichApp::Unknown),
        }
    }

    /// The credential set and topic an APNs caller means: `app` if it is named, else the one that has the topic; without a topic the only
    /// one there is. A topic that no app has leads to [`NO_APP`].
    pub(crate) fn apns_set_for(
        &self,
        app: Option<&str>,
        topic: Option<Topic>,
    ) -> Result<(CredentialSet, Topic), WhichApp> {
        let apps: Vec<&App> = match app {
            None => self.apps_of(Provider::Apns).collect(),
            Some(_) => {
                let set = self.set_for(Provider::Apns, app)?;
                self.apps_of(Provider::Apns).filter(|each| each.set == set).collect()
            }
        };
        let Some(topic) = topic else {
            let mut topics =
                apps.iter().flat_map(|each| each.topics.iter().map(|topic| (&each.set, topic)));
            return match (topics.next(), topics.next()) {
                (Some((set, topic)), None) => Ok((set.clone(), topic.clone())),
                _ => Err(WhichApp::NoTopic),
            };
        };
        let has_it = apps.iter().find(|each| each.topics.contains(&topic));
        let set = has_it.map(|each| each.set.clone());
        let set = match set {
            Some(set) => set,
            None => CredentialSet::new(Provider::Apns, NO_APP).map_err(|_| WhichApp::Unknown)?,
        };
        Ok((set, topic))
    }

    fn apps_of(&self, provider: Provider) -> impl Iterator<Item = &App> {
        self.settings.apps.iter().filter(move |each| each.set.provider() == provider)
    }

    /// What an app is told of an event.
    pub(crate) fn message_type_for(&self, event_type: &EventType) -> Option<MessageType> {
        self.settings
            .events
            .get(event_type)
            .map(|event| &event.message_type)
            .or_else(|| self.settings.message_types.first())
            .cloned()
    }

    /// Over which windows an event's wake-ups are spread that may leave from `moment` on: over as long as its caller says, else its event type.
    pub(crate) fn spread(
        &self,
        event_type: &EventType,
        said: Option<Duration>,
        moment: Timestamp,
    ) -> Spread {
        let configured = || self.settings.events.get(event_type).and_then(|event| event.spread);
        match said.or_else(configured) {
            Some(over) => self.settings.schedule.spread(moment, over),
            None => Spread::default(),
        }
    }

    /// What is asked before an event wakes somebody.
    pub(crate) fn policy_for(&self, event_type: &EventType) -> Policy {
        let IntakeSettings { events, limits, default_limit, .. } = &self.settings;
        Policy {
            wakes: events.get(event_type).is_none_or(|event| event.wakes),
            limit: limits.get(event_type).copied().or(*default_limit),
        }
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self, moment: Timestamp) -> Window {
        let mut known = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some(window) if window.contains(moment) => window,
            _ => *known.insert(self.settings.schedule.window(moment)),
        }
    }
}
