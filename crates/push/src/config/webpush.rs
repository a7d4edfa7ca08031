//! `[webpush]`: browsers, and UnifiedPush.

use std::sync::Arc;

use reveille_mixer::{GovernorSettings, PauseSettings, RetrySettings, Throttling};
use reveille_providers::client_tls;
use reveille_providers::jwt::SigningKey;
use reveille_providers::webpush::{Guard, GuardMode, Urgency, VapidKey, VapidKeys, WebPushConfig};
use reveille_service::config::{Document, Section};

use super::delivery::{self, Defaults, to_usize};

/// Each push service is a credential set of its own with these bounds.
const DEFAULTS: Defaults = Defaults {
    in_flight_max: 500,
    per_minute_max: 600_000,
    retry: RetrySettings::WEB_PUSH,
    pause: PauseSettings::DEFAULT,
    throttling: Throttling::OfSender,
};
/// Requests under way at once to one host that a client chose, and a minute.
const PER_HOST: (u32, u32) = (32, 12_000);
/// Most keys; more than one only while keys are changed.
const KEYS_MAX: usize = 16;
/// Most hosts and origins that can be listed.
const HOSTS_MAX: usize = 1_000;

/// The key browsers are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserKey {
    /// What it is called in their tokens.
    pub id: String,
    /// What they subscribe with.
    pub public: String,
}

/// The section, read.
#[derive(Debug)]
pub struct WebPushSection {
    /// How to reach browsers.
    pub webpush: WebPushConfig,
    /// The bounds of one push service.
    pub governor: GovernorSettings,
    /// The bounds of one host inside it.
    pub per_host: GovernorSettings,
    /// Its delays.
    pub retry: RetrySettings,
}

impl WebPushSection {
    /// The key browsers are told of: the first.
    pub(crate) fn browser_key(&self) -> Option<BrowserKey> {
        let key = self.webpush.keys.keys().first()?;
        Some(BrowserKey { id: key.id().to_owned(), public: key.public().to_owned() })
    }

    /// Reads it, if it is there.
    pub(crate) fn read(document: &Document) -> Option<Self> {
        if !document.has("webpush") {
            return None;
        }
        let mut section = document.section("webpush");
        let keys = read_keys(&mut section);
        let subject = read_subject(&mut section);
        let proxy = section.string("proxy");
        let is_proxy = |text: &String| {
            reqwest::Url::parse(text).is_ok_and(|url| url.scheme() == "http" && url.has_host())
        };
        if proxy.as_ref().is_some_and(|text| !is_proxy(text)) {
            section.problem("proxy", "this must be http://HOST:PORT");
        }
        let guard = read_guard(&mut section);
        if proxy.is_some() && guard.mode == GuardMode::Public {
            section.problem(
                "proxy",
                "a proxy resolves names itself, so that private addresses could be reached through it; mode must be \"allowlist\"",
            );
        }
        let ca_file = section.path("ca_file");
        let tls = client_tls(ca_file.as_deref())
            .map_err(|error| section.problem("ca_file", error.to_string()))
            .ok();
        let urgency = section.choice("urgency", &Urgency::WORDS).unwrap_or_default();
        let (in_flight, per_minute) = PER_HOST;
        let per_host_in_flight = section.number("per_host_in_flight_max", 1..=10_000);
        let per_host_minute = section.number("per_host_per_minute_max", 1..=60_000_000);
        let (governor, retry) = delivery::read(&mut section, &DEFAULTS);
        section.finish();
        Some(Self {
            webpush: WebPushConfig {
                keys: VapidKeys::new(keys?, subject?),
                guard: Arc::new(guard),
                tls: tls?,
                urgency,
                proxy,
            },
            governor,
            per_host: GovernorSettings {
                in_flight_max: to_usize(per_host_in_flight.unwrap_or(in_flight)),
                per_minute_max: per_host_minute.unwrap_or(per_minute),
                ..governor
            },
            retry,
        })
    }
}

/// One key, or several while they are changed, each file with one or several: the first is the one browsers are told of, the others reach those who
/// subscribed before.
fn read_keys(section: &mut Section) -> Option<Vec<VapidKey>> {
    let paths = match (section.path("vapid_key_file"), section.strings("vapid_key_files")) {
        (Some(path), None) => vec![path],
        (None, Some(texts)) if (1..=KEYS_MAX).contains(&texts.len()) => {
            texts.iter().map(|text| section.resolve(text)).collect()
        }
        (None, None) => {
            section.problem(
                "vapid_key_file",
                "this is missing; make one with `openssl ecparam -genkey -name prime256v1 -noout -out vapid.pem`",
            );
            return None;
        }
        _ => {
            section.problem(
                "vapid_key_file",
                format!("set vapid_key_file, or vapid_key_files with up to {KEYS_MAX} of them"),
            );
            return None;
        }
    };
    let files: Vec<Vec<SigningKey>> = paths
        .iter()
        .filter_map(|path| {
            SigningKey::all_from_file(path)
                .map_err(|error| {
                    section.problem("vapid_key_file", format!("{}: {error}", path.display()));
                })
                .ok()
        })
        .collect();
    let is_whole = files.len() == paths.len();
    let keys: Vec<VapidKey> = files.into_iter().flatten().map(VapidKey::new).collect();
    if keys.len() > KEYS_MAX {
        section.problem("vapid_key_file", format!("there may be up to {KEYS_MAX} keys"));
        return None;
    }
    is_whole.then_some(keys)
}

fn read_subject(section: &mut Section) -> Option<String> {
    let subject = section.required_string("subject", "mailto:ops@example.org")?;
    // Apple refuses others (contract: providers.md §3.3).
    let mail = subject.strip_prefix("mailto:").and_then(|mail| mail.split_once('@'));
    let is_mail = mail.is_some_and(|(who, host)| {
        !who.is_empty() && !who.contains(':') && host.contains('.') && !host.contains('@')
    });
    let fits = is_mail || subject.strip_prefix("https://").is_some_and(|rest| rest.contains('.'));
    if !fits || !subject.bytes().all(|byte| byte.is_ascii_graphic()) {
        section.problem(
            "subject",
            "this is how push services reach you: \"mailto:SOMEBODY@EXAMPLE.ORG\" or an https: address",
        );
        return None;
    }
    Some(subject)
}

fn read_guard(section: &mut Section) -> Guard {
    let mode = section
        .choice("mode", &[("allowlist", GuardMode::Allowlist), ("public", GuardMode::Public)])
        .unwrap_or_default();
    let hosts = section.strings("allow_hosts").unwrap_or_default();
    if hosts.iter().any(|host| host.is_empty() || host.contains(['/', ':', '*', '@'])) {
        section.problem("allow_hosts", "name hosts only, \"push.example.org\"; sub-domains count");
    }
    let origins = section.strings("allow_origins").unwrap_or_default();
    let mut read = Vec::new();
    for text in &origins {
        match Guard::origin(text) {
            Some(origin) => read.push(origin),
            None => section.problem(
                "allow_origins",
                "an origin is https://HOST:PORT; nothing is asked of it, not even that it is public",
            ),
        }
    }
    if hosts.len() > HOSTS_MAX || origins.len() > HOSTS_MAX {
        section.problem("allow_hosts", format!("up to {HOSTS_MAX} can be listed"));
    }
    let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    Guard { mode, hosts, origins: read }
}
