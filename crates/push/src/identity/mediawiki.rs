//! A wiki says who is calling: what the request shows is shown to the wiki, which knows its own people.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use lru::LruCache;
use reveille_model::{Duration, Realm, Timestamp, User};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::credentials::bearer;
use super::{Account, Caller, Denied};
use crate::wiki::{Failure, Wiki, WikiConfig, text};

/// Most answers that are remembered, of each kind.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// Most questions under way. Beyond them nobody is known.
const QUESTIONS_MAX: usize = 64;
/// Most bytes of cookies and bearer token that are shown to the wiki.
const SHOWN_BYTES_MAX: usize = 16 * 1024;
/// What the codes begin with by which a wiki says that it does not know who is asking, rather than that it cannot tell.
const UNKNOWN: [&str; 2] = ["mwoauth-invalid-authorization", "readapidenied"];

/// `mode = "mediawiki"`.
#[derive(Debug, Clone)]
pub(crate) struct MediaWikiAuthConfig {
    /// The wiki's: its own accounts are `enwiki:42`.
    pub(crate) realm: Realm,
    /// The central id lookup whose numbers name people at every wiki, who are `central:42`.
    pub(crate) central: String,
    /// How long a positive answer is remembered.
    pub(crate) kept_for: Duration,
    pub(crate) wiki: WikiConfig,
}

/// What a wiki says that its id is.
pub(crate) async fn wiki_of(
    config: &MediaWikiAuthConfig,
    now: Timestamp,
) -> Result<String, String> {
    let wiki = Wiki::new(config.wiki.clone())?;
    let asked = [("action", "query"), ("meta", "siteinfo"), ("siprop", "general")];
    let (_, answer) = wiki.ask(&asked, [], now).await;
    let answer = answer.map_err(|failure| failure.to_string())?;
    let id = text(&answer, "/query/general/wikiid").map_err(|failure| failure.to_string())?;
    Ok(id.to_owned())
}

/// Names what a request shows, without holding it.
type Key = [u8; 32];

/// Positive answers, each with the time until which it is good.
type Kept<T> = Mutex<LruCache<Key, (Timestamp, T)>>;

pub(super) struct ByWiki {
    config: MediaWikiAuthConfig,
    wiki: Wiki,
    hmac: hmac::Key,
    questions: Semaphore,
    callers: Kept<Caller>,
    csrf_tokens: Kept<()>,
}

impl std::fmt::Debug for ByWiki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByWiki").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The headers that prove who sends a request.
type Proofs = Vec<(HeaderName, HeaderValue)>;

impl ByWiki {
    /// `hmac` names what requests show; a new one at each start will do.
    pub(super) fn new(config: MediaWikiAuthConfig, hmac: hmac::Key) -> Result<Self, String> {
        let wiki = Wiki::new(config.wiki.clone())?;
        let questions = Semaphore::new(QUESTIONS_MAX);
        let (callers, csrf_tokens) =
            (Mutex::new(LruCache::new(KEPT_MAX)), Mutex::new(LruCache::new(KEPT_MAX)));
        Ok(Self { config, wiki, hmac, questions, callers, csrf_tokens })
    }

    pub(super) async fn caller(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Caller, Denied> {
        let proofs = proofs(headers).ok_or(Denied::Unknown)?;
        let key = self.key(&proofs, b"");
        if let Some(caller) = kept(&self.callers, &key, now) {
            return Ok(caller);
        }
        let asked = [("action", "query"), ("meta", "userinfo"), ("uiprop", "rights|centralids")];
        let answer = self.ask(&asked, proofs, now).await?;
        let userinfo = answer
            .pointer("/query/userinfo")
            .ok_or_else(|| unavailable("its answer lacks what was asked for"))?;
        let caller = self.read(userinfo)?;
        self.keep(&self.callers, key, caller.clone(), now);
        Ok(caller)
    }

    /// Whether the wiki has given this token to whoever sends these headers.
    pub(super) async fn is_csrf_token(
        &self,
        headers: &HeaderMap,
        token: &str,
        now: Timestamp,
    ) -> Result<bool, Denied> {
        let proofs = proofs(headers).ok_or(Denied::Unknown)?;
        let key = self.key(&proofs, token.as_bytes());
        if kept(&self.csrf_tokens, &key, now).is_some() {
            return Ok(true);
        }
        let asked = [("action", "checktoken"), ("type", "csrf"), ("token", token)];
        let answer = self.ask(&asked, proofs, now).await?;
        let result = text(&answer, "/checktoken/result");
        let is_valid = result.map_err(|failure| unavailable(&failure.to_string()))? == "valid";
        if is_valid {
            self.keep(&self.csrf_tokens, key, (), now);
        }
        Ok(is_valid)
    }

    async fn ask(
        &self,
        parameters: &[(&str, &str)],
        proofs: Proofs,
        now: Timestamp,
    ) -> Result<Value, Denied> {
        // Who waits for a wiki that hangs would wait for nothing. The log is told by those that hang, not by each that is refused.
        let _asking = self.questions.try_acquire().map_err(|_| Denied::Unavailable)?;
        let (_, answer) = self.wiki.ask(parameters, proofs, now).await;
        answer.map_err(|failure| {
            let is_unknown = |code: &str| UNKNOWN.iter().any(|known| code.starts_with(known));
            match failure {
                Failure::Refused(code) if is_unknown(&code) => Denied::Unknown,
                failure => unavailable(&failure.to_string()),
            }
        })
    }

    /// Whom the wiki means.
    fn read(&self, userinfo: &Value) -> Result<Caller, Denied> {
        let id = userinfo.get("id").and_then(Value::as_u64).filter(|id| *id != 0);
        let id = id.ok_or(Denied::Unknown)?;
        let name = userinfo.get("name").and_then(Value::as_str).ok_or(Denied::Unknown)?;
        let of_central = |member: &str| userinfo.get(member)?.get(&self.config.central);
        // A central account of that name may be somebody else's until this one is attached to it.
        let is_attached = of_central("attachedlocal").is_some_and(|attached| attached != false);
        let central = of_central("centralids").and_then(Value::as_u64);
        let user = match central.filter(|id| *id != 0 && is_attached) {
            Some(central) => Realm::central().user(central),
            None => self.config.realm.user(id),
        };
        let user = User::parse(&user).map_err(|_| Denied::Unknown)?;
        let rights = userinfo.get("rights").and_then(Value::as_array);
        let has = |right: &str| rights.is_some_and(|all| all.iter().any(|each| each == right));
        let account = Account {
            id,
            name: name.into(),
            edits_private_info: has("editmyprivateinfo"),
            has_high_limits: has("apihighlimits"),
        };
        Ok(Caller { user, account: Some(account) })
    }

    fn key(&self, proofs: &Proofs, token: &[u8]) -> Key {
        let mut context = hmac::Context::with_key(&self.hmac);
        for (name, value) in proofs {
            context.update(name.as_str().as_bytes());
            context.update(&value.len().to_be_bytes());
            context.update(value.as_bytes());
        }
        context.update(token);
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }

    fn keep<T>(&self, kept: &Kept<T>, key: Key, value: T, now: Timestamp) {
        lock(kept).put(key, (now.plus(self.config.kept_for), value));
    }
}

fn lock<T>(kept: &Kept<T>) -> MutexGuard<'_, LruCache<Key, (Timestamp, T)>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is remembered and still good.
fn kept<T: Clone>(kept: &Kept<T>, key: &Key, now: Timestamp) -> Option<T> {
    let mut kept = lock(kept);
    let (until, value) = kept.get(key)?;
    if now < *until {
        return Some(value.clone());
    }
    kept.pop(key);
    None
}

/// Cookies, all of them (which ones hold the session differs by how one has logged in), and a bearer token (OAuth 2). Nothing where there are none.
fn proofs(headers: &HeaderMap) -> Option<Proofs> {
    // Over HTTP/2 they come in pieces, which belong together (RFC 9113 §8.2.3).
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let cookies = HeaderValue::from_bytes(&pieces.join(&b"; "[..])).ok();
    let cookies = cookies.filter(|cookies| !cookies.is_empty());
    let mut proofs: Proofs = cookies.into_iter().map(|value| (COOKIE, value)).collect();
    if bearer(headers).is_some() {
        proofs.extend(headers.get(AUTHORIZATION).map(|value| (AUTHORIZATION, value.clone())));
    }
    for (_, value) in &mut proofs {
        value.set_sensitive(true);
    }
    let bytes: usize = proofs.iter().map(|(_, value)| value.len()).sum();
    (1..=SHOWN_BYTES_MAX).contains(&bytes).then_some(proofs)
}

fn unavailable(what: &str) -> Denied {
    tracing::error!(what, "the wiki of push.public.auth cannot be asked");
    Denied::Unavailable
}
