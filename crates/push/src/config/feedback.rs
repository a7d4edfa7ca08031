//! `[push.feedback]` and `[push.drop_guard]`: who is told of dead tokens, and when such verdicts are believed.

use std::sync::Arc;

use reveille_mixer::DropGuardSettings;
use reveille_model::Duration;
use reveille_providers::{Current, client_tls};
use reveille_service::config::{Document, Section};
use reveille_store::Destination;
use rustls::ClientConfig;

use super::wiki::read_proxied;
use crate::client::ClientSettings;
use crate::feedback::{MediaWikiConfig, Password, REQUEST_TIME_MAX, Secret, WebhookConfig};
use crate::wiki::WikiConfig;

/// How long a quarantined device is left alone, at the least: sooner, answers from before a mistake of ours could vouch for it.
const HOLD_S_DEFAULT: u32 = 3_600;

/// When verdicts of death are believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropGuardConfig {
    pub(crate) settings: DropGuardSettings,
    /// How long a quarantined device is left alone before it is tried again.
    pub(crate) hold: Duration,
}

impl DropGuardConfig {
    pub(super) fn read(mut section: Section) -> Self {
        let defaults = DropGuardSettings::DEFAULT;
        let hold_s = section.number("retry_s", HOLD_S_DEFAULT..=86_400).unwrap_or(HOLD_S_DEFAULT);
        let settings = DropGuardSettings {
            trust_over: Duration::from_s(hold_s),
            dead_percent_max: section
                .number("dead_percent_max", 1..=100)
                .unwrap_or(defaults.dead_percent_max),
            answers_min: section
                .number("answers_min", 1..=1_000_000)
                .unwrap_or(defaults.answers_min),
        };
        section.finish();
        Self { settings, hold: Duration::from_s(hold_s) }
    }
}

/// Who is told of dead tokens besides our own subscriptions.
#[derive(Debug, Clone)]
pub(crate) enum FeedbackConfig {
    Webhook(Box<WebhookConfig>),
    MediaWiki(Box<MediaWikiConfig>),
}

/// A kind of feedback and the keys that are its own, with what is said where one that it needs is missing.
struct Mode {
    name: &'static str,
    needs: &'static [(&'static str, &'static str)],
    may_have: &'static [&'static str],
    read: fn(&mut Section) -> Option<FeedbackConfig>,
}

impl Mode {
    fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.needs.iter().map(|(key, _)| *key).chain(self.may_have.iter().copied())
    }
}

const WEBHOOK: Mode = Mode {
    name: "webhook",
    needs: &[
        ("url", "this is missing; write for example url = \"https://www.example.org/reveille\""),
        (
            "secret_file",
            "this is missing; make one with `(umask 077; echo whsec_$(openssl rand -base64 32) > webhook.secret)`",
        ),
    ],
    may_have: &["ca_file"],
    read: read_webhook,
};

const MEDIAWIKI: Mode = Mode {
    name: "mediawiki",
    needs: &[
        ("api", "this is missing; write for example api = \"https://meta.example.org/w/api.php\""),
        (
            "username",
            "this is missing; it is an account of the wiki in the group push-subscription-manager",
        ),
        ("password_file", "this is missing; it is a file that holds the password of the account"),
    ],
    may_have: &["host_header", "forwarded_proto", "ca_file"],
    read: read_mediawiki,
};

const MODES: [&Mode; 2] = [&WEBHOOK, &MEDIAWIKI];

/// Reads the feedback that comes in addition to our own subscriptions.
pub(super) fn read_feedback(mut section: Section) -> Option<FeedbackConfig> {
    let word = section.string("mode");
    let chosen = MODES.into_iter().find(|mode| word.as_deref() == Some(mode.name));
    if chosen.is_none() && word.is_some_and(|word| word != "own") {
        section.problem("mode", "this must be \"own\", \"webhook\" or \"mediawiki\"");
    }
    for mode in MODES {
        let is_chosen =
            |key: &str| chosen.is_some_and(|chosen| chosen.keys().any(|own| own == key));
        let astray = mode.keys().filter(|key| section.has(key) && !is_chosen(key));
        let astray: Vec<&str> = astray.collect();
        for key in &astray {
            // It is known, only not here.
            section.string(key);
        }
        if !astray.is_empty() {
            let what = format!("{} belong to mode = \"{}\"", astray.join(", "), mode.name);
            section.problem("mode", what);
        }
    }
    for (key, what) in chosen.map_or(&[][..], |mode| mode.needs) {
        if !section.has(key) {
            section.problem(key, *what);
        }
    }
    let read = chosen.and_then(|mode| (mode.read)(&mut section));
    section.finish();
    read
}

fn read_url(section: &mut Section, key: &str) -> Option<reqwest::Url> {
    let text = section.string(key)?;
    let url = reqwest::Url::parse(&text).ok();
    let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    if url.is_none() {
        section.problem(key, "this must be an https: address (or http: inside a trusted network)");
    }
    url
}

fn read_tls(section: &mut Section) -> Option<Arc<ClientConfig>> {
    let ca_file = section.path("ca_file");
    client_tls(ca_file.as_deref())
        .map_err(|error| section.problem("ca_file", error.to_string()))
        .ok()
}

/// A file of one secret, as `parse` reads it.
fn read_secret<T>(
    section: &mut Section,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let path = section.path(key)?;
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    text.and_then(|text| parse(text.trim()))
        .map_err(|what| section.problem(key, format!("{}: {what}", path.display())))
        .ok()
}

/// What proves to whoever is told who we are.
#[derive(Debug)]
pub(crate) enum FeedbackSecret {
    /// What signs.
    Webhook(Arc<Secret>),
    /// The password of the account.
    MediaWiki(Arc<Password>),
}

impl FeedbackSecret {
    /// Reads it again.
    pub(crate) fn reread(document: &Document, of: Destination) -> Option<Self> {
        let mut section = document.section("push").section("feedback");
        match of {
            Destination::Webhook => {
                read_webhook_secret(&mut section).map(|secret| Self::Webhook(Arc::new(secret)))
            }
            Destination::MediaWiki => {
                read_password(&mut section).map(|password| Self::MediaWiki(Arc::new(password)))
            }
        }
    }
}

fn read_webhook_secret(section: &mut Section) -> Option<Secret> {
    read_secret(section, "secret_file", |text| {
        Secret::parse(text).ok_or_else(|| {
            "it does not hold `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks)".to_owned()
        })
    })
}

fn read_password(section: &mut Section) -> Option<Password> {
    read_secret(section, "password_file", |text| {
        let is_there = !text.is_empty();
        is_there.then(|| Password::new(text)).ok_or_else(|| "it holds no password".to_owned())
    })
}

fn read_mediawiki(section: &mut Section) -> Option<FeedbackConfig> {
    let api = read_url(section, "api");
    let username = section.string("username");
    let password = read_password(section);
    let (host_header, forwarded_proto) = read_proxied(section);
    let tls = read_tls(section);
    Some(FeedbackConfig::MediaWiki(Box::new(MediaWikiConfig {
        wiki: WikiConfig {
            api: api?,
            host_header,
            forwarded_proto,
            client: ClientSettings { tls: tls?, time_max: REQUEST_TIME_MAX },
        },
        username: username?,
        password: Arc::new(Current::new(password?)),
    })))
}

fn read_webhook(section: &mut Section) -> Option<FeedbackConfig> {
    let url = read_url(section, "url");
    let secret = read_webhook_secret(section);
    let tls = read_tls(section);
    let secret = Arc::new(Current::new(secret?));
    Some(FeedbackConfig::Webhook(Box::new(WebhookConfig { url: url?, secret, tls: tls? })))
}

impl FeedbackConfig {
    /// The key of the address, where tokens would cross a network unencrypted.
    pub(super) fn in_the_clear(&self) -> Option<&'static str> {
        let (key, url) = match self {
            Self::Webhook(webhook) => ("url", &webhook.url),
            Self::MediaWiki(wiki) => ("api", &wiki.wiki.api),
        };
        let host = url.host_str().unwrap_or_default();
        let is_here = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        (url.scheme() == "http" && !is_here).then_some(key)
    }

    /// Who it is.
    pub(crate) const fn destination(&self) -> Destination {
        match self {
            Self::Webhook(_) => Destination::Webhook,
            Self::MediaWiki(_) => Destination::MediaWiki,
        }
    }
}
