//! The keys that signed tokens are checked with (RFC 7517), read anew as they change.

use crate::client::{ClientSettings, read_body};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reveille_model::{Duration, Timestamp};
use reveille_service::lifecycle::Lifecycle;
use tokio::sync::watch;

/// Most keys in a set.
const KEYS_MAX: usize = 64;
/// Largest set, in bytes.
const SET_BYTES_MAX: usize = 256 * 1024;
/// How long a set is good for. A key that its owner has taken out is refused after that.
const SET_AGE_MAX: Duration = Duration::from_s(300);
/// How soon a set may be read again because a token names a key that is not in it, or because it could not be read.
const READ_AGAIN: Duration = Duration::from_s(10);
/// How long a set that cannot be read anew is still used.
const SET_STALE_MAX: Duration = Duration::from_s(86_400);

/// Where keys come from. An address may hold a password, and is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A file with a JSON Web Key Set. It may hold secrets (`"kty": "oct"`).
    File(PathBuf),
    /// An address that serves one. Secrets in it are passed over.
    Url(reqwest::Url),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Url(url) => write!(f, "Url({})", url.origin().ascii_serialization()),
        }
    }
}

/// A key and the only algorithm it is used with: what a token's header asks for is never followed.
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKeys {
    /// None fits.
    Unknown,
    /// They cannot be read.
    Unreadable,
}

/// A set that is read when it is needed.
pub(super) struct KeySet(Arc<Inner>);

struct Inner {
    source: KeySource,
    client: reqwest::Client,
    lifecycle: Lifecycle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Arc<[Arc<Key>]>,
    /// When the keys were read.
    read_at: Option<Timestamp>,
    /// When that was last begun.
    tried_at: Option<Timestamp>,
    /// Closed when the reading under way has ended.
    reading: Option<watch::Receiver<()>>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("source", &self.0.source).finish_non_exhaustive()
    }
}

impl KeySet {
    pub(super) fn new(
        source: KeySource,
        settings: &ClientSettings,
        lifecycle: Lifecycle,
    ) -> Result<Self, String> {
        let client = settings.client()?;
        Ok(Self(Arc::new(Inner { source, client, lifecycle, state: Mutex::default() })))
    }

    /// The keys a token with this key id may have been signed with. Keys that are there are used at once; only who needs others waits for them to
    /// be read.
    pub(super) async fn keys(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Vec<Arc<Key>>, NoKeys> {
        let found = self.0.fitting(id, algorithm, now);
        let reading = self.0.begin_reading(now, &found);
        match (found, reading) {
            (Ok(keys), _) if !keys.is_empty() => Ok(keys),
            (_, Some(mut reading)) => {
                // Closed means that it has ended.
                drop(reading.changed().await);
                let found = self.0.fitting(id, algorithm, now)?;
                if found.is_empty() { Err(NoKeys::Unknown) } else { Ok(found) }
            }
            (found, None) => found.and(Err(NoKeys::Unknown)),
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fitting(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Vec<Arc<Key>>, NoKeys> {
        let state = self.state();
        if is_past(state.read_at, SET_STALE_MAX, now) {
            return Err(NoKeys::Unreadable);
        }
        let fits = |key: &&Arc<Key>| {
            key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id)
        };
        Ok(state.keys.iter().filter(fits).map(Arc::clone).collect())
    }

    /// Begins to read the set if it is old, or if something is missing in it. Returns what to wait for. The reading goes on by itself: whoever
    /// asked for it may hang up.
    fn begin_reading(
        self: &Arc<Self>,
        now: Timestamp,
        found: &Result<Vec<Arc<Key>>, NoKeys>,
    ) -> Option<watch::Receiver<()>> {
        let mut state = self.state();
        if let Some(reading) = state.reading.clone().filter(|reading| reading.has_changed().is_ok())
        {
            return Some(reading);
        }
        let has_key = found.as_ref().is_ok_and(|keys| !keys.is_empty());
        let is_needed = !has_key || is_past(state.read_at, SET_AGE_MAX, now);
        if !is_needed || !is_past(state.tried_at, READ_AGAIN, now) {
            return None;
        }
        let (ended, reading) = watch::channel(());
        state.tried_at = Some(now);
        state.reading = Some(reading.clone());
        let inner = Arc::clone(self);
        self.lifecycle.spawn_brief(async move {
            match inner.read().await {
                Ok(keys) => {
                    let mut state = inner.state();
                    state.keys = keys.into();
                    state.read_at = Some(now);
                }
                // Its address is the operator's, its content is not repeated.
                Err(what) => tracing::error!(what, "the keys of push.public.auth cannot be read"),
            }
            drop(ended);
        });
        Some(reading)
    }

    async fn read(&self) -> Result<Vec<Arc<Key>>, String> {
        match &self.source {
            KeySource::File(path) => {
                let text = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
                parse(&text, Trust::Secrets)
            }
            KeySource::Url(url) => {
                let response = self.client.get(url.clone()).send().await;
                let mut response = response
                    .and_then(reqwest::Response::error_for_status)
                    .map_err(|error| error.without_url().to_string())?;
                let text = read_body(&mut response, SET_BYTES_MAX).await;
                let text = text.map_err(|error| error.to_string())?;
                parse(&text, Trust::PublicKeysOnly)
            }
        }
    }
}

/// Whether so long has passed since something, or the clock was set back before it.
fn is_past(at: Option<Timestamp>, after: Duration, now: Timestamp) -> bool {
    at.is_none_or(|at| now < at || now.since(at) >= after)
}

/// What may be in a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Secrets,
    PublicKeysOnly,
}

/// Looks at a set once, for its problems.
pub(super) fn check_file(path: &std::path::Path) -> Result<(), String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    parse(&text, Trust::Secrets).map(drop)
}

fn parse(text: &[u8], trust: Trust) -> Result<Vec<Arc<Key>>, String> {
    if text.len() > SET_BYTES_MAX {
        return Err(format!("it has more than {SET_BYTES_MAX} bytes"));
    }
    let set: JwkSet = serde_json::from_slice(text)
        .map_err(|_| "it is not a JSON Web Key Set (RFC 7517), {\"keys\": [...]}".to_owned())?;
    let keys: Vec<Arc<Key>> =
        set.keys.iter().filter_map(|jwk| key(jwk, trust)).map(Arc::new).collect();
    match keys.len() {
        0 => Err("it holds no key for HS256, RS256, ES256 or EdDSA".to_owned()),
        count if count > KEYS_MAX => Err(format!("it holds more than {KEYS_MAX} keys")),
        _ => Ok(keys),
    }
}

/// A key that is used; others are passed over, as RFC 7517 §5 asks.
fn key(jwk: &Jwk, trust: Trust) -> Option<Key> {
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) if trust == Trust::Secrets => Algorithm::HS256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    // A key that says it is for another algorithm is not for this one.
    if jwk.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, decoding })
}
