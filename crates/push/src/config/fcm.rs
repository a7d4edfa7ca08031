//! `[fcm.NAME]`: one Firebase project.

use reveille_mixer::{GovernorSettings, PauseSettings, RetrySettings, Throttling};
use reveille_model::{CredentialSet, Provider};
use reveille_providers::client_tls;
use reveille_providers::fcm::{FcmConfig, Priority};
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::oauth::ServiceAccount;
use reveille_service::config::{Document, Section};

use super::delivery::{self, Defaults, to_usize};

/// 600,000 requests a minute is FCM's default quota for a project (Firebase, *Throttling and Quotas*).
const DEFAULTS: Defaults = Defaults {
    in_flight_max: 1_000,
    per_minute_max: 600_000,
    retry: RetrySettings::FCM,
    pause: PauseSettings::DEFAULT,
    throttling: Throttling::OfDevice,
};

/// One project, read.
#[derive(Debug)]
pub struct FcmSection {
    /// `fcm.NAME`.
    pub set: CredentialSet,
    /// How to reach it.
    pub fcm: FcmConfig,
    /// Its bounds and pauses.
    pub governor: GovernorSettings,
    /// Its delays.
    pub retry: RetrySettings,
}

impl FcmSection {
    /// Reads all of them.
    pub(super) fn read_all(document: &Document) -> Vec<Self> {
        let mut fcm = document.section("fcm");
        let mut read = Vec::new();
        for (name, section) in fcm.sections() {
            match CredentialSet::new(Provider::Fcm, &name) {
                Ok(set) => read.extend(Self::read(set, section)),
                Err(_) => {
                    fcm.problem(&name, "a section's name is made of letters, digits, - and _");
                }
            }
        }
        fcm.finish();
        read
    }

    /// Reads one of them again.
    pub(crate) fn reread(set: &CredentialSet, document: &Document) -> Option<Self> {
        Self::read(set.clone(), document.section("fcm").section(set.name()))
    }

    fn read(set: CredentialSet, mut section: Section) -> Option<Self> {
        if !section.has("service_account_file") {
            section.problem(
                "service_account_file",
                "this is missing; download one in the Firebase console, Project settings, Service accounts",
            );
        }
        let account = section.path("service_account_file").and_then(|path| {
            ServiceAccount::from_file(&path)
                .map_err(|error| {
                    section.problem("service_account_file", format!("{}: {error}", path.display()));
                })
                .ok()
        });
        let endpoint = section.string("endpoint").unwrap_or_else(|| FcmConfig::ENDPOINT.to_owned());
        let endpoint = Origin::parse(&endpoint)
            .map_err(|error| section.problem("endpoint", error.to_string()))
            .ok();
        let ca_file = section.path("ca_file");
        let tls = client_tls(ca_file.as_deref())
            .map_err(|error| section.problem("ca_file", error.to_string()))
            .ok();
        let priority =
            section.choice("priority", &[("normal", Priority::Normal), ("high", Priority::High)]);
        let connections_max = section.number("connections_max", 1..=100);
        let per_minute = section.number("connections_per_minute_max", 1..=60_000);
        let (governor, retry) = delivery::read(&mut section, &DEFAULTS);
        section.finish();
        let connections_max = connections_max.map_or(FcmConfig::POOL.connections_max, to_usize);
        Some(Self {
            set,
            fcm: FcmConfig {
                account: account?,
                endpoint: endpoint?,
                tls: tls?,
                priority: priority.unwrap_or_default(),
                pool: PoolSettings {
                    connections_max,
                    dials_per_minute_max: per_minute
                        .unwrap_or(FcmConfig::POOL.dials_per_minute_max),
                    ..FcmConfig::POOL
                },
            },
            governor,
            retry,
        })
    }
}
