//! From a request to a user: one of five ways of logging in elsewhere, and devices without an account beside it.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use http::HeaderMap;
use reveille_model::{Timestamp, User};
use reveille_service::entropy;
use reveille_service::lifecycle::Lifecycle;

use super::anonymous::Anonymous;
use super::credentials::bearer;
use super::header::{ByHeader, HeaderConfig};
use super::jwt::{Jwt, JwtConfig};
use super::mediawiki::{ByWiki, MediaWikiAuthConfig};
use super::sessions::{Sessions, SessionsConfig};

/// What users of devices without an account begin with. Nobody who logs in elsewhere is taken for one of them.
pub(super) const ANONYMOUS: &str = "anonymous:";

/// How people are known (`[push.public.auth]`).
#[derive(Debug, Clone)]
pub(crate) enum AuthMode {
    /// By a session, looked up in the session store.
    Sessions(SessionsConfig),
    /// By a signed token (RFC 7519).
    Jwt(JwtConfig),
    /// By what a trusted proxy says.
    Header(HeaderConfig),
    /// By what a wiki says.
    MediaWiki(MediaWikiAuthConfig),
    /// Not at all: devices without an account only.
    Nobody,
}

/// Whoever is calling.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    /// What is known of them where a wiki has said who they are.
    pub(crate) account: Option<Account>,
}

impl From<User> for Caller {
    fn from(user: User) -> Self {
        Self { user, account: None }
    }
}

/// An account of a wiki.
#[derive(Clone)]
pub(crate) struct Account {
    /// Its number there.
    pub(crate) id: u64,
    /// Its name there.
    pub(crate) name: Box<str>,
    /// Whether it has the right `editmyprivateinfo`.
    pub(crate) edits_private_info: bool,
    /// Whether it has the right `apihighlimits`.
    pub(crate) has_high_limits: bool,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Account(…)")
    }
}

/// Why a request is nobody's. Which of the reasons there are for not knowing somebody is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No credentials, or wrong ones.
    Unknown,
    /// They cannot be checked now.
    Unavailable,
}

/// Tells users by their requests.
#[derive(Debug)]
pub(crate) struct Identity {
    mode: Mode,
    anonymous: Option<Anonymous>,
}

#[derive(Debug)]
enum Mode {
    Sessions(Sessions),
    Jwt(Jwt),
    Header(ByHeader),
    MediaWiki(Box<ByWiki>),
    Nobody,
}

impl Identity {
    /// Prepares a mode. `anonymous` mints users for devices without an account.
    pub(crate) fn new(
        mode: AuthMode,
        anonymous: Option<Anonymous>,
        lifecycle: Lifecycle,
    ) -> Result<Self, String> {
        let mode = match mode {
            AuthMode::Sessions(config) => Mode::Sessions(Sessions::new(config)?),
            AuthMode::Jwt(config) => Mode::Jwt(Jwt::new(config, lifecycle)?),
            AuthMode::Header(config) => Mode::Header(ByHeader::new(config)),
            AuthMode::MediaWiki(config) => {
                let hmac = hmac::Key::new(hmac::HMAC_SHA256, &entropy::seed());
                Mode::MediaWiki(Box::new(ByWiki::new(config, hmac)?))
            }
            AuthMode::Nobody => Mode::Nobody,
        };
        Ok(Self { mode, anonymous })
    }

    /// What mints users for devices without an account, where that is allowed.
    pub(crate) fn anonymous(&self) -> Option<&Anonymous> {
        self.anonymous.as_ref()
    }

    /// Whose request this is. `peer` is the address the connection comes from.
    pub(crate) async fn caller(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, Denied> {
        if let Some(anonymous) = &self.anonymous
            && let Some(user) = bearer(headers).and_then(|token| anonymous.user(token))
        {
            return Ok(user.into());
        }
        let caller = match &self.mode {
            Mode::Sessions(sessions) => sessions.user(headers, now).await?.into(),
            Mode::Jwt(jwt) => jwt.user(headers, now).await?.into(),
            Mode::Header(header) => header.user(headers, peer)?.into(),
            Mode::MediaWiki(wiki) => wiki.caller(headers, now).await?,
            Mode::Nobody => return Err(Denied::Unknown),
        };
        let is_anonymous = caller.user.expose().starts_with(ANONYMOUS);
        if is_anonymous { Err(Denied::Unknown) } else { Ok(caller) }
    }

    /// Whether whoever people log in at has given this token to whoever sends these headers, so that only they know it.
    pub(crate) async fn is_csrf_token(
        &self,
        headers: &HeaderMap,
        token: &str,
        now: Timestamp,
    ) -> Result<bool, Denied> {
        match &self.mode {
            Mode::MediaWiki(wiki) => wiki.is_csrf_token(headers, token, now).await,
            Mode::Sessions(_) | Mode::Jwt(_) | Mode::Header(_) | Mode::Nobody => Ok(false),
        }
    }
}
