//! What an operator sets for APNs.

use std::path::Path;
use std::sync::Arc;

use reveille_model::{Duration, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::http2::{Origin, PoolSettings};
use crate::jwt::SigningKey;

/// What a push is to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A visible notification that the app's service extension fills in before it is shown. Reliable; what Wikipedia's app expects.
    #[default]
    Alert,
    /// A silent one. Apple holds it back, two or three an hour, and gives it to no app that was force-quit.
    Background,
}

/// A provider key, as Apple hands it out (`.p8`), and whose it is.
#[derive(Debug)]
pub struct ProviderKey {
    /// It signs provider tokens.
    pub key: SigningKey,
    /// Ten characters.
    pub key_id: String,
    /// Ten characters.
    pub team_id: String,
}

/// A client certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// When it ends; they last about a year.
    pub not_after: Timestamp,
}

/// Why files are no client certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read it: {0}")]
    File(#[from] std::io::Error),
    /// The certificate.
    #[error("it is not a certificate in PEM form")]
    Certificate,
    /// The key.
    #[error("it is not a private key in PEM form")]
    Key,
    /// Both together.
    #[error("certificate and key do not belong together")]
    Pair,
}

impl Certificate {
    /// Reads two PEM files.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let certificate = std::fs::read(certificate)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::Certificate)?;
        let first = chain.first().ok_or(CertificateError::Certificate)?;
        let (_, parsed) =
            X509Certificate::from_der(first).map_err(|_| CertificateError::Certificate)?;
        let not_after = parsed.validity().not_after.timestamp();
        let key = PrivateKeyDer::from_pem_slice(&std::fs::read(key)?)
            .map_err(|_| CertificateError::Key)?;
        Ok(Self { not_after: Timestamp::from_ms(not_after.saturating_mul(1000)), chain, key })
    }

    /// `tls`, with this certificate shown in the handshake.
    pub fn client_tls(self, tls: &ClientConfig) -> Result<Arc<ClientConfig>, CertificateError> {
        let resolver =
            rustls::sign::CertifiedKey::from_der(self.chain, self.key, tls.crypto_provider())
                .map_err(|_| CertificateError::Pair)?;
        let mut tls = ClientConfig::clone(tls);
        tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(resolver));
        Ok(Arc::new(tls))
    }
}

/// One app, or several of one team.
#[derive(Debug)]
pub struct ApnsConfig {
    /// Signs provider tokens; without one `tls` shows a certificate.
    pub provider_key: Option<ProviderKey>,
    /// Where pushes go.
    pub endpoint: Origin,
    /// Whom we trust there, and who we are.
    pub tls: Arc<ClientConfig>,
    /// What pushes are.
    pub kind: Kind,
    /// Bounds of the connections.
    pub pool: PoolSettings,
}

impl ApnsConfig {
    /// Apple's endpoint for apps from the store.
    pub const PRODUCTION: &'static str = "https://api.push.apple.com";
    /// Apple's endpoint for apps under development.
    pub const SANDBOX: &'static str = "https://api.sandbox.push.apple.com";

    /// Bounds that suit Apple (contract: providers.md §1.2): one stream until a provider token was accepted, few new connections, hours of
    /// life, a ping an hour.
    pub const POOL: PoolSettings = PoolSettings {
        connections_max: 6,
        dials_per_minute_max: 12,
        streams_max: 1_000,
        first_streams: 1,
        connect_timeout: Duration::from_s(10),
        request_timeout: Duration::from_s(20),
        ping_interval: Duration::from_s(3_600),
        ping_timeout: Duration::from_s(20),
    };
}
