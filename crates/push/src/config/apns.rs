//! `[apns.NAME]`: one app, or several of one team.

use std::sync::Arc;

use reveille_mixer::{GovernorSettings, PauseSettings, RetrySettings, Throttling};
use reveille_model::{CredentialSet, Provider, Timestamp, Topic};
use reveille_providers::apns::{ApnsConfig, Certificate, CertificateError, Kind, ProviderKey};
use reveille_providers::client_tls;
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::jwt::SigningKey;
use reveille_service::config::{Document, Section};
use rustls::ClientConfig;

use super::delivery::{self, Defaults, to_usize};
use crate::intake::NO_APP;

/// Apple publishes no limit of pushes a minute.
const DEFAULTS: Defaults = Defaults {
    in_flight_max: 1_000,
    per_minute_max: 3_000_000,
    retry: RetrySettings::APNS,
    pause: PauseSettings::DEFAULT,
    throttling: Throttling::OfDevice,
};
/// Most topics of one section; a key restricted to topics covers up to 400.
const TOPICS_MAX: usize = 400;

/// One section, read.
#[derive(Debug)]
pub struct ApnsSection {
    /// `apns.NAME`.
    pub set: CredentialSet,
    /// The bundle ids its credentials cover.
    pub topics: Vec<Topic>,
    /// How to reach it.
    pub apns: ApnsConfig,
    /// Whether Apple lets the app take alerts that it does not show.
    pub filtering_entitlement: bool,
    /// When its certificate ends, if it has one.
    pub expires_at: Option<Timestamp>,
    /// Its bounds and pauses.
    pub governor: GovernorSettings,
    /// Its delays.
    pub retry: RetrySettings,
}

/// Who we are to Apple.
struct Credentials {
    provider_key: Option<ProviderKey>,
    tls: Arc<ClientConfig>,
    expires_at: Option<Timestamp>,
}

impl ApnsSection {
    /// Whether its devices show nobody that they were woken.
    pub fn is_silent(&self) -> bool {
        match self.apns.kind {
            Kind::Background => true,
            Kind::Alert => self.filtering_entitlement,
        }
    }

    /// Reads all of them.
    pub(super) fn read_all(document: &Document) -> Vec<Self> {
        let mut apns = document.section("apns");
        let mut read: Vec<Self> = Vec::new();
        for (name, section) in apns.sections() {
            match CredentialSet::new(Provider::Apns, &name) {
                Ok(set) if name != NO_APP => read.extend(Self::read(set, section, &read)),
                Ok(_) => apns.problem(&name, "this name is taken: it is where unknown topics go"),
                Err(_) => {
                    apns.problem(&name, "a section's name is made of letters, digits, - and _");
                }
            }
        }
        apns.finish();
        read
    }

    /// Reads one of them again.
    pub(crate) fn reread(set: &CredentialSet, document: &Document) -> Option<Self> {
        Self::read(set.clone(), document.section("apns").section(set.name()), &[])
    }

    fn read(set: CredentialSet, mut section: Section, before: &[Self]) -> Option<Self> {
        let topics = read_topics(&mut section, before);
        let endpoint = match section.string("endpoint").as_deref() {
            None | Some("production") => Origin::parse(ApnsConfig::PRODUCTION),
            Some("sandbox") => Origin::parse(ApnsConfig::SANDBOX),
            Some(text) => Origin::parse(text),
        };
        let endpoint = endpoint
            .map_err(|error| {
                section
                    .problem("endpoint", format!("write \"production\" or \"sandbox\"; {error}"));
            })
            .ok();
        let credentials = read_credentials(&mut section);
        let kind =
            section.choice("kind", &[("alert", Kind::Alert), ("background", Kind::Background)]);
        let filtering_entitlement = section.boolean("filtering_entitlement").unwrap_or(false);
        let connections_max = section.number("connections_max", 1..=100);
        let per_minute = section.number("connections_per_minute_max", 1..=60_000);
        let (governor, retry) = delivery::read(&mut section, &DEFAULTS);
        section.finish();
        let connections_max = connections_max.map_or(ApnsConfig::POOL.connections_max, to_usize);
        let Credentials { provider_key, tls, expires_at } = credentials?;
        Some(Self {
            set,
            topics,
            apns: ApnsConfig {
                provider_key,
                endpoint: endpoint?,
                tls,
                kind: kind.unwrap_or_default(),
                pool: PoolSettings {
                    connections_max,
                    dials_per_minute_max: per_minute
                        .unwrap_or(ApnsConfig::POOL.dials_per_minute_max),
                    ..ApnsConfig::POOL
                },
            },
            filtering_entitlement,
            expires_at,
            governor,
            retry,
        })
    }
}

fn read_topics(section: &mut Section, before: &[ApnsSection]) -> Vec<Topic> {
    let is_given = section.has("topics");
    let texts = section.strings("topics").unwrap_or_default();
    if !is_given || texts.is_empty() || texts.len() > TOPICS_MAX {
        section.problem(
            "topics",
            format!("name 1 to {TOPICS_MAX} bundle ids, topics = [\"org.example.app\"]"),
        );
    }
    let mut topics = Vec::new();
    for text in texts {
        match Topic::parse(&text) {
            Ok(topic) => {
                if let Some(other) = before.iter().find(|each| each.topics.contains(&topic)) {
                    section
                        .problem("topics", format!("{text} is a topic of {} already", other.set));
                }
                topics.push(topic);
            }
            Err(_) => section.problem("topics", "a topic is 1 to 255 visible ASCII characters"),
        }
    }
    topics
}

fn read_credentials(section: &mut Section) -> Option<Credentials> {
    let ca_file = section.path("ca_file");
    let tls = client_tls(ca_file.as_deref())
        .map_err(|error| section.problem("ca_file", error.to_string()))
        .ok();
    let (has_key, has_certificate) = (
        section.has("key_file"),
        section.has("certificate_file") || section.has("private_key_file"),
    );
    if has_key == has_certificate {
        section.problem(
            "key_file",
            "set either key_file, key_id and team_id (a provider key, .p8), or certificate_file and private_key_file",
        );
    }
    let files = (section.path("certificate_file"), section.path("private_key_file"));
    let provider_key = read_provider_key(section);
    if !has_certificate {
        return Some(Credentials {
            provider_key: Some(provider_key?),
            tls: tls?,
            expires_at: None,
        });
    }
    let (Some(certificate), Some(key)) = files else {
        section
            .problem("certificate_file", "certificate_file and private_key_file belong together");
        return None;
    };
    let refuse = |error: &CertificateError| {
        let (name, path) = match error {
            CertificateError::Key => ("private_key_file", &key),
            _ => ("certificate_file", &certificate),
        };
        section.problem(name, format!("{}: {error}", path.display()));
    };
    let read = Certificate::from_files(&certificate, &key).map_err(|error| refuse(&error)).ok()?;
    let expires_at = Some(read.not_after);
    let tls = read.client_tls(&*tls?).map_err(|error| refuse(&error)).ok()?;
    Some(Credentials { provider_key: None, tls, expires_at })
}

fn read_provider_key(section: &mut Section) -> Option<ProviderKey> {
    let is_needed = section.has("key_file");
    let path = section.path("key_file");
    let ten = |section: &mut Section, key: &str, text: String| {
        let fits = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            section.problem(key, "this has ten letters and digits; Apple shows it beside the key");
        }
        fits.then_some(text)
    };
    let required = |section: &mut Section, key: &str, example: &str| {
        if is_needed { section.required_string(key, example) } else { section.string(key) }
    };
    let key_id = if section.has("key_id_file") {
        if section.string("key_id").is_some() {
            section.problem("key_id", "set key_id, or key_id_file for a key that changes");
        }
        let text = section.secret("key_id_file");
        text.and_then(|text| ten(section, "key_id_file", text))
    } else {
        required(section, "key_id", "ABC123DEFG").and_then(|text| ten(section, "key_id", text))
    };
    let team_id =
        required(section, "team_id", "DEF123GHIJ").and_then(|text| ten(section, "team_id", text));
    let path = path?;
    let key = SigningKey::from_file(&path)
        .map_err(|error| section.problem("key_file", format!("{}: {error}", path.display())))
        .ok();
    Some(ProviderKey { key: key?, key_id: key_id?, team_id: team_id? })
}
