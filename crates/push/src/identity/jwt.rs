//! Signed tokens (RFC 7519) of whoever people log in at.

use http::HeaderMap;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use reveille_model::{Duration, Timestamp, User};
use reveille_service::lifecycle::Lifecycle;
use serde_json::{Map, Value};

use super::Denied;
use super::credentials::{bearer, cookie};
use super::keyset::{KeySet, KeySource, NoKeys, check_file};
use crate::client::ClientSettings;

/// How far the clocks of issuer and server may be apart.
const LEEWAY: Duration = Duration::from_s(30);
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8_192;
/// The algorithms tokens may be signed with.
const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// `mode = "jwt"`.
#[derive(Debug, Clone)]
pub(crate) struct JwtConfig {
    /// Where the keys are.
    pub keys: KeySource,
    /// Who must have issued a token (`iss`).
    pub issuer: String,
    /// Whom it must be for (`aud`).
    pub audience: String,
    /// The claim that names the user.
    pub user_claim: String,
    /// How the keys' address is reached.
    pub client: ClientSettings,
    /// The cookie that carries a token where no header does.
    pub cookie: Option<String>,
}

#[derive(Debug)]
pub(super) struct Jwt {
    config: JwtConfig,
    keys: KeySet,
}

impl JwtConfig {
    /// What is wrong with its keys, as far as that shows before a token comes.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.keys {
            KeySource::File(path) => check_file(path),
            KeySource::Url(_) => Ok(()),
        }
    }
}

impl Jwt {
    pub(super) fn new(config: JwtConfig, lifecycle: Lifecycle) -> Result<Self, String> {
        let keys = KeySet::new(config.keys.clone(), &config.client, lifecycle)?;
        Ok(Self { config, keys })
    }

    pub(super) async fn user(&self, headers: &HeaderMap, now: Timestamp) -> Result<User, Denied> {
        let from_cookie = || cookie(headers, self.config.cookie.as_deref()?);
        let token = bearer(headers).or_else(from_cookie).ok_or(Denied::Unknown)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::Unknown);
        }
        let header = decode_header(token).map_err(|_| Denied::Unknown)?;
        // What it says must be understood is not (RFC 7515 §4.1.11).
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(Denied::Unknown);
        }
        let keys = match self.keys.keys(header.kid.as_deref(), header.alg, now).await {
            Ok(keys) => keys,
            Err(NoKeys::Unknown) => return Err(Denied::Unknown),
            Err(NoKeys::Unreadable) => return Err(Denied::Unavailable),
        };
        let verify = |key: &super::keyset::Key| {
            let mut validation = Validation::new(key.algorithm);
            validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            validation.set_issuer(&[&self.config.issuer]);
            validation.set_audience(&[&self.config.audience]);
            // Times are checked below, by the server's clock.
            validation.validate_exp = false;
            decode::<Map<String, Value>>(token, &key.decoding, &validation).ok()
        };
        let claims = keys.iter().find_map(|key| verify(key)).ok_or(Denied::Unknown)?.claims;
        if !is_current(&claims, now) {
            return Err(Denied::Unknown);
        }
        let user = match claims.get(&self.config.user_claim) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(Denied::Unknown),
        };
        User::parse(&user).map_err(|_| Denied::Unknown)
    }
}

/// Whether a token has begun (`nbf`) and has not ended (`exp`).
fn is_current(claims: &Map<String, Value>, now: Timestamp) -> bool {
    let now_s = now.as_s();
    let leeway_s = i64::try_from(LEEWAY.as_s()).unwrap_or_default();
    // NumericDate may have a fraction (RFC 7519 §2); whole seconds are near enough.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is compared only")]
    let time = |name: &str| {
        claims.get(name).map(|value| value.as_i64().or(value.as_f64().map(|time| time as i64)))
    };
    let has_begun = match time("nbf") {
        None => true,
        Some(begin) => begin.is_some_and(|begin| begin <= now_s.saturating_add(leeway_s)),
    };
    let is_over = time("exp").flatten().is_none_or(|end| end.saturating_add(leeway_s) <= now_s);
    has_begun && !is_over
}
