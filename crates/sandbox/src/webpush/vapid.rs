//! Who sends: VAPID (RFC 8292), verified once and then known.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reveille_model::Timestamp;
use serde::Deserialize;

use super::refusal::Refusal;
use crate::bounded::Bounded;
use crate::es256::Jwt;

/// Most tokens known at once; the oldest are forgotten first, and verified anew when they come back.
const KNOWN_MAX: usize = 10_000;
/// Furthest end of a token's life, in seconds.
const LIFE_S_MAX: i64 = 86_400;
/// Longest public key in base64url, in characters. One of 65 bytes has 87.
const KEY_CHARS_MAX: usize = 88;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: i64,
    #[serde(default)]
    sub: Option<String>,
}

/// An application server whose signature is good.
#[derive(Debug)]
pub(super) struct Sender {
    /// Uncompressed.
    pub(super) public_key: Vec<u8>,
    audience: String,
    expires_at_s: i64,
    has_contact: bool,
}

/// All senders seen.
#[derive(Debug)]
pub(crate) struct Senders(Mutex<Bounded<Arc<Sender>>>);

impl Default for Senders {
    fn default() -> Self {
        Self(Mutex::new(Bounded::new(KNOWN_MAX)))
    }
}

impl Senders {
    /// Who sends a request to an origin.
    pub(super) fn admit(
        &self,
        authorization: Option<&str>,
        origin: &str,
        now: Timestamp,
    ) -> Result<Arc<Sender>, Refusal> {
        let (token, key) = authorization.and_then(parameters).ok_or(Refusal::MissingVapid)?;
        let sender = self.verify(token, key)?;
        let left_s = sender.expires_at_s.saturating_sub(now.as_s());
        if sender.audience != origin || left_s <= 0 || left_s > LIFE_S_MAX {
            return Err(Refusal::BadJwt);
        }
        if !sender.has_contact {
            return Err(Refusal::BadSubject);
        }
        Ok(sender)
    }

    fn verify(&self, token: &str, key: &str) -> Result<Arc<Sender>, Refusal> {
        let name = format!("{token} {key}");
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sender) = known.get(&name) {
                return Ok(Arc::clone(sender));
            }
        }
        let sender = Arc::new(verify_new(token, key)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(&name, Arc::clone(&sender));
        Ok(sender)
    }
}

fn verify_new(token: &str, key: &str) -> Result<Sender, Refusal> {
    let key = Some(key).filter(|key| key.len() <= KEY_CHARS_MAX);
    let public_key = key.and_then(|key| URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')).ok());
    let is_point = |key: &Vec<u8>| key.len() == 65 && key.first() == Some(&4);
    let public_key = public_key.filter(is_point).ok_or(Refusal::BadKey)?;
    let jwt = Jwt::parse(token).ok_or(Refusal::BadJwt)?;
    let header: Header = jwt.header().ok_or(Refusal::BadJwt)?;
    let claims: Claims = jwt.claims().ok_or(Refusal::BadJwt)?;
    if header.alg != "ES256" || !jwt.is_signed_by(&public_key) {
        return Err(Refusal::BadJwt);
    }
    Ok(Sender {
        public_key,
        audience: claims.aud,
        expires_at_s: claims.exp,
        has_contact: claims.sub.as_deref().is_some_and(is_contact),
    })
}

/// `mailto:` with an address that could be somebody's, or `https:`.
fn is_contact(subject: &str) -> bool {
    match subject.split_once(':') {
        Some(("mailto", address)) => address.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !name.contains(':') && host.contains('.')
        }),
        Some(("https", rest)) => rest.starts_with("//") && rest.len() > 2,
        _ => false,
    }
}

/// `t` and `k` of `vapid t=…, k=…`, in any order.
fn parameters(authorization: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("vapid") {
        return None;
    }
    let find = |wanted: &str| {
        rest.split(',').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (name.trim() == wanted).then(|| value.trim().trim_matches('"'))
        })
    };
    Some((find("t")?, find("k")?))
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Senders, Timestamp, parameters};
    use crate::es256::signing::{key, public, sign};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_795_254_000;
    const ORIGIN: &str = "https://127.0.0.1:8913";

    fn at(now_s: i64) -> Timestamp {
        Timestamp::from_ms(now_s * 1_000)
    }

    fn right() -> Value {
        json!({"aud": ORIGIN, "exp": NOW_S + 3_600, "sub": "mailto:ops@example.org"})
    }

    #[test]
    fn claims_are_checked() {
        let (signer, senders) = (key(), Senders::default());
        let public_key = URL_SAFE_NO_PAD.encode(public(&signer));
        for (name, value, expected) in [
            ("x", json!(1), Ok(())),
            ("sub", json!("https://a.example"), Ok(())),
            ("exp", json!(NOW_S + 86_400), Ok(())),
            ("exp", json!(NOW_S + 86_401), Err(Refusal::BadJwt)),
            ("exp", json!(NOW_S), Err(Refusal::BadJwt)),
            ("exp", Value::Null, Err(Refusal::BadJwt)),
            ("aud", json!("https://127.0.0.1"), Err(Refusal::BadJwt)),
            ("aud", json!(format!("{ORIGIN}/")), Err(Refusal::BadJwt)),
            ("aud", Value::Null, Err(Refusal::BadJwt)),
            ("sub", Value::Null, Err(Refusal::BadSubject)),
            ("sub", json!("mailto:mailto:a@b.example"), Err(Refusal::BadSubject)),
            ("sub", json!("mailto:admin@localhost"), Err(Refusal::BadSubject)),
            ("sub", json!("http://a.example"), Err(Refusal::BadSubject)),
        ] {
            let mut claims = right();
            claims[name] = value.clone();
            let token = sign(&signer, &json!({"typ": "JWT", "alg": "ES256"}), &claims);
            let authorization = format!("vapid t={token}, k={public_key}");
            // Once verified, once remembered.
            for _ in 0..2 {
                let admitted = senders.admit(Some(&authorization), ORIGIN, at(NOW_S));
                assert_eq!(admitted.map(|_| ()), expected, "{name}: {value}");
            }
        }
    }

    #[test]
    fn only_the_owner_of_the_key_is_admitted() {
        let (good, other) = (key(), key());
        let senders = Senders::default();
        let public_key = URL_SAFE_NO_PAD.encode(public(&good));
        let token = sign(&good, &json!({"alg": "ES256"}), &right());
        let stolen = sign(&other, &json!({"alg": "ES256"}), &right());
        let unsigned = sign(&good, &json!({"alg": "none"}), &right());
        for (authorization, expected) in [
            (format!("vapid t={token}, k={public_key}"), Ok(public(&good))),
            (format!("Vapid k={public_key} , t={token}"), Ok(public(&good))),
            (format!("vapid t={token},k={public_key}="), Ok(public(&good))),
            (format!("vapid t={stolen}, k={public_key}"), Err(Refusal::BadJwt)),
            (format!("vapid t={unsigned}, k={public_key}"), Err(Refusal::BadJwt)),
            (format!("vapid t=x, k={public_key}"), Err(Refusal::BadJwt)),
            (format!("vapid t={token}, k=AAAA"), Err(Refusal::BadKey)),
            (format!("vapid t={token}"), Err(Refusal::MissingVapid)),
            (format!("bearer {token}"), Err(Refusal::MissingVapid)),
        ] {
            let admitted = senders.admit(Some(&authorization), ORIGIN, at(NOW_S));
            assert_eq!(admitted.map(|sender| sender.public_key.clone()), expected);
        }
        let missing = senders.admit(None, ORIGIN, at(NOW_S));
        assert_eq!(missing.err(), Some(Refusal::MissingVapid));
    }

    #[test]
    fn parameters_are_found_in_any_order() {
        assert_eq!(parameters("vapid t=a, k=b"), Some(("a", "b")));
        assert_eq!(parameters("vapid  k=\"b\" ,t=\"a\""), Some(("a", "b")));
        assert_eq!(parameters("vapid k=b="), None);
        assert_eq!(parameters("vapid"), None);
    }
}
