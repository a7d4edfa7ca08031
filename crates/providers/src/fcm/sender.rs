//! Sends pushes to FCM. The only file here that connects.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Uri};
use reveille_model::{Delay, Outcome, Reason, Topic, Verdict};
use tokio::sync::watch;

use super::config::{FcmConfig, Priority};
use super::{body, reply, request};
use crate::http2::{Pool, unanswered};
use crate::oauth::{AccessToken, CredentialError, TokenSource};
use crate::{Current, Now, Push, Sender, parse_retry_after};

/// Sends with one Firebase project's credentials.
pub struct FcmSender {
    connected: Current<Connected>,
    url: Uri,
    priority: Priority,
    now: Now,
    renewals: watch::Sender<u64>,
}

/// A service account, the access tokens it got, and connections.
struct Connected {
    pool: Arc<Pool>,
    tokens: TokenSource,
    /// The header of the token last used, so that it is not built for each message.
    bearer: Mutex<Option<(AccessToken, HeaderValue)>>,
}

impl std::fmt::Debug for FcmSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FcmSender").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Connected {
    fn new(config: FcmConfig) -> Result<Self, String> {
        let tls = rustls::ClientConfig::clone(&config.tls);
        let tokens = TokenSource::new(config.account, tls)
            .map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        let pool = Pool::new(config.endpoint, config.tls, config.pool);
        Ok(Self { pool, tokens, bearer: Mutex::default() })
    }

    fn bearer(&self, token: &AccessToken) -> Option<HeaderValue> {
        let mut kept = self.bearer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, header)) = kept.as_ref()
            && of == token
        {
            return Some(header.clone());
        }
        let mut header = HeaderValue::from_str(&token.bearer()).ok()?;
        header.set_sensitive(true);
        *kept = Some((token.clone(), header.clone()));
        Some(header)
    }
}

impl FcmSender {
    /// A sender; it connects when it first sends.
    pub fn new(config: FcmConfig, now: Now) -> Result<Self, String> {
        let path = format!("/v1/projects/{}/messages:send", config.account.project_id());
        let url =
            config.endpoint.url(&path).parse().map_err(|_| "the endpoint is no URL".to_owned())?;
        let priority = config.priority;
        let connected = Current::new(Connected::new(config)?);
        Ok(Self { connected, url, priority, now, renewals: watch::Sender::new(0) })
    }

    /// Takes another key of the project, read from the same section. It gets access tokens and connections of its own; those before end when what is
    /// under way on them is answered.
    pub fn renew(&self, config: FcmConfig) -> Result<(), String> {
        let (is, was) = (config.account.project_id(), self.connected.get());
        let was = was.tokens.account().project_id();
        if is != was {
            return Err(format!(
                "service_account_file: it is of the project {is}, whose devices are others than those of {was}; restart if that is meant"
            ));
        }
        self.connected.put(Connected::new(config)?);
        self.renewals.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn send_with(&self, connected: &Connected, push: &Push, token: &AccessToken) -> Verdict {
        let Some(bearer) = connected.bearer(token) else {
            return Verdict::of(Outcome::ConfigError, Reason::CREDENTIAL_REFUSED);
        };
        let body = body(push, self.priority, (self.now)());
        match connected.pool.send(request(&self.url, &bearer, body)).await {
            Ok(answer) => {
                let named = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let named = named.and_then(|value| parse_retry_after(value, (self.now)()));
                reply(answer.status.as_u16(), named, &answer.body)
            }
            Err(no_reply) => unanswered(no_reply),
        }
    }
}

fn without_token(error: CredentialError) -> Verdict {
    match error {
        CredentialError::Refused => Verdict::of(Outcome::ConfigError, Reason::CREDENTIAL_REFUSED),
        CredentialError::Unavailable => Verdict::of(
            Outcome::PauseProvider(Delay::ServerError(None)),
            Reason::CREDENTIAL_UNAVAILABLE,
        ),
    }
}

#[async_trait]
impl Sender for FcmSender {
    async fn send(&self, push: &Push) -> Verdict {
        // To the end with what it began with.
        let connected = self.connected.get();
        let token = match connected.tokens.token((self.now)()).await {
            Ok(token) => token,
            Err(error) => return without_token(error),
        };
        let verdict = self.send_with(&connected, push, &token).await;
        if verdict.outcome != Outcome::RefreshCredential {
            return verdict;
        }
        // Once more with a new token; a second refusal is a wrong account, not an old token.
        connected.tokens.invalidate(&token);
        match connected.tokens.token((self.now)()).await {
            Ok(token) => match self.send_with(&connected, push, &token).await {
                Verdict { outcome: Outcome::RefreshCredential, reason, .. } => {
                    Verdict::of(Outcome::ConfigError, reason)
                }
                verdict => verdict,
            },
            Err(error) => without_token(error),
        }
    }

    fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    async fn check(&self, _topic: Option<&Topic>) -> Result<(), String> {
        let connected = self.connected.get();
        connected.tokens.token((self.now)()).await.map(drop).map_err(|error| error.to_string())
    }
}
