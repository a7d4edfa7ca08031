//! A wiki with Echo, as far as its push service sees it: what the captures show, with a memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use http::header::{COOKIE, SET_COOKIE};
use http_body_util::Full;
use reveille_testkit::{Delivered, Receiver};
use serde_json::{Value, json};

pub(crate) const USERNAME: &str = "PushBot";
pub(crate) const PASSWORD: &str = "PushBotpassword123&=+";

/// How the wiki is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Well,
    /// Its proxy answers 503.
    Down,
    ReadOnly,
    /// A page instead of an answer.
    Html,
    /// The half of an answer.
    Truncated,
    /// Replicas are behind.
    Lagged,
    /// Too many logins.
    Throttled,
    /// The account has another password now.
    OtherPassword,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: State,
    /// What is subscribed.
    pub(crate) tokens: BTreeSet<String>,
    /// How many values each deletion had.
    pub(crate) deletions: Vec<usize>,
    pub(crate) logins: usize,
    pub(crate) values_max: usize,
    pub(crate) rights: Vec<&'static str>,
    sessions: BTreeMap<String, Session>,
    next: u64,
}

#[derive(Debug, Clone)]
struct Session {
    login_token: String,
    csrf: Option<String>,
}

/// A running wiki.
#[derive(Debug)]
pub(crate) struct Wiki {
    pub(crate) receiver: Receiver,
    inner: Arc<Mutex<Inner>>,
}

impl Wiki {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            state: State::Well,
            tokens: BTreeSet::new(),
            deletions: Vec::new(),
            logins: 0,
            values_max: 50,
            rights: vec!["read", "manage-all-push-subscriptions", "editmyprivateinfo"],
            sessions: BTreeMap::new(),
            next: 0,
        }));
        let shared = Arc::clone(&inner);
        let receiver = Receiver::start_with(move |request| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).answer(request)
        });
        Self { receiver: receiver.await, inner }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self, tokens: &[String]) {
        self.inner().tokens.extend(tokens.iter().cloned());
    }

    pub(crate) fn becomes(&self, state: State) {
        self.inner().state = state;
    }

    /// Everybody is logged out.
    pub(crate) fn loses_sessions(&self) {
        self.inner().sessions.clear();
    }
}

type Answer = Response<Full<Bytes>>;

fn page(status: u16, kind: &str, body: String) -> Answer {
    let answer = Response::builder().status(status).header("content-type", kind);
    answer.body(Full::new(Bytes::from(body))).unwrap()
}

fn answer(value: &Value) -> Answer {
    page(200, "application/json; charset=utf-8", value.to_string())
}

fn error(code: &str) -> Answer {
    let errors = json!([{"code": code, "text": "No.", "module": "main"}]);
    let mut answer = answer(&json!({"errors": errors, "docref": "See api.php"}));
    answer.headers_mut().insert("mediawiki-api-error", code.parse().unwrap());
    answer
}

fn set(answer: &mut Answer, cookie: &str) {
    answer.headers_mut().append(SET_COOKIE, cookie.parse().unwrap());
}

impl Inner {
    fn fresh(&mut self, what: &str) -> String {
        self.next += 1;
        format!("{what}{:08x}", self.next)
    }

    fn answer(&mut self, request: &Delivered) -> Answer {
        match self.state {
            State::Down => {
                let mut busy = page(503, "text/html", "<h1>Our servers are busy</h1>".into());
                busy.headers_mut().insert("retry-after", "600".parse().unwrap());
                return busy;
            }
            State::Html => return page(200, "text/html", "<!DOCTYPE html><p>Hello".into()),
            State::Truncated => {
                return page(200, "application/json", "{\"batchcomplete\":tr".into());
            }
            _ => {}
        }
        let form: BTreeMap<String, String> =
            form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(
            (of("format"), of("formatversion"), of("errorformat")),
            ("json", "2", "plaintext")
        );
        let cookies = request.headers.get(COOKIE).and_then(|value| value.to_str().ok());
        let cookies: BTreeMap<&str, &str> = cookies
            .unwrap_or_default()
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let id = cookies.get("wiki_session").copied().unwrap_or_default();
        // The session alone is not enough: a client keeps the whole jar.
        let csrf = self.sessions.get(id).and_then(|session| session.csrf.clone());
        let csrf = csrf.filter(|_| cookies.contains_key("wikiUserID"));
        match (of("action"), of("meta"), of("type")) {
            ("query", "tokens", "csrf") => {
                let token = csrf.unwrap_or_else(|| "+\\".to_owned());
                answer(&json!({"batchcomplete": true, "query": {"tokens": {"csrftoken": token}}}))
            }
            ("query", "tokens", "login") => {
                let (id, login_token) = (self.fresh("session"), self.fresh("login") + "+\\");
                let session = Session { login_token: login_token.clone(), csrf: None };
                self.sessions.insert(id.clone(), session);
                let mut said = answer(
                    &json!({"batchcomplete": true, "query": {"tokens": {"logintoken": login_token}}}),
                );
                set(&mut said, &format!("wiki_session={id}; path=/; secure; HttpOnly"));
                said
            }
            ("query", "userinfo", _) if csrf.is_some() => {
                let info = json!({"id": 6, "name": USERNAME, "rights": self.rights});
                answer(&json!({"batchcomplete": true, "query": {"userinfo": info}}))
            }
            ("clientlogin", ..) => {
                self.log_in(id, (of("logintoken"), of("username"), of("password")))
            }
            ("echopushsubscriptions", ..) => {
                assert_eq!((of("assert"), of("command")), ("user", "delete"));
                self.delete(csrf, of("token"), of("providertoken"))
            }
            other => panic!("nobody asks {other:?}"),
        }
    }

    fn log_in(&mut self, id: &str, (token, username, password): (&str, &str, &str)) -> Answer {
        self.logins += 1;
        if self.sessions.get(id).is_none_or(|session| session.login_token != token) {
            return error("badtoken");
        }
        let fail = |code| {
            let said = json!({"status": "FAIL", "message": "No.\nNo.", "messagecode": code});
            answer(&json!({"clientlogin": said}))
        };
        match self.state {
            State::ReadOnly => return error("readonly"),
            State::Throttled => return fail("login-throttled"),
            State::OtherPassword => return fail("wrongpassword"),
            _ => {}
        }
        if (username, password) != (USERNAME, PASSWORD) {
            return fail("wrongpassword");
        }
        let (new, csrf) = (self.fresh("session"), self.fresh("csrf") + "+\\");
        self.sessions.remove(id);
        self.sessions.insert(new.clone(), Session { login_token: String::new(), csrf: Some(csrf) });
        let mut said = answer(&json!({"clientlogin": {"status": "PASS", "username": USERNAME}}));
        set(&mut said, &format!("wiki_session={new}; path=/; secure; HttpOnly"));
        set(&mut said, "wikiUserID=6; Max-Age=2592000; path=/; secure; HttpOnly");
        said
    }

    fn delete(&mut self, csrf: Option<String>, token: &str, values: &str) -> Answer {
        let Some(csrf) = csrf else { return error("assertuserfailed") };
        if self.state == State::Lagged {
            let mut said = error("maxlag");
            said.headers_mut().insert("retry-after", "5".parse().unwrap());
            return said;
        }
        if csrf != token {
            return error("badtoken");
        }
        if self.state == State::ReadOnly {
            return error("readonly");
        }
        let values: Vec<&str> = match values.strip_prefix('\u{1f}') {
            Some(values) => values.split('\u{1f}').collect(),
            None => values.split('|').collect(),
        };
        if values.len() > self.values_max {
            return error("toomanyvalues");
        }
        self.deletions.push(values.len());
        let before = self.tokens.len();
        for value in values {
            self.tokens.remove(value);
        }
        if self.tokens.len() == before {
            return error("echo-push-token-not-found");
        }
        answer(&json!({"delete": {"result": "Success"}}))
    }
}
