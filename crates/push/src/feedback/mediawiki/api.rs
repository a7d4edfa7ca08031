//! One request to a wiki's Action API, and what its answer says.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use reveille_model::{Duration, Timestamp};
use reveille_providers::parse_retry_after;
use rustls::ClientConfig;
use serde_json::Value;

use super::jar::Jar;
use crate::client::{ClientSettings, read_body};

/// Longest time for one request: what core gives its own.
const REQUEST_TIMEOUT: Duration = Duration::from_s(25);
/// Longest answer, in bytes. The rights of an account are some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest code of an error, in characters.
const CODE_CHARS_MAX: usize = 64;
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

/// Why nothing came of a request. What the wiki says in its own words is not repeated: it may say a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The wiki is out of reach, in trouble or busy; until then if it said so.
    #[error("{what}")]
    Later { what: String, until: Option<Timestamp> },
    /// It has answered with this code, which says that nothing was done.
    #[error("it answers {0}")]
    Refused(String),
    /// The account has not this right.
    #[error("the account has not the right {0}")]
    Lacks(&'static str),
}

impl Failure {
    pub(super) fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused(code) if codes.contains(&code.as_str()))
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
    pub(super) fn new(config: MediaWikiConfig) -> Result<Self, String> {
        let settings = ClientSettings { tls: Arc::clone(&config.tls), time_max: REQUEST_TIMEOUT };
        let client = settings.client()?;
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
        let mut answer =
            request.send().await.map_err(|error| later(error.without_url().to_string()))?;
        self.jar.keep(answer.headers());
        let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let until = named.and_then(|value| parse_retry_after(value, now));
        if answer.status() != StatusCode::OK {
            let what = format!("it answers {}", answer.status());
            return Err(Failure::Later { what, until });
        }
        let body = read_body(&mut answer, ANSWER_BYTES_MAX).await;
        let value: Value = serde_json::from_slice(&body.map_err(|error| later(error.to_string()))?)
            .map_err(|_| later("its answer is no JSON of an API".to_owned()))?;
        match refusal(&value) {
            None => Ok(value),
            Some(code) if LATER.contains(&code) || code.starts_with("internal_api_error") => {
                Err(Failure::Later { what: format!("it answers {code}"), until })
            }
            Some(code) => Err(Failure::Refused(code.to_owned())),
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

/// The code of the first error of an answer, in either of the two shapes that there are.
fn refusal(value: &Value) -> Option<&str> {
    let error = value.pointer("/errors/0").or_else(|| value.get("error"))?;
    Some(code(error.get("code")))
}

/// A code as the API has them: a word.
pub(super) fn code(value: Option<&Value>) -> &str {
    let word = value.and_then(Value::as_str).filter(|code| {
        code.len() <= CODE_CHARS_MAX
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    word.unwrap_or("an error without a code")
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use serde_json::json;

    #[test]
    fn of_what_a_wiki_says_there_is_a_code_at_the_most() {
        let text = "Unrecognized value for parameter \"providertoken\": planted.";
        let error = json!({"errors": [{"code": "badvalue", "text": text}]});
        assert_eq!(refusal(&error), Some("badvalue"));
        assert_eq!(
            refusal(&json!({"error": {"code": "badtoken", "info": text}})),
            Some("badtoken")
        );
        for odd in [json!(text), json!(7), json!("a".repeat(65)), json!(null)] {
            let error = json!({"error": {"code": odd}});
            assert_eq!(refusal(&error), Some("an error without a code"), "{error}");
        }
        assert_eq!(refusal(&json!({"delete": {"result": "Success"}})), None);
    }
}
