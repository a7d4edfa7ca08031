//! Sends pushes to APNs. The only file here that connects.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use http::header::RETRY_AFTER;
use reveille_model::{DryRun, Outcome, Reason, Topic, Verdict};
use tokio::sync::watch;

use super::config::{ApnsConfig, Kind, ProviderKey};
use super::reply::{Answer, Connection, reply};
use super::request::request;
use super::token::ProviderTokens;
use crate::http2::{Pool, Reply, unanswered};
use crate::{Current, Now, Push, Sender, parse_retry_after};

/// The connections and provider tokens of each environment, team and key, shared by all apps that use them: the first push over a connection
/// binds it to one team and key, and a token that two kept would change too often.
#[derive(Debug, Default)]
pub struct ApnsConnections(Mutex<Vec<(Identity, Weak<Connected>)>>);

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    origin: crate::http2::Origin,
    team_id: String,
    key_id: String,
    public_key: Vec<u8>,
}

#[derive(Debug)]
struct Connected {
    pool: Arc<Pool>,
    tokens: Option<ProviderTokens>,
}

impl ApnsConnections {
    /// Those of an app: where another one has the same key, the same.
    fn of(&self, config: ApnsConfig) -> Arc<Connected> {
        let ApnsConfig { provider_key, endpoint, tls, pool, .. } = config;
        let connect = |origin, provider_key: Option<ProviderKey>| {
            let tokens = provider_key.map(ProviderTokens::new);
            Arc::new(Connected { pool: Pool::new(origin, tls, pool), tokens })
        };
        // A certificate is part of the handshake: no two apps have the same.
        let Some(key) = provider_key else { return connect(endpoint, None) };
        let identity = Identity {
            origin: endpoint.clone(),
            team_id: key.team_id.clone(),
            key_id: key.key_id.clone(),
            public_key: key.key.public().to_owned(),
        };
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|(_, connected)| connected.strong_count() > 0);
        let same = shared.iter().find(|(each, _)| *each == identity);
        if let Some(connected) = same.and_then(|(_, connected)| connected.upgrade()) {
            return connected;
        }
        let connected = connect(endpoint, Some(key));
        shared.push((identity, Arc::downgrade(&connected)));
        connected
    }
}

/// Sends with the credentials of one app.
pub struct ApnsSender {
    connected: Current<Connected>,
    base: String,
    kind: Kind,
    now: Now,
    renewals: watch::Sender<u64>,
}

impl std::fmt::Debug for ApnsSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApnsSender").field("base", &self.base).finish_non_exhaustive()
    }
}

impl ApnsSender {
    /// A sender; it connects when it first sends, over connections it shares with others of the same key.
    pub fn new(config: ApnsConfig, now: Now, connections: &ApnsConnections) -> Self {
        let (base, kind) = (config.endpoint.url(""), config.kind);
        let connected = connections.of(config).into();
        Self { connected, base, kind, now, renewals: watch::Sender::new(0) }
    }

    /// Takes other credentials, read from the same section. Another key or certificate goes over connections of its own; those before end when
    /// what is under way on them is answered.
    pub fn renew(&self, config: ApnsConfig, connections: &ApnsConnections) {
        let tls = Arc::clone(&config.tls);
        let connected = connections.of(config);
        connected.pool.trust(tls);
        self.connected.put(connected);
        self.renewals.send_modify(|count| *count += 1);
    }

    /// One attempt: the answer and what it means, or what it means that there is none.
    async fn attempt(
        &self,
        push: &Push,
        pool: &Arc<Pool>,
        bearer: Option<http::HeaderValue>,
    ) -> Result<(Answer, Reply), Verdict> {
        let unfit = Verdict::new(Outcome::PayloadError, "unfit");
        let request = request(&self.base, push, self.kind, bearer).ok_or(unfit)?;
        let got = pool.send(request).await.map_err(unanswered)?;
        let named = got.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let named = named.and_then(|value| parse_retry_after(value, (self.now)()));
        Ok((reply(got.status.as_u16(), named, &got.body), got))
    }

    async fn send_now(&self, push: &Push) -> Verdict {
        // To the end with what it began with.
        let connected = self.connected.get();
        let tokens = connected.tokens.as_ref();
        let mut bearer = tokens.map(|tokens| tokens.bearer((self.now)()));
        // At most one resend of each kind; a second refusal is a wrong key, a second closing connection a provider in trouble.
        let (mut may_refresh, mut may_replace) = (true, true);
        loop {
            let (answer, got) = match self.attempt(push, &connected.pool, bearer.clone()).await {
                Ok(answered) => answered,
                Err(verdict) => return verdict,
            };
            let Answer { verdict, connection } = answer;
            if connection != Connection::Keep {
                connected.pool.retire(&got);
            }
            if connection == Connection::Replace && may_replace {
                may_replace = false;
                continue;
            }
            let now = (self.now)();
            if verdict.reason.0 == "TooManyProviderTokenUpdates"
                && let (Some(tokens), Some(refused)) = (tokens, &bearer)
            {
                tokens.keep(refused, now);
            }
            if verdict.outcome != Outcome::RefreshCredential {
                return verdict;
            }
            let refused = Verdict::of(Outcome::ConfigError, verdict.reason);
            let (Some(tokens), Some(old), true) = (tokens, &bearer, may_refresh) else {
                return refused;
            };
            may_refresh = false;
            match tokens.instead_of(old, now) {
                Some(fresh) => bearer = Some(fresh),
                None => return refused,
            }
        }
    }
}

#[async_trait]
impl Sender for ApnsSender {
    async fn send(&self, push: &Push) -> Verdict {
        // APNs has no dry run.
        if push.dry_run == DryRun::Yes {
            return Verdict::of(Outcome::Accepted, Reason::DRY_RUN);
        }
        self.send_now(push).await
    }

    fn scope(&self, push: &Push) -> String {
        push.topic.as_ref().map_or("", Topic::as_str).to_owned()
    }

    fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    /// Sends a push to a device that cannot exist: Apple looks at the credentials before the token.
    async fn check(&self, topic: Option<&Topic>) -> Result<(), String> {
        let nobody = Push::to_nobody((self.now)(), topic.cloned());
        let verdict = self.send_now(&nobody).await;
        match verdict.outcome {
            Outcome::ConfigError | Outcome::RefreshCredential => Err(format!(
                "APNs refuses our credentials ({}): check key_file, key_id, team_id and topics (or the certificate), that the key is of this environment, and the machine's clock",
                verdict.reason.0
            )),
            Outcome::RetryMessage(_) | Outcome::PauseProvider(_) => Err(format!(
                "APNs cannot be reached or is in trouble ({}) at {}",
                verdict.reason.0, self.base
            )),
            Outcome::Accepted | Outcome::DropSubscription(_) | Outcome::PayloadError => Ok(()),
        }
    }
}
