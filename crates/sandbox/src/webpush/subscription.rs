//! Subscriptions of browsers: where they are, their keys, and who alone may send to them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Style;
use super::keys::{AUTH_LEN, BrowserKeys, PRIVATE_LEN, Secret};
use crate::bounded::Bounded;

/// Most subscriptions that somebody chose keys or a sender for; the oldest are forgotten first.
const CHOSEN_MAX: usize = 10_000;
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// What somebody chose for one subscription.
#[derive(Clone, Default)]
pub(crate) struct Chosen {
    /// The only key that may sign for it (`applicationServerKey`).
    pub(crate) application_server_key: Option<Vec<u8>>,
    pub(crate) private: Option<[u8; PRIVATE_LEN]>,
    pub(crate) auth: Option<[u8; AUTH_LEN]>,
}

/// All subscriptions there can be.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    secret: Secret,
    origin: String,
    chosen: Mutex<Bounded<Chosen>>,
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chosen")
    }
}

impl Subscriptions {
    pub(crate) fn new(secret: Secret, origin: String) -> Self {
        Self { secret, origin, chosen: Mutex::new(Bounded::new(CHOSEN_MAX)) }
    }

    /// Remembers what somebody chose, in place of what was chosen before.
    pub(crate) fn choose(&self, style: Style, token: &str, chosen: Chosen) {
        self.all().insert(&path(style, token), chosen);
    }

    /// The keys of one, and the sender it is restricted to.
    pub(crate) fn find(&self, style: Style, token: &str) -> (Option<BrowserKeys>, Option<Vec<u8>>) {
        let found = self.all().get(&path(style, token)).cloned();
        let Chosen { application_server_key, private, auth } = found.unwrap_or_default();
        let private = private.unwrap_or_else(|| self.secret.private(token));
        let auth = auth.unwrap_or_else(|| self.secret.auth(token));
        (BrowserKeys::new(&private, auth), application_server_key)
    }

    /// What the browser would give to the site (`PushSubscription.toJSON()`).
    pub(crate) fn shown(&self, style: Style, token: &str) -> Value {
        let (Some(keys), _) = self.find(style, token) else { return Value::Null };
        json!({
            "endpoint": format!("{}/{}", self.origin, path(style, token)),
            "expirationTime": null,
            "keys": {
                "p256dh": URL_SAFE_NO_PAD.encode(keys.public),
                "auth": URL_SAFE_NO_PAD.encode(keys.auth),
            },
        })
    }

    fn all(&self) -> MutexGuard<'_, Bounded<Chosen>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token can stand in a path as it is.
pub(crate) fn is_token(token: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:=@+".contains(&byte);
    !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(is_plain)
}

fn path(style: Style, token: &str) -> String {
    format!("{}/{token}", style.word())
}
