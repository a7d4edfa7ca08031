//! One request to a wiki's Action API, and what its answer says.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use reveille_model::{Duration, Timestamp};
use reveille_providers::parse_retry_after;
use rustls::ClientConfig;
use serde_json::Value;

use super::jar::Jar;

/// Longest time for one request: what core gives its own.
const REQUEST_TIMEOUT: Duration = Duration::from_s(25);
/// Longest answer, in bytes. The rights of an account are some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Characters of an error's text that are passed on to the log.
const TEXT_CHARS_MAX: usize = 200;
/// Who asks (`MediaWiki`'s API etiquette wants to know).
const AGENT: &str = concat!("Reveille/", env!("CARGO_PKG_VERSION"));

/// Where the wiki is and who we are there.
#[derive(Clone)]
pub(crate) struct MediaWikiConfig {
    /// The address of `api.php`.
    pub(crate) api: reqwest::Url,
    pub(crate) username: String,
    pub(crate) password: String,
    /// Where requests go to an inner address: the wiki's own name.
    pub(crate) host_header: Option<HeaderValue>,
    /// What `X-Forwarded-Proto` says, for a wiki behind a proxy that ends TLS.
    pub(crate) forwarded_proto: Option<HeaderValue>,
    pub(crate) tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for MediaWikiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaWikiConfig(…)")
    }
}

/// Why nothing came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The wiki is out of reach, in trouble or busy; until then if it said so.
    Later { what: String, until: Option<Timestamp> },
    /// It has answered with this code, which says that nothing was done.
    Refused { code: String, text: String },
}

impl Failure {
    pub(super) fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused { code, .. } if codes.contains(&code.as_str()))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Later { what, .. } => f.write_str(what),
            Self::Refused { code, text } => write!(f, "{code}: {text}"),
        }
    }
}

/// Codes that pass by themselves (`MediaWiki` API: errors and warnings, maxlag, read-only mode).
const LATER: [&str; 5] = ["readonly", "maxlag", "ratelimited", "actionthrottledtext", "dberror"];

/// An API that is asked with one jar of cookies.
#[derive(Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    config: MediaWikiConfig,
    jar: Jar,
}

impl Api {
    pub(super) fn new(config: MediaWikiConfig) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&config.tls))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(REQUEST_TIMEOUT.to_std())
            .build()?;
        Ok(Self { client, config, jar: Jar::default() })
    }

    pub(super) const fn config(&self) -> &MediaWikiConfig {
        &self.config
    }

    /// Posts a form and returns what the answer holds.
    pub(super) async fn call(
        &mut self,
        parameters: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let mut request = self
            .client
            .post(self.config.api.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(USER_AGENT, AGENT)
            .body(form(parameters));
        let proto = self.config.forwarded_proto.clone();
        let more = [
            (COOKIE, self.jar.header()),
            (HOST, self.config.host_header.clone()),
            (http::HeaderName::from_static("x-forwarded-proto"), proto),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer =
            request.send().await.map_err(|error| later(error.without_url().to_string()))?;
        self.jar.keep(answer.headers());
        let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let until = named.and_then(|value| parse_retry_after(value, now));
        if answer.status() != StatusCode::OK {
            let what = format!("it answers {}", answer.status());
            return Err(Failure::Later { what, until });
        }
        let value: Value = serde_json::from_slice(&body(answer).await?)
            .map_err(|_| later("its answer is no JSON of an API".to_owned()))?;
        match refusal(&value) {
            None => Ok(value),
            Some((code, text))
                if LATER.contains(&code) || code.starts_with("internal_api_error") =>
            {
                Err(Failure::Later { what: format!("{code}: {text}"), until })
            }
            Some((code, text)) => Err(Failure::Refused { code: code.to_owned(), text }),
        }
    }
}

fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("format", "json"), ("formatversion", "2"), ("errorformat", "plaintext")])
        .extend_pairs(parameters)
        .finish()
}

pub(super) const fn later(what: String) -> Failure {
    Failure::Later { what, until: None }
}

async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                bytes.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(later("its answer is too long".to_owned())),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(later(error.without_url().to_string())),
        }
    }
}

/// The first error of an answer, in either of the two shapes that there are.
fn refusal(value: &Value) -> Option<(&str, String)> {
    let error = value.pointer("/errors/0").or_else(|| value.get("error"))?;
    let text = error.get("text").or_else(|| error.get("info")).and_then(Value::as_str);
    let text = text.unwrap_or_default().chars().take(TEXT_CHARS_MAX).collect();
    Some((error.get("code").and_then(Value::as_str).unwrap_or("unknown"), text))
}
