//! From a request to a user: one of four ways of logging in elsewhere, and devices without an account beside it.

use std::net::IpAddr;

use http::HeaderMap;
use reveille_model::{Timestamp, User};
use reveille_service::lifecycle::Lifecycle;

use super::anonymous::Anonymous;
use super::credentials::bearer;
use super::header::{ByHeader, HeaderConfig};
use super::jwt::{Jwt, JwtConfig};
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
    /// Not at all: devices without an account only.
    Nobody,
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
            AuthMode::Nobody => Mode::Nobody,
        };
        Ok(Self { mode, anonymous })
    }

    /// What mints users for devices without an account, where that is allowed.
    pub(crate) fn anonymous(&self) -> Option<&Anonymous> {
        self.anonymous.as_ref()
    }

    /// Whose request this is. `peer` is the address the connection comes from.
    pub(crate) async fn user(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<User, Denied> {
        if let Some(anonymous) = &self.anonymous
            && let Some(user) = bearer(headers).and_then(|token| anonymous.user(token))
        {
            return Ok(user);
        }
        let user = match &self.mode {
            Mode::Sessions(sessions) => sessions.user(headers, now).await,
            Mode::Jwt(jwt) => jwt.user(headers, now).await,
            Mode::Header(header) => header.user(headers, peer),
            Mode::Nobody => Err(Denied::Unknown),
        }?;
        if user.expose().starts_with(ANONYMOUS) { Err(Denied::Unknown) } else { Ok(user) }
    }
}
