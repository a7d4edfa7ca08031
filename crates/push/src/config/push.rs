//! `[push]` and its subsections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use reveille_model::limits::{SUBSCRIPTIONS_PER_USER_MAX, TTL_S_DEFAULT, TTL_S_MAX};
use reveille_model::{CredentialSet, Duration, EventType, MessageType, Timestamp};
use reveille_providers::Current;
use reveille_providers::fcm::Priority;
use reveille_providers::webpush::Guard;
use reveille_service::auth::Callers;
use reveille_service::config::{Document, Section, ServerTls, TracingConfig};
use reveille_store::Mix;

use super::console::ConsoleConfig;
use super::events::{LimitsConfig, read_events};
use super::feedback::{FeedbackConfig, read_feedback};
use super::mix::{MixConfig, MixMode};
use super::store::StoreUrl;
use super::{
    ApnsSection, BrowserKey, DropGuardConfig, EventConfig, FcmSection, PublicConfig, WebPushSection,
};
use crate::compat;
use crate::metrics::BUCKETS;

/// The push server's settings.
#[derive(Debug)]
pub struct PushConfig {
    /// Where everything is kept.
    pub store: StoreUrl,
    /// The private API's address.
    pub listen: SocketAddr,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) callers: Callers,
    /// Who may look at the console, where it is on.
    pub(crate) console: Option<ConsoleConfig>,
    /// Who is not protected, and why.
    pub(crate) privacy_warnings: Vec<String>,
    /// All that is set, without secrets.
    pub(crate) shown: Vec<(String, String)>,
    /// The public API, where there is one.
    pub public: Option<PublicConfig>,
    /// What apps may be told.
    pub(crate) message_types: Vec<MessageType>,
    /// The first of them: what apps are told unless somebody says something else.
    message_type: MessageType,
    /// What is said about event types.
    pub(crate) events: BTreeMap<EventType, EventConfig>,
    pub(crate) limits: LimitsConfig,
    pub(crate) mix: MixConfig,
    pub(crate) subscriptions: SubscriptionsConfig,
    pub(crate) inbox: InboxConfig,
    pub(crate) ttl: Duration,
    pub(crate) trail_retention: Duration,
    pub(crate) waiting_max: u64,
    pub(crate) drop_guard: DropGuardConfig,
    pub(crate) feedback: Option<FeedbackConfig>,
    /// Whether the metrics of the reference service are kept too.
    pub(crate) compat_metrics: bool,
    /// Where browsers' endpoints may lead.
    pub(crate) guard: Arc<Guard>,
    /// The VAPID key browsers are told of.
    pub(crate) browser_key: Option<Arc<Current<BrowserKey>>>,
    /// What it was read from, to read files again that it names.
    pub(crate) document: Document,
    /// Where traces go, if anywhere.
    pub tracing: Option<TracingConfig>,
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
    /// The key they are told of.
    pub(crate) browser_key: Option<Arc<Current<BrowserKey>>>,
    /// What all of it was read from, to read files again that it names.
    pub(crate) document: Document,
}

impl Providers {
    fn read(document: &Document) -> Self {
        let webpush = WebPushSection::read(document);
        let browser_key = webpush.as_ref().and_then(WebPushSection::browser_key);
        Self {
            fcm: FcmSection::read_all(document),
            apns: ApnsSection::read_all(document),
            browser_key: browser_key.map(|key| Arc::new(Current::new(key))),
            webpush,
            document: document.clone(),
        }
    }

    /// The credential sets whose devices show nobody that they were woken.
    fn silent(&self) -> BTreeSet<CredentialSet> {
        let fcm = self.fcm.iter().map(|each| &each.set);
        let apns = self.apns.iter().filter(|each| each.is_silent()).map(|each| &each.set);
        fcm.chain(apns).cloned().collect()
    }

    /// Who is not in a cohort, and what keeps cohorts from their work.
    fn cohort_warnings(&self) -> Vec<String> {
        let high = self.fcm.iter().filter(|each| each.fcm.priority == Priority::High);
        let high = high.map(|FcmSection { set, .. }| {
            format!(
                "{set}.priority is \"high\": most wake-ups of a cohort show nothing, and FCM demotes an app for that; write \"normal\""
            )
        });
        let loud = self.apns.iter().filter(|each| !each.is_silent());
        let loud = loud.map(|ApnsSection { set, .. }| {
            format!(
                "{set} shows every push (kind = \"alert\"), so that its devices are in no cohort: they are woken as in mode \"batch\", which protects single events only; write kind = \"background\", or filtering_entitlement = true once Apple has given it to the app"
            )
        });
        let browsers = self.webpush.iter().map(|_| {
            "browsers may show something for every push, so that they are in no cohort: they are woken as in mode \"batch\", which protects single events only".to_owned()
        });
        high.chain(loud).chain(browsers).collect()
    }
}

/// Wake-ups that may wait before intake is refused.
const WAITING_DEFAULT: u32 = 10_000_000;
/// How long before a certificate ends it is spoken of.
const EXPIRY_WARNING: Duration = Duration::from_s(30 * 86_400);

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
        let store = StoreUrl::read(&mut push);
        let message_types = read_message_types(&mut push);
        let events = read_events(&mut push, &message_types);
        let limits = LimitsConfig::read(&mut push);
        let intake = Intake::read(push.section("intake"));
        let console = ConsoleConfig::read(push.section("console"));
        let public = PublicConfig::read(&mut push);
        let mix = MixConfig::read(push.section("mix"));
        let subscriptions = SubscriptionsConfig::read(push.section("subscriptions"));
        let inbox = InboxConfig::read(push.section("inbox"));
        let feedback = read_feedback(push.section("feedback"));
        let drop_guard = DropGuardConfig::read(push.section("drop_guard"));
        let ttl_s = push.number("ttl_s", 1..=TTL_S_MAX).unwrap_or(TTL_S_DEFAULT);
        let compat_metrics = push.boolean("compat_metrics").unwrap_or(false);
        let trail_retention_s = push.number("trail_retention_s", 60..=604_800).unwrap_or(3_600);
        let waiting_max =
            push.number("outbox_wakeups_max", 1..=1_000_000_000).unwrap_or(WAITING_DEFAULT);
        let providers = Providers::read(document);
        if mix.is_some_and(|mix| mix.mode == MixMode::Cohort) {
            one_message_type(document, &message_types, &events);
        }
        push.finish();
        Some(Self {
            store: store?,
            listen: intake.listen?,
            tls: intake.tls,
            callers: intake.callers?,
            console,
            privacy_warnings: privacy_warnings(mix?, &providers),
            shown: document.shown(),
            public,
            message_type: message_types.first()?.clone(),
            message_types,
            events,
            limits,
            mix: mix?,
            subscriptions,
            inbox,
            ttl: Duration::from_s(ttl_s),
            trail_retention: Duration::from_s(trail_retention_s),
            waiting_max: waiting_max.into(),
            drop_guard,
            feedback,
            compat_metrics,
            tracing: TracingConfig::read(document),
            guard: providers
                .webpush
                .as_ref()
                .map_or_else(Arc::default, |section| Arc::clone(&section.webpush.guard)),
            browser_key: providers.browser_key.clone(),
            document: document.clone(),
            providers,
        })
    }

    /// The bounds of the buckets of what is measured in another unit than seconds, or over longer times, by the metric's name.
    pub fn buckets(&self) -> Vec<(&'static str, Vec<f64>)> {
        let own = BUCKETS.iter().map(|(name, bounds)| (*name, bounds.to_vec()));
        let compat = self.compat_metrics.then(|| compat::buckets(self.mix.window.longest()));
        own.chain(compat.into_iter().flatten()).collect()
    }

    /// How its store is to mix devices. To be asked before the providers' sections are taken out of it.
    pub fn mix(&self) -> Mix {
        Mix {
            sizes: self.mix.sizes(),
            silent: self.providers.silent(),
            message_type: self.message_type.clone(),
            ttl: self.ttl,
            ghost_after_erasure: self.mix.ghost_after_erasure,
        }
    }

    /// Things that work but may not be meant.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        let Providers { fcm, apns, webpush, .. } = &self.providers;
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
        let is_facade_meant = self.public.as_ref().is_some_and(|public| public.mediawiki.is_meant);
        if self.subscriptions.verify && is_facade_meant {
            warnings.push(
                "push.subscriptions.verify is on: a device that is registered at /w/api.php waits for a proof, which Wikipedia's apps do not know of, and is not woken until then"
                    .to_owned(),
            );
        }
        if let Some(key) = self.feedback.as_ref().and_then(FeedbackConfig::in_the_clear) {
            warnings.push(format!(
                "push.feedback.{key} is http: and leaves this machine: tokens cross the network unencrypted"
            ));
        }
        if !self.listen.ip().is_loopback() && self.callers.is_anyone() {
            warnings.push(format!(
                "push.intake.listen is {}, not loopback, and there is no push.intake.tokens_file: whoever reaches it can wake devices",
                self.listen
            ));
        }
        if let Some(public) = self.public.as_ref().filter(|public| public.is_behind_nobody()) {
            warnings.push(format!(
                "push.public.listen is {}, not loopback, without push.public.tls_cert_file: what has the TLS stands before it, and where push.public.trusted_proxies does not name that, all devices count as one address",
                public.listen
            ));
        }
        warnings.extend(self.privacy_warnings.iter().cloned());
        warnings
    }
}

/// Who is not protected as well as could be.
fn privacy_warnings(mix: MixConfig, providers: &Providers) -> Vec<String> {
    let mut warnings = mix.warnings();
    if mix.mode == MixMode::Cohort {
        warnings.extend(providers.cohort_warnings());
    }
    warnings
}

/// `[push.intake]`, read.
pub(crate) struct Intake {
    listen: Option<SocketAddr>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) callers: Option<Callers>,
}

impl Intake {
    /// Reads it again.
    pub(crate) fn reread(document: &Document) -> Self {
        Self::read(document.section("push").section("intake"))
    }

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

/// Whoever is woken for others is told what all are told.
fn one_message_type(
    document: &Document,
    message_types: &[MessageType],
    events: &BTreeMap<EventType, EventConfig>,
) {
    let (Some(first), count) = (message_types.first(), message_types.len()) else { return };
    let what = format!(
        "in mode \"cohort\" all devices are told the same, whatever happened; write only \"{}\", or push.mix.mode = \"batch\"",
        first.as_str()
    );
    if count > 1 {
        document.problems().add("push.message_types", what.clone());
    }
    for (event_type, event) in events {
        if event.message_type != *first {
            let path = format!("push.events.{}.message_type", event_type.as_str());
            document.problems().add(&path, what.clone());
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
