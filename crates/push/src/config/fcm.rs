//! `[fcm.NAME]`: one Firebase project.

use reveille_mixer::{Backoff, GovernorSettings, RetrySettings};
use reveille_model::{CredentialSet, Duration, Provider};
use reveille_providers::client_tls;
use reveille_providers::fcm::{FcmConfig, Priority};
use reveille_providers::http2::{Origin, PoolSettings};
use reveille_providers::oauth::ServiceAccount;
use reveille_service::config::{Document, Section};

/// Requests under way at once, per project.
const IN_FLIGHT_DEFAULT: u32 = 1_000;
/// Requests a minute, per project: FCM's default quota (Firebase, *Throttling and Quotas*).
const PER_MINUTE_DEFAULT: u32 = 600_000;

/// One project, read.
#[derive(Debug)]
pub struct FcmSection {
    /// `fcm.NAME`.
    pub set: CredentialSet,
    /// How to reach it.
    pub fcm: FcmConfig,
    /// Its bounds and delays.
    pub governor: GovernorSettings,
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
        let in_flight_max =
            section.number("in_flight_max", 1..=100_000).unwrap_or(IN_FLIGHT_DEFAULT);
        let per_minute_max =
            section.number("per_minute_max", 1..=60_000_000).unwrap_or(PER_MINUTE_DEFAULT);
        let connections_max = section.number("connections_max", 1..=100);
        let retry = read_retry(&mut section);
        section.finish();
        let connections_max = connections_max.map_or(FcmConfig::POOL.connections_max, to_usize);
        Some(Self {
            set,
            fcm: FcmConfig {
                account: account?,
                endpoint: endpoint?,
                tls: tls?,
                priority: priority.unwrap_or_default(),
                pool: PoolSettings { connections_max, ..FcmConfig::POOL },
            },
            governor: GovernorSettings {
                in_flight_max: to_usize(in_flight_max),
                per_minute_max,
                retry,
            },
        })
    }
}

fn read_retry(section: &mut Section) -> RetrySettings {
    let defaults = RetrySettings::FCM;
    let backoff = |first: Option<u32>, default: Backoff| match first {
        Some(first) => Backoff {
            first: Duration::from_s(first),
            cap: default.cap.max(Duration::from_s(first)),
        },
        None => default,
    };
    RetrySettings {
        server_error: backoff(section.number("retry_first_s", 1..=3_600), defaults.server_error),
        throttled: backoff(section.number("throttle_first_s", 1..=3_600), defaults.throttled),
        config_error: section
            .number("config_error_retry_s", 1..=3_600)
            .map_or(defaults.config_error, Duration::from_s),
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
