//! The token endpoint (RFC 7523): verifies assertions and hands out access tokens.

use std::fmt;
use std::path::Path;
use std::sync::PoisonError;

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use reveille_model::{Duration, Timestamp};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::identifiers::hex;
use crate::state::State;
use crate::transport::json_response;

/// Most access tokens that are known at once; the oldest go first.
const TOKENS_MAX: usize = 10_000;
/// How far clocks may be apart, in seconds.
const SKEW_S: i64 = 300;

/// A service account the sandbox knows.
pub(crate) struct Account {
    pub(crate) project_id: String,
    key_id: String,
    email: String,
    token_uri: String,
    public_key: Vec<u8>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.project_id)
    }
}

#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
    iat: i64,
    exp: i64,
}

impl Account {
    /// Reads the file a client of the sandbox uses; only the public half of its key is kept.
    pub(crate) fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| error.to_string())?;
        let file: AccountFile = serde_json::from_slice(&text)
            .map_err(|_| "it is not the JSON of a service account".to_owned())?;
        let unusable = |_| "its private_key is not an RSA key in PKCS#8 PEM form".to_owned();
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| "its private_key is not PEM".to_owned())?;
        let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(unusable)?;
        Ok(Self {
            project_id: file.project_id,
            key_id: file.private_key_id,
            email: file.client_email,
            token_uri: file.token_uri,
            public_key: key.public_key().as_ref().to_vec(),
        })
    }

    /// Verifies an assertion; says what is wrong with it.
    fn verify(&self, assertion: &str, now: Timestamp) -> Result<(), &'static str> {
        let mut parts = assertion.splitn(3, '.');
        let (Some(header), Some(claims), Some(signature)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err("Invalid JWT");
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "Invalid JWT");
        let signed = assertion.get(..header.len() + 1 + claims.len()).ok_or("Invalid JWT")?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| "Invalid JWT Signature.")?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| "Invalid JWT")?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| "Invalid JWT")?;
        let now = now.as_s();
        if header.alg != "RS256" || header.kid.is_some_and(|kid| kid != self.key_id) {
            Err("Invalid JWT: alg or kid")
        } else if claims.iss != self.email {
            Err("Invalid grant: account not found")
        } else if claims.aud != self.token_uri {
            Err("Invalid JWT: audience")
        } else if !claims.scope.split(' ').any(is_messaging_scope) {
            Err("Invalid scope")
        } else if claims.exp > claims.iat + 3600
            || claims.iat > now + SKEW_S
            || claims.exp < now - SKEW_S
        {
            Err(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            )
        } else {
            Ok(())
        }
    }
}

fn is_messaging_scope(scope: &str) -> bool {
    matches!(
        scope,
        "https://www.googleapis.com/auth/firebase.messaging"
            | "https://www.googleapis.com/auth/cloud-platform"
    )
}

/// Answers `POST /token`.
pub(crate) fn token(state: &State, body: &[u8]) -> Response<Bytes> {
    let refuse = |error: &str, description: &str| {
        json_response(
            StatusCode::BAD_REQUEST,
            &json!({"error": error, "error_description": description}),
        )
    };
    let Some(assertion) = form_value(body, "assertion") else {
        return refuse("invalid_request", "Missing parameter: assertion");
    };
    if form_value(body, "grant_type").as_deref()
        != Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    {
        return refuse("unsupported_grant_type", "Invalid grant_type");
    }
    let now = state.now();
    let mut why = "no service account is configured (sandbox.service_account_files)";
    for account in &state.accounts {
        match account.verify(&assertion, now) {
            Ok(()) => return json_response(StatusCode::OK, &hand_out(state)),
            Err(what) => why = what,
        }
    }
    refuse("invalid_grant", why)
}

/// A new access token, as the endpoint answers it.
pub(crate) fn hand_out(state: &State) -> Value {
    let token = format!("ya29.sandbox-{}", hex(&reveille_service::entropy::seed()));
    let now = state.now();
    let mut known = state.access_tokens.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, expires_at| now < *expires_at);
    while known.len() >= TOKENS_MAX {
        known.pop_first();
    }
    known.insert(token.clone(), now.plus(Duration::from_s(state.token_life_s)));
    json!({"access_token": token, "expires_in": state.token_life_s, "token_type": "Bearer"})
}

/// Whether an `Authorization` header carries a token handed out here that is still valid.
pub(crate) fn is_authorized(state: &State, authorization: Option<&str>) -> bool {
    let Some((scheme, token)) = authorization.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let known = state.access_tokens.lock().unwrap_or_else(PoisonError::into_inner);
    scheme.eq_ignore_ascii_case("bearer")
        && known.get(token.trim()).is_some_and(|expires_at| state.now() < *expires_at)
}

/// Forgets a token, as if it had been revoked.
pub(crate) fn revoke(state: &State, authorization: Option<&str>) {
    if let Some((_, token)) = authorization.and_then(|value| value.split_once(' ')) {
        state.access_tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(token.trim());
    }
}

/// One value of a form (`application/x-www-form-urlencoded`).
fn form_value(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let value =
        text.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    let mut decoded = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let pair = [bytes.next()?, bytes.next()?];
                decoded.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
            }
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).ok()
}
