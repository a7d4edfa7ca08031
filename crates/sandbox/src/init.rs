//! `reveille sandbox init DIR`: keys, certificates, a service account and a configuration that work at once.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose};
use serde_json::json;

use crate::identifiers::{fresh, hex};

/// The ports written into the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The push server's private API.
    pub intake: u16,
    /// The sandbox's control port.
    pub control: u16,
    /// The sandbox's APNs.
    pub apns: u16,
    /// The push server's public API.
    pub public: u16,
    /// The demo page of `reveille dev`.
    pub demo: u16,
    /// The sandbox's FCM.
    pub fcm: u16,
    /// The sandbox's Web Push.
    pub webpush: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            intake: 8900,
            public: 8901,
            demo: 8902,
            control: 8910,
            apns: 8911,
            fcm: 8912,
            webpush: 8913,
        }
    }
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file is there already.
    #[error("{0} exists already; nothing was overwritten. Choose another directory, or remove it")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Keys or certificates cannot be made.
    #[error("cannot make keys: {0}")]
    Keys(String),
}

/// How the push server of the configuration mixes devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mixing {
    Batch,
    Cohort,
}

/// Writes everything into `dir`, which is created, and returns the path of the configuration. Overwrites nothing.
///
/// Mode `batch`: whoever tries things out has few devices, and wants to see the one move that was meant.
pub fn init(dir: &Path, ports: Ports, window_s: u32) -> Result<PathBuf, InitError> {
    write_all(dir, ports, (Mixing::Batch, window_s))
}

/// The same, but users are woken in cohorts, and the app at Apple takes silent pushes, so that its devices are in them.
pub fn init_with_cohorts(dir: &Path, ports: Ports, window_s: u32) -> Result<PathBuf, InitError> {
    write_all(dir, ports, (Mixing::Cohort, window_s))
}

fn write_all(dir: &Path, ports: Ports, mix: (Mixing, u32)) -> Result<PathBuf, InitError> {
    let files = contents(ports, mix)?;
    if let Some(taken) = files.iter().map(|(name, _)| dir.join(name)).find(|path| path.exists()) {
        return Err(InitError::Exists(taken));
    }
    let fail = |path: &Path, source| InitError::File { path: path.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(|source| fail(dir, source))?;
    for (name, text) in &files {
        let path = dir.join(name);
        write_private(&path, text).map_err(|source| fail(&path, source))?;
    }
    Ok(dir.join("reveille.toml"))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn contents(ports: Ports, mix: (Mixing, u32)) -> Result<Vec<(&'static str, String)>, InitError> {
    let (ca, certificate, key) =
        certificates().map_err(|error| InitError::Keys(error.to_string()))?;
    Ok(vec![
        ("ca.pem", ca),
        ("server.pem", certificate),
        ("server.key", key),
        ("AuthKey.p8", signing_key()?),
        ("service-account.json", service_account(ports.fcm)?),
        ("vapid.pem", signing_key()?),
        ("webpush.secret", hex(&reveille_service::entropy::seed()) + "\n"),
        ("operators.tokens", hex(&reveille_service::entropy::seed()) + "\n"),
        ("reveille.toml", configuration(ports, mix)),
    ])
}

/// An authority, and a certificate for loopback under it.
fn certificates() -> Result<(String, String, String), rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "Reveille sandbox authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = rcgen::KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "Reveille sandbox");
    let key = rcgen::KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok((ca_certificate.pem(), certificate.pem(), key.serialize_pem()))
}

fn service_account(fcm_port: u16) -> Result<String, InitError> {
    let failed = |_| InitError::Keys("no RSA key".to_owned());
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
    let email = "reveille@reveille-sandbox.iam.gserviceaccount.com";
    let account = json!({
        "type": "service_account",
        "project_id": "reveille-sandbox",
        "private_key_id": fresh(),
        "private_key": pem("PRIVATE KEY", der.as_ref()),
        "client_email": email,
        "client_id": "100000000000000000000",
        "auth_uri": format!("https://127.0.0.1:{fcm_port}/auth"),
        "token_uri": format!("https://127.0.0.1:{fcm_port}/token"),
    });
    serde_json::to_string_pretty(&account).map_err(|error| InitError::Keys(error.to_string()))
}

/// A key for provider tokens, of APNs or of Web Push: P-256 in PKCS#8 PEM, as Apple's .p8 files are.
fn signing_key() -> Result<String, InitError> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .and_then(|key| key.to_pkcs8v1())
        .map_err(|_| InitError::Keys("no P-256 key".to_owned()))?;
    Ok(pem("PRIVATE KEY", key.as_ref()))
}

/// PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + &format!("-----END {label}-----\n")
}

fn configuration(ports: Ports, mix: (Mixing, u32)) -> String {
    push_sections(ports, mix) + &provider_sections(ports, mix.0) + &sandbox_sections(ports)
}

fn push_sections(ports: Ports, (mixing, window_s): (Mixing, u32)) -> String {
    let Ports { intake, public, demo, .. } = ports;
    let mode = match mixing {
        Mixing::Batch => {
            "mode = \"batch\"                          # each device by itself; \"cohort\", the default, wakes users together"
        }
        Mixing::Cohort => {
            "mode = \"cohort\"                         # users are woken together, so that nobody can tell whom it was for"
        }
    };
    format!(
        r#"# Made by `reveille sandbox init`: a push server and look-alikes of its providers, all on this machine.
# Run each in a terminal of its own:
#   reveille sandbox --config reveille.toml
#   reveille push --config reveille.toml

[push]
store = "sqlite:reveille.db"
message_types = ["checkEchoV1"]         # the first is the default

[push.intake]                           # callers inside the cluster, never the internet
listen = "127.0.0.1:{intake}"
# tokens_file = "intake.tokens"         # bearer tokens, one a line; absent = the network is trusted

[push.public]                           # devices and browsers
listen = "127.0.0.1:{public}"
origins = ["http://127.0.0.1:{demo}", "http://localhost:{demo}"]  # the page of `reveille dev`

[push.public.auth]                      # who is calling: mode = "sessions", "jwt", "header" or "mediawiki"
anonymous = true                        # and devices without an account

[push.console]                          # pages for operators: /console at the private API
tokens_file = "operators.tokens"        # who may log in, one token a line

[push.inbox]                            # what a notification says waits here, and never crosses a provider
enabled = true

[push.mix]
{mode}
window_s = {window_s}

"#
    )
}

fn provider_sections(ports: Ports, mixing: Mixing) -> String {
    let Ports { apns, fcm, webpush, .. } = ports;
    let kind = match mixing {
        Mixing::Batch => {
            "# kind = \"background\"                   # shows nothing; alerts are in no cohort"
        }
        Mixing::Cohort => {
            "kind = \"background\"                     # shows nothing, so that its devices can be in cohorts"
        }
    };
    format!(
        r#"[apns.wikipedia]
topics = ["org.wikimedia.wikipedia", "org.wikimedia.wikipedia.tfbeta"]
key_file = "AuthKey.p8"
key_id = "SANDBOXKEY"
team_id = "SANDBOXTEM"
{kind}
endpoint = "https://127.0.0.1:{apns}"    # "production" or "sandbox" for Apple's
ca_file = "ca.pem"                      # leave out for the public authorities
retry_first_s = 1                       # leave out for 900
throttle_first_s = 1                    # leave out for 60
config_error_retry_s = 1                # leave out for 60

[fcm.default]
service_account_file = "service-account.json"
endpoint = "https://127.0.0.1:{fcm}"    # leave out for Google's
ca_file = "ca.pem"                      # leave out for the public authorities
retry_first_s = 1                       # leave out for 10
throttle_first_s = 1                    # leave out for 60
config_error_retry_s = 1                # leave out for 60

[webpush]
vapid_key_file = "vapid.pem"
subject = "mailto:ops@example.org"
allow_origins = ["https://127.0.0.1:{webpush}"]  # exempt from the guard against private addresses; leave out
ca_file = "ca.pem"                      # leave out for the public authorities
retry_first_s = 1                       # leave out for 10
throttle_first_s = 1                    # leave out for 60
config_error_retry_s = 1                # leave out for 60

"#
    )
}

/// `[sandbox]` comes last, so that a line added to the file belongs to it.
fn sandbox_sections(ports: Ports) -> String {
    let Ports { control, apns, fcm, webpush, .. } = ports;
    format!(
        r#"[sandbox.apns_apps.wikipedia]           # who may send through the look-alike of APNs
topics = ["org.wikimedia.wikipedia", "org.wikimedia.wikipedia.tfbeta"]
key_file = "AuthKey.p8"
key_id = "SANDBOXKEY"
team_id = "SANDBOXTEM"

[sandbox]
control = "127.0.0.1:{control}"
apns = "127.0.0.1:{apns}"
fcm = "127.0.0.1:{fcm}"
webpush = "127.0.0.1:{webpush}"
cert_file = "server.pem"
key_file = "server.key"
service_account_files = ["service-account.json"]
webpush_secret_file = "webpush.secret"  # browsers' keys are derived from it, so that a restart changes none
"#
    )
}
