//! `[push.public]`: the listener of devices and browsers, and who is calling there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use http::HeaderValue;
use ipnet::IpNet;
use reveille_model::User;
use reveille_service::config::{Document, Section, ServerTls};

use super::auth::{read_auth, read_session_secrets};
use crate::identity::{AuthMode, SessionSecrets};

/// Most origins, address ranges or path steps that can be listed.
const LIST_MAX: usize = 1_000;

/// The public listener's settings.
#[derive(Debug)]
pub struct PublicConfig {
    /// Its address.
    pub listen: SocketAddr,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) auth: AuthMode,
    pub(crate) mediawiki: ActionApiConfig,
    /// Whether devices without an account get a user of their own.
    pub(crate) anonymous: bool,
    /// Pages of these origins may call.
    pub(crate) origins: Vec<HeaderValue>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Requests a minute of one user, and of one address.
    pub(crate) per_user: NonZeroU32,
    pub(crate) per_address: NonZeroU32,
}

impl PublicConfig {
    /// Whether it can be reached from elsewhere, has no TLS, and knows of no proxy that has.
    pub(super) fn is_behind_nobody(&self) -> bool {
        !self.listen.ip().is_loopback() && self.tls.is_none() && self.trusted_proxies.is_empty()
    }

    /// Reads its certificate again.
    pub(crate) fn reread_tls(document: &Document) -> Option<ServerTls> {
        ServerTls::read(&mut document.section("push").section("public"))
    }

    /// Reads again what opens the session store and its values.
    pub(crate) fn reread_session_secrets(document: &Document) -> SessionSecrets {
        read_session_secrets(&mut document.section("push").section("public").section("auth"))
    }

    /// Reads it, if it is there.
    pub(super) fn read(push: &mut Section) -> Option<Self> {
        if !push.has("public") {
            return None;
        }
        let mut public = push.section("public");
        let listen = if public.has("listen") {
            public.address("listen")
        } else {
            Some(SocketAddr::from(([127, 0, 0, 1], 8901)))
        };
        let tls = ServerTls::read(&mut public);
        let origins = read_origins(&mut public);
        let trusted_proxies = read_ranges(&mut public, "trusted_proxies").unwrap_or_default();
        let mut per_minute = |key: &str, default: u32| {
            let number = public.number(key, 1..=60_000_000).unwrap_or(default);
            NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
        };
        let per_user = per_minute("user_requests_per_minute_max", 120);
        let per_address = per_minute("address_requests_per_minute_max", 600);
        let auth = read_auth(public.section("auth"));
        let mediawiki = ActionApiConfig::read(public.section("mediawiki"), auth.as_ref());
        public.finish();
        let (auth, anonymous) = auth?;
        let (listen, origins) = (listen?, origins?);
        Some(Self {
            listen,
            tls,
            auth,
            mediawiki,
            anonymous,
            origins,
            trusted_proxies,
            per_user,
            per_address,
        })
    }
}

fn read_origins(public: &mut Section) -> Option<Vec<HeaderValue>> {
    let texts = public.strings("origins").unwrap_or_default();
    let origin = |text: &String| {
        let url = reqwest::Url::parse(text).ok()?;
        // As browsers write it: scheme, host and port, nothing after.
        (url.origin().ascii_serialization() == *text).then(|| HeaderValue::from_str(text).ok())?
    };
    let origins: Option<Vec<HeaderValue>> = texts.iter().map(origin).collect();
    if origins.is_none() || texts.len() > LIST_MAX {
        let what = "each must be an origin as browsers write it, \"https://www.example.org\", without a path";
        public.problem("origins", what);
    }
    origins
}

pub(super) fn read_ranges(section: &mut Section, key: &str) -> Option<Vec<IpNet>> {
    let texts = section.strings(key)?;
    let range = |text: &String| {
        text.parse()
            .ok()
            .or_else(|| text.parse().ok().map(|address: std::net::IpAddr| address.into()))
    };
    let ranges: Option<Vec<IpNet>> = texts.iter().map(range).collect();
    if ranges.is_none() || texts.len() > LIST_MAX {
        section.problem(key, "each must be an address or a range, \"10.0.0.0/8\" or \"::1\"");
    }
    ranges
}

/// What is said about the Action API facade.
#[derive(Debug)]
pub(crate) struct ActionApiConfig {
    /// Users who may delete everybody's subscriptions.
    pub(crate) managers: BTreeSet<User>,
    /// What answers call this wiki.
    pub(crate) wiki: Arc<str>,
    /// Whether something is said about it: somebody means to use it.
    pub(crate) is_meant: bool,
}

impl ActionApiConfig {
    fn read(mut section: Section, auth: Option<&(AuthMode, bool)>) -> Self {
        let is_meant = ["managers", "wiki"].iter().any(|key| section.has(key))
            || matches!(auth, Some((AuthMode::MediaWiki(_), _)));
        let names = section.strings("managers").unwrap_or_default();
        let managers: Result<BTreeSet<User>, _> =
            names.iter().map(|name| User::parse(name)).collect();
        if managers.is_err() || names.len() > LIST_MAX {
            section.problem(
                "managers",
                "each must be a user as [push.public.auth] names them, \"central:42\"",
            );
        }
        let named = section.string("wiki");
        let wiki = named.as_deref().or(match auth {
            Some((AuthMode::MediaWiki(config), _)) => Some(config.realm.as_str()),
            _ => None,
        });
        let wiki = wiki.unwrap_or("reveille").into();
        section.finish();
        Self { managers: managers.unwrap_or_default(), wiki, is_meant }
    }
}
