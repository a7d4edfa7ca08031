//! `[push]` and its subsections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use reveille_model::limits::{SUBSCRIPTIONS_PER_USER_MAX, TTL_S_DEFAULT, TTL_S_MAX};
use reveille_model::{CredentialSet, Duration, EventType, MessageType, Timestamp};
use reveille_providers::webpush::Guard;
use reveille_service::auth::Callers;
use reveille_service::config::{Document, Section, ServerTls};

use super::events::{LimitsConfig, read_events};
use super::feedback::read_feedback;
use super::{ApnsSection, DropGuardConfig, EventConfig, FcmSection, PublicConfig, WebPushSection};
use crate::feedback::WebhookConfig;

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:FILE`.
    Sqlite {
        /// The file.
        database: PathBuf,
        /// The keys it is sealed with.
        key_file: PathBuf,
    },
}

/// How long windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowLength {
    Fixed(Duration),
    Drawn { min: Duration, max: Duration },
}

/// The push server's settings.
#[derive(Debug)]
pub struct PushConfig {
    /// Where everything is kept.
    pub store: StoreUrl,
    /// The private API's address.
    pub listen: SocketAddr,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) callers: Callers,
    /// The public API, where there is one.
    pub public: Option<PublicConfig>,
    /// What apps may be told; the first is the default.
    pub(crate) message_types: Vec<MessageType>,
    /// What is said about event types.
    pub(crate) events: BTreeMap<EventType, EventConfig>,
    pub(crate) limits: LimitsConfig,
    pub(crate) window: WindowLength,
    pub(crate) subscriptions: SubscriptionsConfig,
    pub(crate) inbox: InboxConfig,
    pub(crate) ttl: Duration,
    pub(crate) trail_retention: Duration,
    pub(crate) waiting_max: u64,
    pub(crate) drop_guard: DropGuardConfig,
    pub(crate) webhook: Option<WebhookConfig>,
    /// Where browsers' endpoints may lead.
    pub(crate) guard: Arc<Guard>,
    /// The id of the VAPID key browsers are told of.
    pub(crate) vapid_key_id: Option<String>,
    /// That key.
    pub(crate) vapid_key: Option<Arc<str>>,
    /// Who carries pushes.
    pub providers: Providers,
}

/// The providers' sections.
#[derive(Debug, Default)]
pub struct Providers {
    /// The Firebase projects.
    pub fcm: Vec<FcmSection>,
    /// The apps at Apple.
    pub apns: Vec<ApnsSection>,
    /// Browsers.
    pub webpush: Option<WebPushSection>,
}

impl Providers {
    fn read(document: &Document) -> Self {
        Self {
            fcm: FcmSection::read_all(document),
            apns: ApnsSection::read_all(document),
            webpush: WebPushSection::read(document),
        }
    }
}

/// Wake-ups that may wait before intake is refused.
const WAITING_DEFAULT: u32 = 10_000_000;
/// How long before a certificate ends it is spoken of.
const EXPIRY_WARNING: Duration = Duration::from_s(30 * 86_400);
/// Longest window, in seconds.
const WINDOW_S_MAX: u32 = 86_400;

impl PushConfig {
    /// Reads everything the push server uses. Problems go to the document's list; with any, there is no configuration.
    pub fn read(document: &Document) -> Option<Self> {
        let mut push = document.section("push");
        if !document.has("push") {
            document.problems().add(
                "push",
                "this section is missing; `reveille sandbox init DIR` writes an example",
            );
        }
        let store = read_store(&mut push);
        let message_types = read_message_types(&mut push);
        let events = read_events(&mut push, &message_types);
        let limits = LimitsConfig::read(&mut push);
        let intake = Intake::read(push.section("intake"));
        let public = PublicConfig::read(&mut push);
        let window = read_mix(push.section("mix"));
        let subscriptions = SubscriptionsConfig::read(push.section("subscriptions"));
        let inbox = InboxConfig::read(push.section("inbox"));
        let webhook = read_feedback(push.section("feedback"));
        let drop_guard = DropGuardConfig::read(push.section("drop_guard"));
        let ttl_s = push.number("ttl_s", 1..=TTL_S_MAX).unwrap_or(TTL_S_DEFAULT);
        let trail_retention_s = push.number("trail_retention_s", 60..=604_800).unwrap_or(3_600);
        let waiting_max =
            push.number("outbox_wakeups_max", 1..=1_000_000_000).unwrap_or(WAITING_DEFAULT);
        let providers = Providers::read(document);
        push.finish();
        Some(Self {
            store: store?,
            listen: intake.listen?,
            tls: intake.tls,
            callers: intake.callers?,
            public,
            message_types,
            events,
            limits,
            window: window?,
            subscriptions,
            inbox,
            ttl: Duration::from_s(ttl_s),
            trail_retention: Duration::from_s(trail_retention_s),
            waiting_max: waiting_max.into(),
            drop_guard,
            webhook,
            guard: providers
                .webpush
                .as_ref()
                .map_or_else(Arc::default, |section| Arc::clone(&section.webpush.guard)),
            vapid_key_id: providers
                .webpush
                .as_ref()
                .and_then(|section| section.webpush.keys.current_id().map(str::to_owned)),
            vapid_key: providers
                .webpush
                .as_ref()
                .and_then(|section| Some(section.webpush.keys.keys().first()?.public().into())),
            providers,
        })
    }

    /// When credentials end, where they do.
    pub fn credential_expiries(&self) -> Vec<(CredentialSet, Timestamp)> {
        let apns = self.providers.apns.iter();
        apns.filter_map(|each| Some((each.set.clone(), each.expires_at?))).collect()
    }

    /// Things that work but may not be meant.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        let Providers { fcm, apns, webpush } = &self.providers;
        if fcm.is_empty() && apns.is_empty() && webpush.is_none() {
            warnings.push(
                "there is no [fcm.*], [apns.*] or [webpush] section: what is accepted waits until its time to live ends"
                    .to_owned(),
            );
        }
        for section in apns {
            if let Some(end) = section.expires_at
                && end < now.plus(EXPIRY_WARNING)
            {
                let day = reveille_service::text_time::format(end);
                warnings
                    .push(format!("the certificate of {} ends at {day}; renew it", section.set));
            }
        }
        if self.webhook.as_ref().is_some_and(WebhookConfig::is_in_the_clear) {
            warnings.push(
                "push.feedback.url is http: and leaves this machine: tokens cross the network unencrypted".to_owned(),
            );
        }
        if !self.listen.ip().is_loopback() && self.callers.is_anyone() {
            warnings.push(format!(
                "push.intake.listen is {}, not loopback, and there is no push.intake.tokens_file: whoever reaches it can wake devices",
                self.listen
            ));
        }
        warnings.push(
            "push.mix.mode is \"batch\": it protects single events only; whoever watches an account for two or three events can tell its device"
                .to_owned(),
        );
        warnings
    }
}

struct Intake {
    listen: Option<SocketAddr>,
    tls: Option<ServerTls>,
    callers: Option<Callers>,
}

impl Intake {
    fn read(mut section: Section) -> Self {
        let listen = if section.has("listen") {
            section.address("listen")
        } else {
            Some(SocketAddr::from(([127, 0, 0, 1], 8900)))
        };
        let tls = ServerTls::read(&mut section);
        let callers = match section.path("tokens_file") {
            None => Some(Callers::anyone()),
            Some(path) => Callers::from_file(&path)
                .map_err(|error| {
                    section.problem("tokens_file", format!("{}: {error}", path.display()));
                })
                .ok(),
        };
        section.finish();
        Self { listen, tls, callers }
    }
}

fn read_store(push: &mut Section) -> Option<StoreUrl> {
    let text = push.required_string("store", "sqlite:reveille.db")?;
    match text.split_once(':') {
        Some(("sqlite", file)) if !file.is_empty() => {
            let beside = push.resolve(&format!("{file}.key"));
            let key_file = push.path("key_file").unwrap_or(beside);
            Some(StoreUrl::Sqlite { database: push.resolve(file), key_file })
        }
        Some(("mariadb", _)) => {
            push.problem(
                "store",
                "the store mariadb: is not built yet in this version; write \"sqlite:FILE\"",
            );
            None
        }
        _ => {
            push.problem("store", "this must be \"sqlite:FILE\"");
            None
        }
    }
}

fn read_message_types(push: &mut Section) -> Vec<MessageType> {
    let words = push.strings("message_types").unwrap_or_else(|| vec!["checkEchoV1".to_owned()]);
    if words.is_empty() || words.len() > 64 {
        push.problem("message_types", "name 1 to 64 message types");
    }
    let mut types = Vec::new();
    for word in words {
        match MessageType::parse(&word) {
            Ok(message_type) => types.push(message_type),
            Err(_) => {
                push.problem(
                    "message_types",
                    "a message type is 1 to 64 letters, digits, _ . or -",
                );
            }
        }
    }
    types
}

fn read_mix(mut mix: Section) -> Option<WindowLength> {
    match mix.string("mode").as_deref() {
        Some("batch") => {}
        Some("cohort") => {
            mix.problem(
                "mode",
                "mode \"cohort\" is not built yet in this version; write \"batch\"",
            );
        }
        Some(_) => mix.problem("mode", "this must be \"batch\", the only mode that is built yet"),
        None => mix.problem(
            "mode",
            "write mode = \"batch\": the default, \"cohort\", is not built yet in this version",
        ),
    }
    for key in ["cohort_form", "cohort_floor", "batch_devices_min", "wakeups_per_device_day_max"] {
        mix.not_built(key, "mode \"cohort\"");
    }
    let mut seconds = |key: &str| mix.number(key, 1..=WINDOW_S_MAX).map(Duration::from_s);
    let (fixed, min, max) = (seconds("window_s"), seconds("window_min_s"), seconds("window_max_s"));
    let length = match (fixed, min, max) {
        (Some(length), None, None) => Some(WindowLength::Fixed(length)),
        (None, None, None) => Some(WindowLength::Fixed(Duration::from_s(120))),
        (None, Some(min), Some(max)) if min <= max => Some(WindowLength::Drawn { min, max }),
        (None, Some(_), Some(_)) => {
            mix.problem("window_min_s", "this must not be more than window_max_s");
            None
        }
        _ => {
            mix.problem("window_s", "set window_s, or window_min_s and window_max_s, not both");
            None
        }
    };
    mix.finish();
    length
}

/// Whether what callers have to say is kept for users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InboxConfig {
    pub(crate) is_enabled: bool,
    /// For so long.
    pub(crate) retention: Duration,
}

impl InboxConfig {
    fn read(mut section: Section) -> Self {
        let is_enabled = section.boolean("enabled").unwrap_or(false);
        let days = section.number("retention_days", 1..=3_650).unwrap_or(30);
        section.finish();
        Self { is_enabled, retention: Duration::from_s(days * 86_400) }
    }
}

/// What is asked of subscriptions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubscriptionsConfig {
    /// Most of one user.
    pub(crate) per_user_max: usize,
    /// One that was not registered for so long is marked stale.
    pub(crate) stale_after: Option<Duration>,
    /// Whether a device that its user registers has to prove that it has its token.
    pub(crate) verify: bool,
}

impl SubscriptionsConfig {
    fn read(mut section: Section) -> Self {
        let highest = u32::try_from(SUBSCRIPTIONS_PER_USER_MAX).unwrap_or(u32::MAX);
        let per_user_max = section.number("per_user_max", 1..=highest).unwrap_or(10);
        let verify = section.boolean("verify").unwrap_or(false);
        let stale_after_days = section.number("stale_after_days", 1..=3_650);
        section.finish();
        Self {
            per_user_max: usize::try_from(per_user_max).unwrap_or(SUBSCRIPTIONS_PER_USER_MAX),
            verify,
            stale_after: stale_after_days.map(|days| Duration::from_s(days * 86_400)),
        }
    }
}

impl WindowLength {
    /// The schedule; `key` makes drawn lengths unguessable.
    pub(crate) fn schedule(self, key: [u8; 32]) -> reveille_mixer::Schedule {
        match self {
            Self::Fixed(length) => reveille_mixer::Schedule::Fixed { length },
            Self::Drawn { min, max } => reveille_mixer::Schedule::Drawn { min, max, key },
        }
    }
}
