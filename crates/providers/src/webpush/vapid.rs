//! Who we are to a push service (RFC 8292): one token for each origin and key, renewed rarely.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use reveille_model::{Duration, Timestamp};
use serde::Serialize;

use crate::jwt::SigningKey;

/// How long a token is good for; RFC 8292 allows 24 hours.
const LIFE: Duration = Duration::from_s(12 * 3_600);
/// A new one is made after this.
const RENEW_AFTER: Duration = Duration::from_s(6 * 3_600);
/// Not sooner than this, even if one was refused (Apple: not more often than once an hour).
const RENEW_MIN: Duration = Duration::from_s(3_600);
/// Most origins whose tokens are kept; the oldest go first.
const ORIGINS_MAX: usize = 4_096;

/// One of our keys. Browsers are bound to the one they subscribed with.
#[derive(Debug)]
pub struct VapidKey {
    key: SigningKey,
    public: String,
    id: String,
}

impl VapidKey {
    /// A key that browsers subscribe with.
    pub fn new(key: SigningKey) -> Self {
        let (public, id) = (URL_SAFE_NO_PAD.encode(key.public()), key_id(key.public()));
        Self { key, public, id }
    }

    /// What browsers give to `subscribe()`: 65 bytes in base64url.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Names it in tokens: the beginning of a hash of the public key.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Names one of our keys.
pub(super) fn key_id(public: &[u8]) -> String {
    let hash = digest(&SHA256, public);
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default())
}

/// Our keys and the tokens made with them.
#[derive(Debug)]
pub struct VapidKeys {
    keys: Vec<VapidKey>,
    subject: String,
    tokens: Mutex<BTreeMap<(String, usize), Signed>>,
}

#[derive(Debug, Clone)]
struct Signed {
    at: Timestamp,
    header: HeaderValue,
}

impl VapidKeys {
    /// Keys, the current one first, and how a push service reaches a person: a `mailto:` or `https:` address.
    pub fn new(keys: Vec<VapidKey>, subject: String) -> Self {
        Self { keys, subject, tokens: Mutex::default() }
    }

    /// The keys, the current one first.
    pub fn keys(&self) -> &[VapidKey] {
        &self.keys
    }

    /// The keys a browser may have subscribed with: the one of this id, none where that is not ours any more, without an id any of them.
    pub(super) fn candidates(&self, id: Option<&str>) -> Vec<usize> {
        let fits = |key: &VapidKey| id.is_none_or(|id| key.id == id);
        self.keys.iter().enumerate().filter(|(_, key)| fits(key)).map(|(index, _)| index).collect()
    }

    /// The `authorization` header for an origin.
    pub(super) fn header(&self, origin: &str, key: usize, now: Timestamp) -> Option<HeaderValue> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (origin.to_owned(), key);
        if let Some(signed) = tokens.get(&place)
            && signed.at <= now
            && now.since(signed.at) < RENEW_AFTER
        {
            return Some(signed.header.clone());
        }
        if tokens.len() >= ORIGINS_MAX
            && let Some(oldest) =
                tokens.iter().min_by_key(|(_, signed)| signed.at).map(|(place, _)| place.clone())
        {
            tokens.remove(&oldest);
        }
        let header = self.sign(origin, key, now)?;
        tokens.insert(place, Signed { at: now, header: header.clone() });
        Some(header)
    }

    /// A header instead of one that was refused; nothing where that was made only lately, so that its age is not what is wrong.
    pub(super) fn instead_of(
        &self,
        refused: &HeaderValue,
        (origin, key): (&str, usize),
        now: Timestamp,
    ) -> Option<HeaderValue> {
        {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (origin.to_owned(), key);
            match tokens.get(&place) {
                Some(signed) if signed.header != *refused => return Some(signed.header.clone()),
                Some(signed) if now.since(signed.at) < RENEW_MIN => return None,
                _ => tokens.remove(&place),
            };
        }
        self.header(origin, key, now)
    }

    fn sign(&self, origin: &str, key: usize, now: Timestamp) -> Option<HeaderValue> {
        #[derive(Serialize)]
        struct Header<'a> {
            typ: &'a str,
            alg: &'a str,
        }
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            exp: i64,
            sub: &'a str,
        }
        let key = self.keys.get(key)?;
        let claims = Claims { aud: origin, exp: now.plus(LIFE).as_s(), sub: &self.subject };
        let token = key.key.sign(&Header { typ: "JWT", alg: "ES256" }, &claims);
        let mut header =
            HeaderValue::try_from(format!("vapid t={token}, k={}", key.public)).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::{VapidKey, VapidKeys};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use reveille_model::{Duration, Timestamp};

    const NOW: Timestamp = Timestamp::from_ms(1_795_254_000_000);
    const ORIGIN: &str = "https://push.example";

    pub(crate) fn key() -> VapidKey {
        let pkcs8 = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        );
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(pkcs8.unwrap())
        );
        VapidKey::new(crate::jwt::SigningKey::from_pem(pem.as_bytes()).unwrap())
    }

    #[test]
    fn a_token_names_its_origin_and_us_and_ends_within_a_day() {
        let keys = VapidKeys::new(vec![key()], "mailto:ops@example.org".to_owned());
        let header = keys.header(ORIGIN, 0, NOW).unwrap();
        let text = header.to_str().unwrap().strip_prefix("vapid t=").unwrap();
        let (token, public) = text.split_once(", k=").unwrap();
        assert_eq!(public, keys.keys()[0].public());
        assert_eq!(URL_SAFE_NO_PAD.decode(public).unwrap().len(), 65);
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        let expected = serde_json::json!({
            "aud": ORIGIN, "exp": NOW.as_s() + 12 * 3_600, "sub": "mailto:ops@example.org",
        });
        assert_eq!(claims, expected);
    }

    #[test]
    fn tokens_are_kept_for_each_origin_and_key_and_renewed_rarely() {
        let keys = VapidKeys::new(vec![key(), key()], "mailto:ops@example.org".to_owned());
        let at = |hours: u32| NOW.plus(Duration::from_s(hours * 3_600));
        let first = keys.header(ORIGIN, 0, NOW).unwrap();
        assert_eq!(keys.header(ORIGIN, 0, at(5)).unwrap(), first);
        assert_ne!(keys.header(ORIGIN, 1, NOW).unwrap(), first);
        assert_ne!(keys.header("https://other.example", 0, NOW).unwrap(), first);
        let second = keys.header(ORIGIN, 0, at(6)).unwrap();
        assert_ne!(second, first);
        let place = (ORIGIN, 0);
        assert_eq!(keys.instead_of(&first, place, at(6)), Some(second.clone()), "another's");
        assert_eq!(keys.instead_of(&second, place, at(6)), None, "it is fresh");
        let third = keys.instead_of(&second, place, at(8)).unwrap();
        assert_ne!(third, second);
        assert_eq!(keys.candidates(None), [0, 1]);
        assert_eq!(keys.candidates(Some(keys.keys()[1].id())), [1]);
        assert_eq!(keys.candidates(Some("gone")), [0; 0]);
    }
}
