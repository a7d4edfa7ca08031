//! Sessions that a site keeps in a session store: the cookie or bearer token names one, and the stored value says whose it is.

use std::sync::Arc;

use aws_lc_rs::hmac;
use http::{HeaderMap, StatusCode};
use reveille_model::{Timestamp, User};
use reveille_providers::Current;
use serde_json::Value;

use super::Denied;
use super::credentials::{bearer, cookie};
use super::stored_session::{self, Integrity};
use crate::client::{ClientSettings, Unread, read_body};

/// Shortest and longest id of a session, in bytes.
const ID_BYTES: std::ops::RangeInclusive<usize> = 16..=256;
/// Largest value that is looked at, in bytes.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// `mode = "sessions"`.
#[derive(Clone)]
pub(crate) struct SessionsConfig {
    /// The session store, with its path; ends with `/`.
    pub url: reqwest::Url,
    /// The cookie that carries a session's id.
    pub cookie: String,
    /// What stands before the id in the store's key.
    pub key_prefix: String,
    /// How values are written.
    pub format: SessionFormat,
    /// What opens the store and its values. It may change.
    pub secrets: Arc<Current<SessionSecrets>>,
    /// Where in a value the user stands, name by name.
    pub user_path: Vec<String>,
    /// What the user begins with, so that those of two sites are never one.
    pub user_prefix: String,
    /// How the store is reached.
    pub client: ClientSettings,
}

impl std::fmt::Debug for SessionsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionsConfig").field("format", &self.format).finish_non_exhaustive()
    }
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionFormat {
    /// As JSON.
    Json,
    /// As MediaWiki does: `JSON.<hmac>.…` or `PHP.<hmac>.…`.
    MediaWiki,
}

/// What is in files of its own.
pub(crate) struct SessionSecrets {
    /// The bearer token the store asks for, if it does.
    pub store_token: Option<String>,
    /// What a wiki signs its values with, if it does.
    pub hmac_key: Option<hmac::Key>,
}

impl std::fmt::Debug for SessionSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecrets(…)")
    }
}

#[derive(Debug)]
pub(super) struct Sessions {
    config: SessionsConfig,
    client: reqwest::Client,
}

impl Sessions {
    pub(super) fn new(config: SessionsConfig) -> Result<Self, String> {
        let client = config.client.client()?;
        Ok(Self { config, client })
    }

    pub(super) async fn user(&self, headers: &HeaderMap, now: Timestamp) -> Result<User, Denied> {
        let id = bearer(headers).or_else(|| cookie(headers, &self.config.cookie));
        let id = id.filter(|id| is_id(id)).ok_or(Denied::Unknown)?;
        let secrets = self.config.secrets.get();
        let bytes =
            self.look_up(id, secrets.store_token.as_deref()).await?.ok_or(Denied::Unknown)?;
        let value = match self.config.format {
            SessionFormat::Json => serde_json::from_slice(&bytes).ok(),
            SessionFormat::MediaWiki => {
                let key = secrets.hmac_key.as_ref();
                let integrity = key.map_or(Integrity::Unsigned, Integrity::Signed);
                stored_session::decode(&bytes, integrity).filter(|value| !is_over(value, now))
            }
        };
        let value = value.ok_or(Denied::Unknown)?;
        let user = self.config.user_path.iter().try_fold(&value, |value, name| value.get(name));
        let user = match user {
            Some(Value::String(text)) if !text.is_empty() && text != "0" => text.clone(),
            // Zero is nobody: a session may begin before somebody logs in.
            Some(Value::Number(number)) if number.as_i64() != Some(0) => number.to_string(),
            _ => return Err(Denied::Unknown),
        };
        User::parse(&format!("{}{user}", self.config.user_prefix)).map_err(|_| Denied::Unknown)
    }

    /// The stored value of a session.
    async fn look_up(&self, id: &str, token: Option<&str>) -> Result<Option<Vec<u8>>, Denied> {
        let unavailable = |what: &'static str| {
            tracing::error!(what, "the session store of push.public.auth cannot be asked");
            Denied::Unavailable
        };
        let mut url = self.config.url.clone();
        // Escapes what a path segment cannot hold, the prefix's slashes too. MediaWiki's colons arrive plain, which decodes to the same key.
        let pushed = url.path_segments_mut().map(|mut segments| {
            segments.pop_if_empty().push(&format!("{}{id}", self.config.key_prefix));
        });
        pushed.map_err(|()| unavailable("its address takes no path"))?;
        let mut request = self.client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        // Errors name the address, which names the session.
        let mut response = request.send().await.map_err(|_| unavailable("it does not answer"))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unavailable("it refuses")),
        }
        match read_body(&mut response, VALUE_BYTES_MAX).await {
            Ok(value) => Ok(Some(value)),
            Err(Unread::TooLong(_)) => Ok(None),
            Err(Unread::Broken) => Err(unavailable("its answer broke off")),
        }
    }
}

fn is_id(id: &str) -> bool {
    ID_BYTES.contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
        // A segment of dots would be another path.
        && id.bytes().any(|byte| byte != b'.')
}

/// Whether MediaWiki would say that a session has ended (`metadata.expires`, Unix seconds; 0 for never).
fn is_over(value: &Value, now: Timestamp) -> bool {
    let expires = value.pointer("/metadata/expires").and_then(Value::as_i64).unwrap_or_default();
    expires != 0 && expires <= now.as_s()
}
