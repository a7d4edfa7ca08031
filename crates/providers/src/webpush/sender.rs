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

use super::config::{Urgency, WebPushConfig};
use super::encrypt::{encrypt, record};
use super::guard::Guard;
use super::reply::{Answer, reply};
use super::request::headers;
use super::resolver::{GuardedResolver, Lookup, SystemLookup, Unresolved};
use super::service::Service;
use super::target::{Target, TargetError};
use super::vapid::VapidKeys;
use crate::{Now, Push, Sender, parse_retry_after};

/// Longest time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_s(5);
/// Longest time for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_s(15);
/// Largest part of an answer that is read, in bytes.
const REPLY_BYTES_MAX: usize = 4_096;
/// Idle connections that are kept to one host, and for how long.
const IDLE_PER_HOST_MAX: usize = 4;
const IDLE_TIME_MAX: Duration = Duration::from_s(90);
/// A host that does not exist, or that we may not send to, for so long: the subscription looks dead.
const NOWHERE: Strike = Strike { count_min: 2, age_min: Duration::from_s(7 * 86_400) };
/// A refusal of ours is the subscription's fault if the same service has taken a push signed with the same key within so long.
const KEY_WORKS_FOR: Duration = Duration::from_s(3_600);
/// Most origins of which that is remembered; the oldest go first.
const ORIGINS_MAX: usize = 4_096;

/// Sends with our VAPID keys.
pub struct WebPushSender {
    client: reqwest::Client,
    keys: VapidKeys,
    guard: Arc<Guard>,
    urgency: Urgency,
    now: Now,
    /// When an origin last took a push signed with a key.
    worked: Mutex<BTreeMap<(String, usize), Timestamp>>,
}

impl std::fmt::Debug for WebPushSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebPushSender").field("guard", &self.guard).finish_non_exhaustive()
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
        let mut tls = rustls::ClientConfig::clone(&config.tls);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let proxy = config
            .proxy
            .map(|url| reqwest::Url::parse(&url).map_err(|_| "the proxy is no URL".to_owned()))
            .transpose()?;
        let resolver = GuardedResolver {
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
        let worked = Mutex::default();
        Ok(Self {
            client,
            keys: config.keys,
            guard: config.guard,
            urgency: config.urgency,
            now,
            worked,
        })
    }

    /// Our keys.
    pub fn keys(&self) -> &VapidKeys {
        &self.keys
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
            Err(_) => return Verdict::new(Outcome::PayloadError, "unfit"),
        };
        let Some(key) = self.keys.find(target.key_id.as_deref()) else {
            // The key was taken out of the configuration; nobody but its owner can reach this browser.
            return Verdict::new(Outcome::DropSubscription(Proof::Guarded), "key_gone");
        };
        let Ok(body) = encrypt(&target, &record(&push.message_type)) else {
            return Verdict::new(Outcome::PayloadError, "bad_crypto");
        };
        let (origin, now) = (target.endpoint.origin().ascii_serialization(), (self.now)());
        let Some(authorization) = self.keys.header(&origin, key, now) else {
            return Verdict::of(Outcome::ConfigError, Reason::CREDENTIAL_REFUSED);
        };
        let verdict = self.attempt(push, &target, (&authorization, &body)).await;
        let verdict = if verdict.outcome == Outcome::RefreshCredential {
            match self.keys.instead_of(&authorization, (&origin, key), (self.now)()) {
                Some(fresh) => self.attempt(push, &target, (&fresh, &body)).await,
                None => verdict,
            }
        } else {
            verdict
        };
        self.judge(verdict, (origin, key))
    }

    async fn attempt(
        &self,
        push: &Push,
        target: &Target,
        (authorization, body): (&HeaderValue, &Bytes),
    ) -> Verdict {
        let headers = headers(push, self.urgency, authorization.clone(), (self.now)());
        let request = self.client.post(target.endpoint.clone()).headers(headers).body(body.clone());
        let mut response = match request.send().await {
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

    /// What an answer means in the light of others from the same origin.
    fn judge(&self, verdict: Verdict, place: (String, usize)) -> Verdict {
        let now = (self.now)();
        let service = reqwest::Url::parse(&place.0)
            .ok()
            .map_or(Service::Other, |url| Service::at(url.host_str().unwrap_or_default()));
        let mut worked = self.worked.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = match verdict.outcome {
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
            // The token is fresh: our key is wrong for this browser, or for everybody there.
            Outcome::RefreshCredential => {
                let works = worked.get(&place).is_some_and(|at| now.since(*at) < KEY_WORKS_FOR);
                let outcome = if works {
                    Outcome::DropSubscription(Proof::Guarded)
                } else {
                    Outcome::ConfigError
                };
                Verdict::of(outcome, verdict.reason)
            }
            _ => verdict,
        };
        // Of these services each has one origin; elsewhere one origin's trouble is no other's.
        match service {
            Service::Mozilla | Service::Google | Service::Apple => verdict,
            Service::Microsoft | Service::Other => verdict.for_scope(),
        }
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

    /// There is nobody to ask without a browser: signs something.
    async fn check(&self, _topic: Option<&Topic>) -> Result<(), String> {
        match self.keys.header("https://push.example", 0, (self.now)()) {
            Some(_) => Ok(()),
            None => Err("nothing can be signed with the VAPID key".to_owned()),
        }
    }
}
