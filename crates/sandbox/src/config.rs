//! What an operator sets: the section `[sandbox]`.

use std::net::SocketAddr;

use reveille_service::config::{Document, ServerTls};

use crate::oauth::Account;

/// Largest number of pushes that can be remembered.
const RECEIVED_MAX: u32 = 1_000_000;

/// The sandbox's settings.
#[derive(Debug)]
pub struct SandboxConfig {
    /// Where FCM and its token endpoint listen (TLS).
    pub fcm: SocketAddr,
    /// Where the control port listens (plain HTTP).
    pub control: SocketAddr,
    pub(crate) tls: ServerTls,
    pub(crate) accounts: Vec<Account>,
    /// How many pushes are remembered; the oldest go first.
    pub(crate) received_max: usize,
    /// How many streams a connection may have open (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub(crate) streams_max: u32,
    /// How long an access token is valid, in seconds.
    pub(crate) token_life_s: u32,
}

impl SandboxConfig {
    /// Reads the section; problems go to the document's list, and then there is no configuration.
    pub fn read(document: &Document) -> Option<Self> {
        let mut section = document.section("sandbox");
        section.not_built("apns", "the look-alike of APNs");
        section.not_built("webpush", "the look-alike of Web Push");
        let mut address = |key: &str, default: &str| {
            if section.has(key) { section.address(key) } else { default.parse().ok() }
        };
        let (fcm, control) =
            (address("fcm", "127.0.0.1:8912"), address("control", "127.0.0.1:8910"));
        let cert = section.path("cert_file");
        let key = section.path("key_file");
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => ServerTls::from_files(&cert, &key, &[b"h2", b"http/1.1"])
                .map_err(|what| {
                    section.problem("cert_file", format!("cannot use certificate and key: {what}"));
                })
                .ok(),
            _ => {
                section.problem(
                    "cert_file",
                    "cert_file and key_file are needed; `reveille sandbox init DIR` makes them",
                );
                None
            }
        };
        let mut accounts = Vec::new();
        for file in section.strings("service_account_files").unwrap_or_default() {
            match Account::from_file(&section.resolve(&file)) {
                Ok(account) => accounts.push(account),
                Err(what) => section.problem("service_account_files", format!("{file}: {what}")),
            }
        }
        let received_max = section.number("received_max", 1..=RECEIVED_MAX).unwrap_or(100_000);
        let streams_max = section.number("streams_max", 1..=100_000).unwrap_or(100);
        let token_life_s = section.number("token_life_s", 1..=3_600).unwrap_or(3_599);
        section.finish();
        Some(Self {
            fcm: fcm?,
            control: control?,
            tls: tls?,
            accounts,
            received_max: usize::try_from(received_max).ok()?,
            streams_max,
            token_life_s,
        })
    }
}
