//! Sends pushes to browsers. The only file here that connects.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use reqwest::redirect::Policy;
use reveille_model::{
    Delay, DryRun, Duration, Outcome, Proof, Reason, Strike, Timestamp, Topic, Verdict,
};
use tokio::sync::{Semaphore, watch};

use super::config::{Urgency, WebPushConfig};
use super::encrypt::{encrypt, record};
use super::guard::Guard;
use super::opening::Openings;
use super::reply::{Answer, KEY_MISMATCH, UNAUTHORIZED, reply};
use super::request::headers;
use super::resolver::{GuardedResolver, Lookup, SystemLookup, Unresolved};
use super::service::Service;
use super::target::{Target, TargetError};
use super::vapid::VapidKeys;
use crate::{Current, Now, Push, Sender, parse_retry_after};

/// Names that are looked up at once. A lookup takes a thread, whether anybody still waits for it or not.
const LOOKUPS_MAX: usize = 64;
/// Longest time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_s(5);
/// Longest time for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_s(15);
/// Largest part of an answer that is read, in bytes.
const REPLY_BYTES_MAX: usize = 4_096;
/// Idle connections that are kept to one host, and for how long.
const IDLE_PER_HOST_MAX: usize = 2;
const IDLE_TIME_MAX: Duration = Duration::from_s(15);
/// A host that does not exist, or that we may not send to, for so long: the subscription looks dead.
const NOWHERE: Strike = Strike { count_min: 2, age_min: Duration::from_s(7 * 86_400) };
/// A browser whose push service refuses us so often in a row, and for so long, is held back.
const REFUSED: Strike = Strike { count_min: 3, age_min: Duration::from_s(3_600) };
/// A refusal of ours is the subscription's fault if the same service has taken a push signed with the same key within so long.
const KEY_WORKS_FOR: Duration = Duration::from_s(3_600);
/// Most origins of which that is remembered; the oldest go first.
const ORIGINS_MAX: usize = 4_096;

/// Sends with our VAPID keys.
pub struct WebPushSender {
    credentials: Current<Credentials>,
    guard: Arc<Guard>,
    urgency: Urgency,
    now: Now,
    openings: Openings,
    lookup: Arc<dyn Lookup>,
    renewals: watch::Sender<u64>,
}

/// Who we are and whom we trust.
struct Credentials {
    client: reqwest::Client,
    keys: VapidKeys,
    /// When an origin last took a push signed with a key.
    worked: Mutex<BTreeMap<(String, usize), Timestamp>>,
}

impl std::fmt::Debug for WebPushSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebPushSender").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Credentials {
    fn new(config: WebPushConfig, lookup: Arc<dyn Lookup>) -> Result<Self, String> {
        let mut tls = rustls::ClientConfig::clone(&config.tls);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let proxy = config
            .proxy
            .map(|url| reqwest::Url::parse(&url).map_err(|_| "the proxy is no URL".to_owned()))
            .transpose()?;
        let resolver = GuardedResolver {
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            guard: Arc::clone(&config.guard),
            lookup,
            proxy: proxy.as_ref().and_then(|url| url.host_str()).map(str::to_owned),
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(resolver))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.to_std())
            .timeout(REQUEST_TIMEOUT.to_std())
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX.to_std());
        if let Some(proxy) = proxy {
            builder =
                builder.proxy(reqwest::Proxy::https(proxy).map_err(|error| error.to_string())?);
        }
        let client =
            builder.build().map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        Ok(Self { client, keys: config.keys, worked: Mutex::default() })
    }

    /// What an answer means in the light of others from the same origin to the same key.
    fn judge(&self, verdict: Verdict, place: (String, usize), now: Timestamp) -> Verdict {
        let mut worked = self.worked.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict.outcome {
            Outcome::Accepted => {
                if worked.len() >= ORIGINS_MAX
                    && !worked.contains_key(&place)
                    && let Some(oldest) =
                        worked.iter().min_by_key(|(_, at)| **at).map(|(place, _)| place.clone())
                {
                    worked.remove(&oldest);
                }
                worked.insert(place, now);
                verdict
            }
            Outcome::RefreshCredential | Outcome::ConfigError => {
                let works = worked.get(&place).is_some_and(|at| now.since(*at) < KEY_WORKS_FOR);
                let outcome = match verdict.outcome {
                    // The token is fresh: our key is wrong for everybody there ...
                    _ if !works => Outcome::ConfigError,
                    // ... or for this browser.
                    Outcome::RefreshCredential => Outcome::DropSubscription(Proof::Guarded),
                    // Whatever it refuses, it is not our key; one endpoint that a client chose must not pause all others.
                    _ => Outcome::RetryMessage(Delay::ServerError(None)),
                };
                let verdict = Verdict::of(outcome, verdict.reason);
                match outcome {
                    Outcome::DropSubscription(_) => verdict,
                    _ => verdict.with_strike(REFUSED),
                }
            }
            _ => verdict,
        }
    }
}

impl WebPushSender {
    /// A sender that resolves names as the machine does.
    pub fn new(config: WebPushConfig, now: Now) -> Result<Self, String> {
        Self::with_lookup(config, now, Arc::new(SystemLookup))
    }

    /// A sender that resolves names with `lookup`.
    pub fn with_lookup(
        config: WebPushConfig,
        now: Now,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, String> {
        let (guard, urgency) = (Arc::clone(&config.guard), config.urgency);
        let credentials = Current::new(Credentials::new(config, Arc::clone(&lookup))?);
        let (openings, renewals) = (Openings::default(), watch::Sender::new(0));
        Ok(Self { credentials, guard, urgency, now, openings, lookup, renewals })
    }

    /// Takes other keys, read from the same section. Browsers that subscribed with one that is not among them cannot be woken any more.
    pub fn renew(&self, config: WebPushConfig) -> Result<(), String> {
        let renewed = Credentials::new(config, Arc::clone(&self.lookup))?;
        let before = self.credentials.get();
        let is_gone = |id: &str| !renewed.keys.keys().iter().any(|key| key.id() == id);
        let gone = before.keys.keys().iter().filter(|key| is_gone(key.id())).count();
        if gone > 0 {
            tracing::warn!(
                gone,
                "VAPID keys are gone; browsers that subscribed with them cannot be woken"
            );
        }
        self.credentials.put(renewed);
        self.renewals.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Where we may send.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    async fn send_now(&self, push: &Push) -> Verdict {
        let target = match Target::from_token(&push.token, &self.guard) {
            Ok(target) => target,
            // The guard became stricter since it was registered, or the token was never one.
            Err(TargetError::Endpoint(_)) => return nowhere(Reason::REFUSED_HOST),
            Err(_) => return Verdict::new(Outcome::PayloadError, "unfit").for_scope(),
        };
        let verdict = match encrypt(&target, &record(&push.message_type, push.nonce)) {
            Ok(body) => self.send_with_keys(push, &target, &body).await,
            Err(_) => Verdict::new(Outcome::PayloadError, "bad_crypto"),
        };
        // That a service is in trouble concerns all of it. Everything else may be about this endpoint, which a client chose.
        let is_trouble = matches!(
            verdict.outcome,
            Outcome::RetryMessage(_) | Outcome::PauseProvider(_) | Outcome::Accepted
        );
        let host = target.endpoint.host_str().unwrap_or_default();
        if is_trouble && verdict.strike.is_none() && Service::is_only_host(host) {
            verdict
        } else {
            verdict.for_scope()
        }
    }

    /// Sends with the key the browser subscribed with; where that is not known, with each until one fits.
    async fn send_with_keys(&self, push: &Push, target: &Target, body: &Bytes) -> Verdict {
        // To the end with what it began with.
        let credentials = self.credentials.get();
        // Without a key of its own: it was taken out of the configuration, and only its owner can reach this browser.
        let mut verdict = Verdict::new(Outcome::DropSubscription(Proof::Guarded), "key_gone");
        for key in credentials.keys.candidates(target.key_id.as_deref()) {
            verdict = self.send_with(push, target, (&credentials, body, key)).await;
            let is_wrong_key = verdict.reason == KEY_MISMATCH || verdict.reason == UNAUTHORIZED;
            if !is_wrong_key {
                break;
            }
        }
        verdict
    }

    async fn send_with(
        &self,
        push: &Push,
        target: &Target,
        (credentials, body, key): (&Credentials, &Bytes, usize),
    ) -> Verdict {
        let (origin, now) = (target.endpoint.origin().ascii_serialization(), (self.now)());
        let Some(authorization) = credentials.keys.header(&origin, key, now) else {
            return Verdict::of(Outcome::ConfigError, Reason::CREDENTIAL_REFUSED);
        };
        let turn = self.openings.enter(&origin, now).await;
        let client = &credentials.client;
        let mut verdict = self.attempt(push, target, (client, &authorization, body)).await;
        drop(turn);
        if verdict.outcome == Outcome::RefreshCredential
            && let Some(fresh) =
                credentials.keys.instead_of(&authorization, (&origin, key), (self.now)())
        {
            verdict = self.attempt(push, target, (client, &fresh, body)).await;
        }
        credentials.judge(verdict, (origin, key), (self.now)())
    }

    async fn attempt(
        &self,
        push: &Push,
        target: &Target,
        (client, authorization, body): (&reqwest::Client, &HeaderValue, &Bytes),
    ) -> Verdict {
        let headers = headers(push, self.urgency, authorization.clone(), (self.now)());
        let request = client.post(target.endpoint.clone()).headers(headers).body(body.clone());
        let answer = request.send().await;
        let answered_at = answer.is_ok().then(|| (self.now)());
        self.openings.heard(&target.endpoint.origin().ascii_serialization(), answered_at);
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => return without_answer(&error),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        // What is left of a long answer, or does not come, would not change what the status says; an answer that cannot be read drops nobody.
        while body.len() < REPLY_BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend(chunk.iter().take(REPLY_BYTES_MAX - body.len()));
        }
        let text = |name: &str| header_text(&headers, name);
        let now = (self.now)();
        let answer = Answer {
            status,
            retry_after: text(header::RETRY_AFTER.as_str())
                .and_then(|value| parse_retry_after(value, now)),
            wns_status: text("x-wns-status"),
            body: &body,
            service: target.service(),
        };
        reply(&answer, now)
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// There is no answer (rule 0.7). Which of our own looks refused it, if one did, is in the chain of causes.
fn without_answer(error: &reqwest::Error) -> Verdict {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(each) = cause {
        match each.downcast_ref::<Unresolved>() {
            Some(Unresolved::Refused) => return nowhere(Reason::REFUSED_HOST),
            Some(Unresolved::Unknown) => return nowhere(Reason::UNKNOWN_HOST),
            Some(Unresolved::Unavailable) => break,
            None => cause = each.source(),
        }
    }
    let (delay, reason) = if error.is_connect() {
        (Delay::Unreachable, Reason::UNREACHABLE)
    } else if error.is_timeout() {
        (Delay::Unanswered, Reason::TIMEOUT)
    } else {
        (Delay::Unanswered, Reason::CONNECTION_LOST)
    };
    Verdict::of(Outcome::RetryMessage(delay), reason)
}

fn nowhere(reason: Reason) -> Verdict {
    Verdict::of(Outcome::RetryMessage(Delay::Unreachable), reason).for_scope().with_strike(NOWHERE)
}

#[async_trait]
impl Sender for WebPushSender {
    async fn send(&self, push: &Push) -> Verdict {
        // Web Push has no dry run.
        if push.dry_run == DryRun::Yes {
            return Verdict::of(Outcome::Accepted, Reason::DRY_RUN);
        }
        self.send_now(push).await
    }

    /// The origin, and which of our keys it knows.
    fn scope(&self, push: &Push) -> String {
        match Target::from_token(&push.token, &self.guard) {
            Ok(target) => {
                let origin = target.endpoint.origin().ascii_serialization();
                format!("{origin} {}", target.key_id.as_deref().unwrap_or_default())
            }
            Err(_) => String::new(),
        }
    }

    fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    /// There is nobody to ask without a browser: signs something.
    async fn check(&self, _topic: Option<&Topic>) -> Result<(), String> {
        match self.credentials.get().keys.header("https://push.example", 0, (self.now)()) {
            Some(_) => Ok(()),
            None => Err("nothing can be signed with the VAPID key".to_owned()),
        }
    }
}
