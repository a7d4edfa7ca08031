//! Asking a wiki: one request to its Action API (`api.php`), and what the answer says.

use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, StatusCode};
use reveille_model::Timestamp;
use reveille_providers::parse_retry_after;
use serde_json::Value;

use crate::client::{ClientSettings, read_body};

/// Longest answer, in bytes. The rights of an account are some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest code of an error, in characters.
const CODE_CHARS_MAX: usize = 64;
/// Who asks (`MediaWiki`'s API etiquette wants to know).
const AGENT: &str = concat!("Reveille/", env!("CARGO_PKG_VERSION"));

/// Where a wiki is.
#[derive(Debug, Clone)]
pub(crate) struct WikiConfig {
    /// The address of `api.php`.
    pub(crate) api: reqwest::Url,
    /// Where requests go to an inner address: the wiki's own name.
    pub(crate) host_header: Option<HeaderValue>,
    /// What `X-Forwarded-Proto` says, for a wiki behind a proxy that ends TLS.
    pub(crate) forwarded_proto: Option<HeaderValue>,
    /// How it is reached.
    pub(crate) client: ClientSettings,
}

/// Why nothing came of a request. What the wiki says in its own words is not repeated: it may say a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
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
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused(code) if codes.contains(&code.as_str()))
    }
}

/// Codes that pass by themselves (`MediaWiki` API: errors and warnings, maxlag, read-only mode).
const LATER: [&str; 5] = ["readonly", "maxlag", "ratelimited", "actionthrottledtext", "dberror"];

/// A wiki that is asked.
#[derive(Debug)]
pub(crate) struct Wiki {
    client: reqwest::Client,
    config: WikiConfig,
}

impl Wiki {
    pub(crate) fn new(config: WikiConfig) -> Result<Self, String> {
        let client = config.client.client()?;
        Ok(Self { client, config })
    }

    /// Posts a form, with what proves who asks. Returns what the answer holds, and its headers whatever it says.
    pub(crate) async fn ask(
        &self,
        parameters: &[(&str, &str)],
        proofs: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        now: Timestamp,
    ) -> (HeaderMap, Result<Value, Failure>) {
        let mut headers: HeaderMap = proofs.into_iter().collect();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let proto = HeaderName::from_static("x-forwarded-proto");
        let WikiConfig { host_header, forwarded_proto, .. } = &self.config;
        for (name, value) in [(HOST, host_header), (proto, forwarded_proto)] {
            headers.extend(value.clone().map(|value| (name, value)));
        }
        let request = self.client.post(self.config.api.clone()).headers(headers);
        match request.body(form(parameters)).send().await {
            Ok(mut answer) => {
                let headers = answer.headers().clone();
                (headers, read(&mut answer, now).await)
            }
            Err(error) => (HeaderMap::new(), Err(later(error.without_url().to_string()))),
        }
    }
}

async fn read(answer: &mut reqwest::Response, now: Timestamp) -> Result<Value, Failure> {
    let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let until = named.and_then(|value| parse_retry_after(value, now));
    if answer.status() != StatusCode::OK {
        let what = format!("it answers {}", answer.status());
        return Err(Failure::Later { what, until });
    }
    let body = read_body(answer, ANSWER_BYTES_MAX).await;
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

fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("format", "json"), ("formatversion", "2"), ("errorformat", "plaintext")])
        .extend_pairs(parameters)
        .finish()
}

pub(crate) const fn later(what: String) -> Failure {
    Failure::Later { what, until: None }
}

/// The code of the first error of an answer, in either of the two shapes that there are.
fn refusal(value: &Value) -> Option<&str> {
    let error = value.pointer("/errors/0").or_else(|| value.get("error"))?;
    Some(code(error.get("code")))
}

/// A code as the API has them: a word.
pub(crate) fn code(value: Option<&Value>) -> &str {
    let word = value.and_then(Value::as_str).filter(|code| {
        code.len() <= CODE_CHARS_MAX
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    word.unwrap_or("an error without a code")
}

/// What an answer has at a place.
pub(crate) fn text<'a>(answer: &'a Value, place: &str) -> Result<&'a str, Failure> {
    let text = answer.pointer(place).and_then(Value::as_str);
    text.ok_or_else(|| later("its answer lacks what was asked for".to_owned()))
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
