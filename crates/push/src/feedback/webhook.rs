//! Feedback `webhook`: posts each death, signed, until it is taken. Of one token in order; of several at once.

use std::sync::Arc;

use aws_lc_rs::hmac;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use metrics::counter;
use reveille_mixer::Backoff;
use reveille_model::{Duration, Rng, SubscriptionId, Timestamp};
use reveille_providers::{Current, parse_retry_after};
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::text_time;
use reveille_store::{Death, DeathId, Destination, Store, StoreError};
use rustls::ClientConfig;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Secret;
use crate::client::ClientSettings;
use crate::metrics::FEEDBACK;

/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_s(15);
/// Requests under way at once.
const IN_FLIGHT_MAX: usize = 8;
/// Deaths read from the store at once.
const PAGE: usize = 64;
/// After a refusal of one death it is told again after this.
const AGAIN: Backoff = Backoff { first: Duration::from_s(5), cap: Duration::from_s(3_600) };
/// While the receiver is out of reach nothing is posted for this long.
const OUT_OF_REACH: Backoff = Backoff { first: Duration::from_s(1), cap: Duration::from_s(300) };
/// A death nobody would take for so long is given up.
const KEPT_FOR: Duration = Duration::from_s(7 * 86_400);
/// How often it is looked for what nobody spoke of.
const LOOK_AGAIN: Duration = Duration::from_s(5);

/// Where to post.
#[derive(Clone)]
pub(crate) struct WebhookConfig {
    pub(crate) url: reqwest::Url,
    pub(crate) secret: Arc<Current<Secret>>,
    pub(crate) tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An address may hold a password.
        f.write_str("WebhookConfig(…)")
    }
}

/// The task that posts.
pub(crate) struct Webhook {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: WebhookConfig,
    /// Makes ids that say nothing of how many deaths there were.
    pub(crate) ids: hmac::Key,
    pub(crate) rng: Rng,
    /// Told when there are new deaths.
    pub(crate) deaths: watch::Receiver<()>,
}

/// How a death was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Taken,
    /// This one was refused; others may be taken.
    Refused,
    /// The receiver is out of reach or in trouble: all wait, until then if it said so.
    OutOfReach(Option<Timestamp>),
}

impl Webhook {
    /// Runs until the lifecycle stops.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) {
        let Some(client) = self.client() else { return };
        let mut failures = 0;
        while !lifecycle.is_stopping() {
            let wait = match self.tell(&client, &lifecycle).await {
                Ok(Told::All) => {
                    failures = 0;
                    None
                }
                Ok(Told::Some) => {
                    failures = 0;
                    continue;
                }
                Ok(Told::OutOfReach(until)) => {
                    failures += 1;
                    let now = self.clock.now();
                    Some(until.unwrap_or(now.plus(OUT_OF_REACH.delay(failures, &mut self.rng))))
                }
                Err(error) => {
                    tracing::error!(%error, "deaths cannot be read; trying again");
                    Some(self.clock.now().plus(LOOK_AGAIN))
                }
            };
            let look_again = wait.unwrap_or(self.clock.now().plus(LOOK_AGAIN));
            tokio::select! {
                () = lifecycle.stopping() => {}
                () = self.clock.sleep_until(look_again) => {}
                Ok(()) = self.deaths.changed(), if wait.is_none() => {}
            }
        }
    }

    fn client(&self) -> Option<reqwest::Client> {
        let settings =
            ClientSettings { tls: Arc::clone(&self.config.tls), time_max: REQUEST_TIMEOUT };
        let client = settings.client();
        client.map_err(|error| tracing::error!(error, "cannot make an HTTP client")).ok()
    }

    /// Tells a page of what is due.
    async fn tell(
        &mut self,
        client: &reqwest::Client,
        lifecycle: &Lifecycle,
    ) -> Result<Told, StoreError> {
        let due = self.store.untold(Destination::Webhook, self.clock.now(), PAGE).await?;
        if due.is_empty() {
            return Ok(Told::All);
        }
        let mut due = due.into_iter();
        let (mut posting, mut unreached) = (JoinSet::new(), Vec::new());
        let mut is_anything_taken = false;
        loop {
            while unreached.is_empty() && posting.len() < IN_FLIGHT_MAX && !lifecycle.is_stopping()
            {
                let Some(death) = due.next() else { break };
                posting.spawn(self.post(client, death));
            }
            let Some(posted) = posting.join_next().await else { break };
            let Ok((death, received)) = posted else { return Ok(Told::OutOfReach(None)) };
            is_anything_taken |= received == Received::Taken;
            match received {
                Received::OutOfReach(named) => unreached.push((death, named)),
                _ => self.settle(&death, received).await?,
            }
        }
        // If others were taken the receiver is there, and what it did not take is put off like what it refuses.
        let mut until = None;
        for (death, named) in &unreached {
            let is_refused = is_anything_taken && named.is_none();
            let received =
                if is_refused { Received::Refused } else { Received::OutOfReach(*named) };
            self.settle(death, received).await?;
            until = until.max(*named);
        }
        let is_out_of_reach = !unreached.is_empty() && (until.is_some() || !is_anything_taken);
        Ok(if is_out_of_reach { Told::OutOfReach(until) } else { Told::Some })
    }

    async fn settle(&mut self, death: &Death, received: Received) -> Result<(), StoreError> {
        let now = self.clock.now();
        let count = |result: &'static str| {
            counter!(FEEDBACK, "destination" => "webhook", "result" => result).increment(1);
        };
        match received {
            Received::Taken => {
                count("told");
                self.store.told(vec![death.id]).await
            }
            _ if now.since(death.at) > KEPT_FOR => {
                count("given_up");
                tracing::error!("a dead token could not be told for a week and is given up");
                self.store.told(vec![death.id]).await
            }
            Received::Refused | Received::OutOfReach(_) => {
                count(if received == Received::Refused { "refused" } else { "out_of_reach" });
                let named = if let Received::OutOfReach(named) = received { named } else { None };
                let delay = AGAIN.delay(death.attempts.saturating_add(1), &mut self.rng);
                // One that only found the receiver gone is not put off for longer than the receiver.
                let delay = if received == Received::Refused { delay } else { AGAIN.first };
                self.store.tell_again(death.id, named.unwrap_or(now.plus(delay))).await
            }
        }
    }

    /// One request. The same death has the same id every time, so that the receiver can tell a repeat.
    fn post(
        &self,
        client: &reqwest::Client,
        death: Death,
    ) -> impl Future<Output = (Death, Received)> + Send + 'static {
        let now = self.clock.now();
        let (id, body) = (self.id(death.id), body(&death));
        let signature = self.config.secret.get().sign(&id, now.as_s(), &body);
        let request = client
            .post(self.config.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.as_s())
            .header("webhook-signature", signature)
            .body(body);
        let clock = Arc::clone(&self.clock);
        async move {
            let received = match request.send().await {
                Ok(response) => read(&response, clock.now()),
                Err(error) => {
                    tracing::warn!(error = %error.without_url(), "the webhook cannot be reached");
                    Received::OutOfReach(None)
                }
            };
            (death, received)
        }
    }

    fn id(&self, death: DeathId) -> String {
        let tag = hmac::sign(&self.ids, &death.0.to_be_bytes());
        let bytes = tag.as_ref().first_chunk::<16>().copied().unwrap_or_default();
        format!("msg_{}", SubscriptionId::from_bytes(bytes))
    }
}

/// How a page of deaths was told.
enum Told {
    /// Nothing was due.
    All,
    /// There may be more.
    Some,
    OutOfReach(Option<Timestamp>),
}

/// What the receiver gets.
fn body(death: &Death) -> String {
    let mut data = json!({
        "provider": death.set.provider().as_str(),
        "app": death.set.name(),
        "token": death.token.identity(death.set.provider()),
        "reason": death.reason,
    });
    let mut add = |name: &str, value: String| {
        if let Some(object) = data.as_object_mut() {
            object.insert(name.to_owned(), value.into());
        }
    };
    if let Some(topic) = &death.topic {
        add("topic", topic.as_str().to_owned());
    }
    if let Some(owner) = &death.owner {
        add("subscription", owner.subscription.to_string());
        add("user", owner.user.expose().to_owned());
    }
    let event = json!({
        "type": "token.dead",
        "timestamp": text_time::format(death.at),
        "data": data,
    });
    event.to_string()
}

fn read(response: &reqwest::Response, now: Timestamp) -> Received {
    let status = response.status();
    if status.is_success() {
        return Received::Taken;
    }
    tracing::warn!(status = status.as_u16(), "the webhook refuses");
    let is_trouble = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    if !is_trouble {
        return Received::Refused;
    }
    let named = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Received::OutOfReach(named.and_then(|value| parse_retry_after(value, now)))
}
