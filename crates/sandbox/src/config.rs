//! What an operator sets: the section `[sandbox]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use reveille_service::config::{Document, Section, ServerTls};
use reveille_service::entropy;
use tokio_rustls::TlsAcceptor;

use crate::apns::App;
use crate::oauth::Account;
use crate::transport::client_auth;
use crate::webpush::Secret;

/// Largest number of pushes that can be remembered.
const RECEIVED_MAX: u32 = 1_000_000;
/// Most streams a connection may be given.
pub(crate) const STREAMS_MAX: u32 = 100_000;
/// Most service accounts, and most apps of APNs.
const SENDERS_MAX: usize = 1_000;

/// The sandbox's settings.
#[derive(Debug)]
pub struct SandboxConfig {
    /// Where APNs listens (TLS, HTTP/2 only).
    pub apns: SocketAddr,
    /// Where FCM and its token endpoint listen (TLS).
    pub fcm: SocketAddr,
    /// Where Web Push listens (TLS).
    pub webpush: SocketAddr,
    /// Where the control port listens (plain HTTP).
    pub control: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) settings: Settings,
}

/// What a connection is accepted with.
pub(crate) struct Tls {
    pub(crate) apns: TlsAcceptor,
    pub(crate) others: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// What the look-alikes work with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Who may send through FCM.
    pub(crate) accounts: Vec<Account>,
    /// Who may send through APNs.
    pub(crate) apns_apps: Vec<App>,
    /// What browsers' keys are derived from.
    pub(crate) webpush_secret: Secret,
    /// Where browsers' endpoints are: `https://127.0.0.1:8913`.
    pub(crate) webpush_origin: String,
    /// How many pushes are remembered; the oldest go first.
    pub(crate) received_max: usize,
    /// How many streams a connection of FCM or Web Push may have open (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub(crate) streams_max: u32,
    /// How many a connection of APNs may have open once it has shown who it is.
    pub(crate) apns_streams_max: u32,
    /// How long an access token is valid, in seconds.
    pub(crate) token_life_s: u32,
    /// How seldom a connection to APNs may change its provider token, in seconds.
    pub(crate) apns_token_update_min_s: u32,
}

impl SandboxConfig {
    /// Reads the section; problems go to the document's list, and then there is no configuration.
    pub fn read(document: &Document) -> Option<Self> {
        let mut section = document.section("sandbox");
        let apns = address(&mut section, "apns", "127.0.0.1:8911");
        let fcm = address(&mut section, "fcm", "127.0.0.1:8912");
        let webpush = address(&mut section, "webpush", "127.0.0.1:8913");
        let control = address(&mut section, "control", "127.0.0.1:8910");
        let tls = read_tls(&mut section);
        let settings = Settings::read(&mut section, webpush);
        section.finish();
        Some(Self {
            apns: apns?,
            fcm: fcm?,
            webpush: webpush?,
            control: control?,
            tls: tls?,
            settings: settings?,
        })
    }
}

fn address(section: &mut Section, key: &str, default: &str) -> Option<SocketAddr> {
    if section.has(key) { section.address(key) } else { default.parse().ok() }
}

/// An address to connect to, where one listens at all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

impl Settings {
    fn read(section: &mut Section, webpush: Option<SocketAddr>) -> Option<Self> {
        let accounts = read_accounts(section);
        let apns_apps = read_apns_apps(section);
        let webpush_secret = read_secret(section);
        let received_max = section.number("received_max", 1..=RECEIVED_MAX).unwrap_or(100_000);
        let streams_max = section.number("streams_max", 1..=STREAMS_MAX).unwrap_or(100);
        let apns_streams_max = section.number("apns_streams_max", 1..=STREAMS_MAX);
        let token_life_s = section.number("token_life_s", 1..=3_600).unwrap_or(3_599);
        let apns_token_update_min_s = section.number("apns_token_update_min_s", 1..=3_600);
        Some(Self {
            accounts,
            apns_apps,
            webpush_secret: webpush_secret?,
            webpush_origin: format!("https://{}", reachable(webpush?)),
            received_max: usize::try_from(received_max).ok()?,
            streams_max,
            apns_streams_max: apns_streams_max.unwrap_or(1_000),
            token_life_s,
            apns_token_update_min_s: apns_token_update_min_s.unwrap_or(1_200),
        })
    }
}

fn read_tls(section: &mut Section) -> Option<Tls> {
    let client_ca = section.path("apns_client_ca_file");
    let (Some(cert), Some(key)) = (section.path("cert_file"), section.path("key_file")) else {
        section.problem(
            "cert_file",
            "cert_file and key_file are needed; `reveille sandbox init DIR` makes them",
        );
        return None;
    };
    let others = ServerTls::from_files(&cert, &key, &[b"h2", b"http/1.1"])
        .map_err(|what| {
            section.problem("cert_file", format!("cannot use certificate and key: {what}"));
        })
        .ok()?;
    let apns = apns_tls(section, (&cert, &key), client_ca)?;
    Some(Tls { apns, others: others.acceptor() })
}

/// APNs speaks HTTP/2 only, and may ask for certificates.
fn apns_tls(
    section: &Section,
    (cert, key): (&Path, &Path),
    client_ca: Option<PathBuf>,
) -> Option<TlsAcceptor> {
    match client_ca {
        None => match ServerTls::from_files(cert, key, &[b"h2"]) {
            Ok(tls) => Some(tls.acceptor()),
            // Said already of the other ports.
            Err(_) => None,
        },
        Some(authority) => client_auth::acceptor(cert, key, &authority)
            .map_err(|what| section.problem("apns_client_ca_file", what))
            .ok(),
    }
}

fn read_accounts(section: &mut Section) -> Vec<Account> {
    let mut accounts = Vec::new();
    let files = section.strings("service_account_files").unwrap_or_default();
    if files.len() > SENDERS_MAX {
        section.problem("service_account_files", format!("there may be up to {SENDERS_MAX}"));
    }
    for file in files.iter().take(SENDERS_MAX) {
        match Account::from_file(&section.resolve(file)) {
            Ok(account) => accounts.push(account),
            Err(what) => section.problem("service_account_files", format!("{file}: {what}")),
        }
    }
    accounts
}

fn read_apns_apps(section: &mut Section) -> Vec<App> {
    let mut apps = section.section("apns_apps");
    let sections = apps.sections();
    if sections.len() > SENDERS_MAX {
        section.problem("apns_apps", format!("there may be up to {SENDERS_MAX}"));
    }
    sections.into_iter().take(SENDERS_MAX).filter_map(|(_, app)| App::read(app)).collect()
}

/// Without a file, browsers' keys last as long as the sandbox.
fn read_secret(section: &mut Section) -> Option<Secret> {
    let Some(path) = section.path("webpush_secret_file") else {
        return Some(Secret::new(entropy::seed()));
    };
    Secret::from_file(&path)
        .map_err(|what| {
            section.problem("webpush_secret_file", format!("{}: {what}", path.display()));
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::SandboxConfig;
    use reveille_service::config::Document;

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let text = r#"
            [sandbox]
            apns = "here"
            webpush = 7
            webpush_secret_file = "/nowhere/secret"
            apns_token_update_min_s = 3601
            apns_streams_max = 0
            apns_client_ca_file = "/nowhere/ca.pem"
            typo = 1
            [sandbox.apns_apps.one]
            topics = []
            key_file = "/nowhere/key.p8"
            key_id = "short"
            typo = 2
        "#;
        let document = Document::parse(text, "/etc".into()).unwrap();
        assert!(SandboxConfig::read(&document).is_none());
        let problems = document.problems().take();
        let paths: Vec<&str> = problems.iter().map(|each| each.path.as_str()).collect();
        let expected = [
            "sandbox.apns",
            "sandbox.apns_apps.one.key_file",
            "sandbox.apns_apps.one.key_id",
            "sandbox.apns_apps.one.team_id",
            "sandbox.apns_apps.one.topics",
            "sandbox.apns_apps.one.typo",
            "sandbox.apns_streams_max",
            "sandbox.apns_token_update_min_s",
            "sandbox.cert_file",
            "sandbox.typo",
            "sandbox.webpush",
            "sandbox.webpush_secret_file",
        ];
        assert_eq!(paths, expected);
    }
}
