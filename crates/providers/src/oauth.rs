//! Access tokens from a service account (RFC 7523; Google Identity, *Using OAuth 2.0 for Server to Server Applications*): cached, refreshed
//! early, fetched by one at a time.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use reveille_model::{Duration, Timestamp};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

/// What the token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long an assertion is valid, in seconds; the longest Google takes.
const ASSERTION_S: i64 = 3600;
/// Longest time for a token request.
const REQUEST_TIMEOUT: Duration = Duration::from_s(10);
/// Largest answer of the token endpoint, in bytes.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// After a failure the endpoint is left alone for this long, doubling, up to the maximum.
const BACKOFF: (Duration, Duration) = (Duration::from_s(1), Duration::from_s(60));

/// A Google service account: the JSON file Firebase hands out.
pub struct ServiceAccount {
    project_id: String,
    key_id: String,
    email: String,
    token_uri: String,
    key: KeyPair,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("project_id", &self.project_id)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct AccountFile {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// Why a file is no service account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    File(#[from] std::io::Error),
    /// It is not the JSON of a service account.
    #[error(
        "it is not the JSON file of a service account (line {line}, column {column}); download one in the Firebase console, Project settings, Service accounts"
    )]
    Json {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// Another kind of credentials.
    #[error("its `type` is not \"service_account\"")]
    Kind,
    /// Its key cannot be used.
    #[error("its `private_key` is not an RSA key in PKCS#8 PEM form")]
    Key,
    /// The project's name would not fit into a path.
    #[error("its `project_id` is not a project id")]
    Project,
}

impl ServiceAccount {
    /// Reads the file.
    pub fn from_file(path: &Path) -> Result<Self, AccountError> {
        Self::from_json(&std::fs::read(path)?)
    }

    /// Reads the JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, AccountError> {
        // The parser's own words may repeat the input, which is a secret.
        let file: AccountFile = serde_json::from_slice(json)
            .map_err(|error| AccountError::Json { line: error.line(), column: error.column() })?;
        if file.kind != "service_account" {
            return Err(AccountError::Kind);
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if file.project_id.is_empty() || !file.project_id.bytes().all(fits) {
            return Err(AccountError::Project);
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| AccountError::Key)?;
        let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| AccountError::Key)?;
        Ok(Self {
            project_id: file.project_id,
            key_id: file.private_key_id,
            email: file.client_email,
            token_uri: file.token_uri,
            key,
        })
    }

    /// The Firebase project.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// A signed assertion (RS256) for the token endpoint.
    fn assertion(&self, now: Timestamp) -> Result<String, CredentialError> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'a str,
            typ: &'a str,
            kid: &'a str,
        }
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            scope: &'a str,
            aud: &'a str,
            iat: i64,
            exp: i64,
        }
        let part = |json: serde_json::Result<Vec<u8>>| {
            json.map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(|_| CredentialError::Refused)
        };
        let header =
            part(serde_json::to_vec(&Header { alg: "RS256", typ: "JWT", kid: &self.key_id }))?;
        let claims = part(serde_json::to_vec(&Claims {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.token_uri,
            iat: now.as_s(),
            exp: now.as_s() + ASSERTION_S,
        }))?;
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| CredentialError::Refused)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Why there is no access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The account is refused: clock off, key deleted, account disabled.
    #[error(
        "the token endpoint refuses the service account: check the machine's clock, and that the key still exists and the account is enabled"
    )]
    Refused,
    /// The endpoint cannot be reached or is in trouble.
    #[error("the token endpoint cannot be reached or is in trouble")]
    Unavailable,
}

/// An access token. Printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<str>);

impl AccessToken {
    /// The value of the `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

#[derive(Debug, Clone)]
struct Cached {
    token: AccessToken,
    /// 80 % of its life.
    refresh_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug, Default)]
struct Failing {
    count: u32,
    until: Option<(Timestamp, CredentialError)>,
}

/// Hands out access tokens of one service account.
#[derive(Debug)]
pub struct TokenSource {
    account: ServiceAccount,
    client: reqwest::Client,
    cached: Mutex<Option<Cached>>,
    /// Held while fetching, so that one fetches and the others wait.
    fetching: tokio::sync::Mutex<Failing>,
}

impl TokenSource {
    /// A source that fetches over this client: it must not follow redirects.
    pub fn new(
        account: ServiceAccount,
        mut tls: rustls::ClientConfig,
    ) -> Result<Self, reqwest::Error> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(REQUEST_TIMEOUT.to_std())
            .build()?;
        Ok(Self {
            account,
            client,
            cached: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The account.
    pub fn account(&self) -> &ServiceAccount {
        &self.account
    }

    /// A token that is valid now. Past 80 % of its life one caller fetches the next while the others go on with the old.
    pub async fn token(&self, now: Timestamp) -> Result<AccessToken, CredentialError> {
        if let Some(cached) = self.cached(now) {
            if now < cached.refresh_at {
                return Ok(cached.token);
            }
            return match self.fetching.try_lock() {
                Ok(mut failing) => self.fetch(now, &mut failing).await.or(Ok(cached.token)),
                Err(_) => Ok(cached.token),
            };
        }
        let mut failing = self.fetching.lock().await;
        match self.cached(now) {
            Some(cached) => Ok(cached.token),
            None => self.fetch(now, &mut failing).await,
        }
    }

    /// Forgets a token the provider refused; one fetched in the meantime stays.
    pub fn invalidate(&self, refused: &AccessToken) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_some_and(|cached| cached.token == *refused) {
            *cached = None;
        }
    }

    fn cached(&self, now: Timestamp) -> Option<Cached> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cached.clone().filter(|cached| now < cached.expires_at)
    }

    async fn fetch(
        &self,
        now: Timestamp,
        failing: &mut Failing,
    ) -> Result<AccessToken, CredentialError> {
        if let Some((_, error)) = failing.until.filter(|(until, _)| now < *until) {
            return Err(error);
        }
        match self.request(now).await {
            Ok(cached) => {
                *failing = Failing::default();
                let token = cached.token.clone();
                *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(cached);
                Ok(token)
            }
            Err(error) => {
                let (first, longest) = BACKOFF;
                let doubled = Duration::from_ms(first.as_ms() << failing.count.min(16));
                failing.count = failing.count.saturating_add(1);
                failing.until = Some((now.plus(doubled.min(longest)), error));
                Err(error)
            }
        }
    }

    async fn request(&self, now: Timestamp) -> Result<Cached, CredentialError> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
            expires_in: u32,
        }
        let assertion = self.account.assertion(now)?;
        // Both values are made of characters that need no escaping but the colons.
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
        );
        let sent = self
            .client
            .post(&self.account.token_uri)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await;
        let mut response = sent.map_err(|error| {
            tracing::warn!(error = %error.without_url(), "the token endpoint cannot be reached");
            CredentialError::Unavailable
        })?;
        let status = response.status();
        if status != StatusCode::OK {
            tracing::warn!(status = status.as_u16(), "the token endpoint refuses");
            let ours = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
            return Err(if ours { CredentialError::Refused } else { CredentialError::Unavailable });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| CredentialError::Unavailable)? {
            if body.len() + chunk.len() > REPLY_BYTES_MAX {
                return Err(CredentialError::Unavailable);
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| CredentialError::Unavailable)?;
        let life = Duration::from_s(answer.expires_in);
        Ok(Cached {
            token: AccessToken(answer.access_token.into()),
            refresh_at: now.plus(Duration::from_ms(life.as_ms() / 5 * 4)),
            expires_at: now.plus(life),
        })
    }
}
