//! A browser's subscription: where to send, and the keys that only the browser can open.

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reveille_model::{Provider, Token};
use serde::Deserialize;
use url::Url;

use super::vapid::key_id;
use super::{Guard, Refusal, Service};

/// Where to send and how to encrypt. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to send.
    pub endpoint: Url,
    /// The browser's public key: an uncompressed P-256 point.
    pub p256dh: [u8; 65],
    /// The browser's authentication secret.
    pub auth: [u8; 16],
    /// Which of our keys the browser subscribed with, if not the first.
    pub key_id: Option<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Target(…)")
    }
}

/// Why something is no subscription of a browser. Says nothing of what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not what a browser gives.
    #[error(
        "it must be what PushSubscription.toJSON() gives: `endpoint`, `keys.p256dh`, `keys.auth`"
    )]
    Shape,
    /// The endpoint.
    #[error(transparent)]
    Endpoint(#[from] Refusal),
    /// The public key.
    #[error("`keys.p256dh` is not a P-256 public key in base64url (65 bytes)")]
    PublicKey,
    /// The secret.
    #[error("`keys.auth` is not 16 bytes in base64url")]
    Auth,
    /// Our key.
    #[error("`applicationServerKey` is not a P-256 public key in base64url (65 bytes)")]
    ApplicationServerKey,
}

/// `PushSubscription.toJSON()` (W3C Push API), and which of our keys it was made with.
#[derive(Deserialize)]
struct Json {
    endpoint: String,
    keys: Keys,
    #[serde(rename = "applicationServerKey")]
    application_server_key: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// Browsers give base64url without padding; people also paste the other forms.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&URL_SAFE, config)
        .decode(text)
        .or_else(|_| GeneralPurpose::new(&STANDARD, config).decode(text))
        .ok()?;
    bytes.try_into().ok()
}

fn public_key(text: &str) -> Option<[u8; 65]> {
    let bytes: [u8; 65] = decode(text)?;
    // Parsing checks that the point is on the curve.
    let parsed = ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, bytes));
    (bytes.starts_with(&[4]) && parsed.is_ok()).then_some(bytes)
}

impl Target {
    /// From a browser's JSON, if `guard` lets us send there.
    pub fn from_json(json: &serde_json::Value, guard: &Guard) -> Result<Self, TargetError> {
        let Json { endpoint, keys, application_server_key } =
            Json::deserialize(json).map_err(|_| TargetError::Shape)?;
        let ours = application_server_key
            .map(|text| public_key(&text).ok_or(TargetError::ApplicationServerKey))
            .transpose()?;
        Ok(Self {
            endpoint: guard.endpoint(&endpoint)?,
            p256dh: public_key(&keys.p256dh).ok_or(TargetError::PublicKey)?,
            auth: decode(&keys.auth).ok_or(TargetError::Auth)?,
            key_id: ours.map(|key| key_id(&key)),
        })
    }

    /// As a token: endpoint, keys and, where it is known, our key's id, a space between.
    pub fn to_token(&self) -> Option<Token> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut text = format!("{} {} {}", self.endpoint, encode(&self.p256dh), encode(&self.auth));
        if let Some(key_id) = &self.key_id {
            text.push(' ');
            text.push_str(key_id);
        }
        Token::parse(Provider::WebPush, &text).ok()
    }

    /// From a token. The guard is asked again: it may have become stricter.
    pub fn from_token(token: &Token, guard: &Guard) -> Result<Self, TargetError> {
        let mut parts = token.expose().split(' ');
        let (Some(endpoint), Some(p256dh), Some(auth)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(TargetError::Shape);
        };
        Ok(Self {
            endpoint: guard.endpoint(endpoint)?,
            p256dh: decode(p256dh).ok_or(TargetError::PublicKey)?,
            auth: decode(auth).ok_or(TargetError::Auth)?,
            key_id: parts.next().map(str::to_owned),
        })
    }

    /// Who runs the push service.
    pub fn service(&self) -> Service {
        Service::at(self.endpoint.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};
    use crate::webpush::{Guard, Refusal, Service};
    use serde_json::{Value, json};

    /// The keys of RFC 8291 §5.
    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const ENDPOINT: &str = "https://updates.push.services.mozilla.com/wpush/v2/planted";

    fn json() -> Value {
        json!({"endpoint": ENDPOINT, "expirationTime": null, "keys": {"p256dh": P256DH, "auth": AUTH}})
    }

    #[test]
    fn what_a_browser_gives_becomes_a_token_and_back() {
        let guard = Guard::default();
        let target = Target::from_json(&json(), &guard).unwrap();
        assert_eq!(target.service(), Service::Mozilla);
        let token = target.to_token().unwrap();
        assert_eq!(token.expose(), format!("{ENDPOINT} {P256DH} {AUTH}"));
        assert_eq!(Target::from_token(&token, &guard).unwrap(), target);
        assert!(!format!("{target:?}").contains("planted"));
        // Other ways to write the same keys give the same token.
        let mut padded = json();
        padded["keys"] =
            json!({"p256dh": format!("{P256DH}="), "auth": "BTBZMqHH6r4Tts7J/aSIgg=="});
        assert_eq!(Target::from_json(&padded, &guard).unwrap().to_token().unwrap(), token);
        let mut ours = json();
        ours["applicationServerKey"] = json!(P256DH);
        let with_key = Target::from_json(&ours, &guard).unwrap();
        let back = Target::from_token(&with_key.to_token().unwrap(), &guard).unwrap();
        assert_eq!((back.key_id.as_deref().map(str::len), &back), (Some(16), &with_key));
    }

    #[test]
    fn what_is_no_subscription_is_refused_without_repeating_it() {
        let off_curve = format!("{}A", P256DH.get(..86).unwrap());
        let rows = [
            (
                "/endpoint",
                json!("http://updates.push.services.mozilla.com/planted"),
                TargetError::Endpoint(Refusal::Scheme),
            ),
            ("/endpoint", json!("https://planted.example/"), TargetError::Endpoint(Refusal::Host)),
            ("/endpoint", json!(7), TargetError::Shape),
            ("/keys", json!(null), TargetError::Shape),
            ("/keys/p256dh", json!("planted"), TargetError::PublicKey),
            ("/keys/p256dh", json!(off_curve), TargetError::PublicKey),
            ("/keys/auth", json!("planted"), TargetError::Auth),
            ("/keys/auth", json!(""), TargetError::Auth),
        ];
        for (path, value, expected) in rows {
            let mut json = json();
            *json.pointer_mut(path).unwrap() = value;
            let error = Target::from_json(&json, &Guard::default()).unwrap_err();
            assert_eq!(error, expected, "{json}");
            assert!(!error.to_string().contains("planted"));
        }
        let mut odd = json();
        odd["applicationServerKey"] = json!("planted");
        let error = Target::from_json(&odd, &Guard::default()).unwrap_err();
        assert_eq!(error, TargetError::ApplicationServerKey);
        for odd in [json!(null), json!([]), json!("planted")] {
            assert_eq!(Target::from_json(&odd, &Guard::default()), Err(TargetError::Shape));
        }
    }
}
