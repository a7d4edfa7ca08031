//! The account that deletes: logged in when it has to be, and once at a time.

use std::sync::Arc;

use http::header::COOKIE;
use reveille_model::{Duration, Timestamp};
use reveille_providers::Current;
use serde_json::Value;

use super::jar::Jar;
use crate::wiki::{Failure, Wiki, WikiConfig, code, later, text};

/// Longest time for one request: what core gives its own.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_s(25);
/// The token of whoever is nobody.
const ANONYMOUS: &str = "+\\";
/// Values of one call (`limit` and `highlimit` of `toomanyvalues`).
const VALUES_MAX: usize = 50;
const VALUES_MAX_WITH_HIGH_LIMITS: usize = 500;
/// Without both of them the wiki says that it knows none of others' tokens.
const RIGHTS: [&str; 2] = ["manage-all-push-subscriptions", "editmyprivateinfo"];
/// How far the wiki's replicas may be behind, in seconds (`maxlag`).
const LAG_MAX: &str = "5";

/// The wiki and who we are there.
#[derive(Clone)]
pub(crate) struct MediaWikiConfig {
    pub(crate) wiki: WikiConfig,
    pub(crate) username: String,
    pub(crate) password: Arc<Current<Password>>,
}

/// A password. Printing it shows nothing of it.
pub(crate) struct Password(String);

impl Password {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl std::fmt::Debug for MediaWikiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaWikiConfig(…)")
    }
}

#[derive(Debug)]
pub(super) struct Account {
    wiki: Wiki,
    jar: Jar,
    config: MediaWikiConfig,
    session: Option<Session>,
}

/// What is known of a session while it lasts.
#[derive(Debug, Clone)]
struct Session {
    csrf: String,
    values_max: usize,
}

/// Logs in, and says how many tokens go in a call.
pub(crate) async fn try_account(config: &MediaWikiConfig, now: Timestamp) -> Result<usize, String> {
    let mut account = Account::new(config.clone())?;
    account.values_max(now).await.map_err(|failure| failure.to_string())
}

impl Account {
    pub(super) fn new(config: MediaWikiConfig) -> Result<Self, String> {
        let wiki = Wiki::new(config.wiki.clone())?;
        Ok(Self { wiki, jar: Jar::default(), config, session: None })
    }

    async fn ask(&mut self, parameters: &[(&str, &str)], now: Timestamp) -> Result<Value, Failure> {
        let cookies = self.jar.header().map(|value| (COOKIE, value));
        let (headers, answer) = self.wiki.ask(parameters, cookies, now).await;
        self.jar.keep(&headers);
        answer
    }

    /// How many values one call may have. Logs in if it has to.
    pub(super) async fn values_max(&mut self, now: Timestamp) -> Result<usize, Failure> {
        Ok(self.session(now).await?.values_max)
    }

    /// The session there is, or a new one.
    async fn session(&mut self, now: Timestamp) -> Result<Session, Failure> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let known = match self.known(now).await? {
            None => {
                self.log_in(now).await?;
                self.known(now).await?
            }
            known => known,
        };
        let unknown = || later("it does not know us after we have logged in".to_owned());
        let session = known.ok_or_else(unknown)?;
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Asks whether we are known.
    async fn known(&mut self, now: Timestamp) -> Result<Option<Session>, Failure> {
        let asked = [("action", "query"), ("meta", "tokens"), ("type", "csrf")];
        let answer = self.ask(&asked, now).await?;
        let csrf = text(&answer, "/query/tokens/csrftoken")?.to_owned();
        if csrf == ANONYMOUS {
            return Ok(None);
        }
        let asked = [("action", "query"), ("meta", "userinfo"), ("uiprop", "rights")];
        let answer = self.ask(&asked, now).await?;
        let rights = answer.pointer("/query/userinfo/rights").and_then(Value::as_array);
        let has = |right: &str| rights.is_some_and(|all| all.iter().any(|each| each == right));
        if let Some(right) = RIGHTS.into_iter().find(|right| !has(right)) {
            return Err(Failure::Lacks(right));
        }
        let is_high = has("apihighlimits");
        let values_max = if is_high { VALUES_MAX_WITH_HIGH_LIMITS } else { VALUES_MAX };
        Ok(Some(Session { csrf, values_max }))
    }

    async fn log_in(&mut self, now: Timestamp) -> Result<(), Failure> {
        let asked = [("action", "query"), ("meta", "tokens"), ("type", "login")];
        let answer = self.ask(&asked, now).await?;
        let token = text(&answer, "/query/tokens/logintoken")?.to_owned();
        let MediaWikiConfig { username, password, .. } = self.config.clone();
        let password = password.get();
        let asked = [
            ("action", "clientlogin"),
            ("username", username.as_str()),
            ("password", password.0.as_str()),
            ("loginreturnurl", "https://example.com/"),
            ("logintoken", token.as_str()),
        ];
        let answer = match self.ask(&asked, now).await {
            // The session the token belongs to was lost in between.
            Err(failure) if failure.is(&["badtoken"]) => return Err(later(failure.to_string())),
            answer => answer?,
        };
        match text(&answer, "/clientlogin/status")? {
            "PASS" => Ok(()),
            "FAIL" => {
                Err(Failure::Refused(code(answer.pointer("/clientlogin/messagecode")).to_owned()))
            }
            // UI, REDIRECT, RESTART: it wants more than a password.
            _ => Err(Failure::Refused(code(answer.pointer("/clientlogin/status")).to_owned())),
        }
    }

    /// Deletes the subscriptions with these tokens, whosever they are. Those that the wiki does not know are gone already.
    pub(super) async fn delete(&mut self, tokens: &[&str], now: Timestamp) -> Result<(), Failure> {
        let joined = join(tokens);
        let mut has_failed = false;
        loop {
            let Session { csrf, .. } = self.session(now).await?;
            let asked = [
                ("action", "echopushsubscriptions"),
                ("command", "delete"),
                ("providertoken", joined.as_str()),
                ("assert", "user"),
                ("maxlag", LAG_MAX),
                ("token", csrf.as_str()),
            ];
            let failure = match self.ask(&asked, now).await {
                Ok(answer) if text(&answer, "/delete/result")? == "Success" => return Ok(()),
                Ok(_) => return Err(later("it does not say what it did".to_owned())),
                Err(failure) => failure,
            };
            if failure.is(&["echo-push-token-not-found"]) {
                return Ok(());
            }
            if failure.is(&["badtoken", "assertuserfailed", "notloggedin"]) && !has_failed {
                // The session may be lost, or the token of it be old: asking for one tells.
                (self.session, has_failed) = (None, true);
                continue;
            }
            if matches!(failure, Failure::Refused(_)) {
                // It may be that the account is another one now.
                self.session = None;
            }
            return Err(failure);
        }
    }
}

/// Several values of one parameter. Where one of them holds what separates them, U+001F does (`MediaWiki` API: multivalue parameters).
fn join(tokens: &[&str]) -> String {
    if tokens.iter().any(|token| token.contains('|'))
        || tokens.first().is_some_and(|first| first.starts_with('\u{1f}'))
    {
        tokens.iter().flat_map(|token| ["\u{1f}", token]).collect()
    } else {
        tokens.join("|")
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn a_token_with_a_pipe_is_one_value() {
        assert_eq!(join(&["a"]), "a");
        assert_eq!(join(&["a", "b"]), "a|b");
        assert_eq!(join(&["a|b"]), "\u{1f}a|b");
        assert_eq!(join(&["c", "a|b"]), "\u{1f}c\u{1f}a|b");
    }
}
