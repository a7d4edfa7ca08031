//! TLS of a listener: `tls_cert_file` and `tls_key_file`, PEM. Read again when they change ([`crate::reload`]).

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Section;

/// A listener's certificate and key. Clones share what was read last.
#[derive(Clone)]
pub struct ServerTls(Arc<RwLock<Arc<ServerConfig>>>);

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// From two PEM files, offering these protocols.
    pub fn from_files(cert: &Path, key: &Path, protocols: &[&[u8]]) -> Result<Self, String> {
        let at =
            |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let chain = std::fs::read(cert).map_err(|error| at(cert, &error))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|error| at(cert, &error))?;
        let key_pem = std::fs::read(key).map_err(|error| at(key, &error))?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| at(key, &error))?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| at(cert, &error))?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self(Arc::new(RwLock::new(Arc::new(config)))))
    }

    /// Takes what another one was read from, for all connections from now on.
    pub fn take(&self, read: &Self) {
        let config = read.config();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the two settings of a section; without them the listener speaks plain HTTP.
    pub fn read(section: &mut Section) -> Option<Self> {
        match (section.path("tls_cert_file"), section.path("tls_key_file")) {
            (None, None) => None,
            (Some(cert), Some(key)) => match Self::from_files(&cert, &key, &[b"h2", b"http/1.1"]) {
                Ok(tls) => Some(tls),
                Err(what) => {
                    section.problem(
                        "tls_cert_file",
                        format!("cannot use certificate and key: {what}"),
                    );
                    None
                }
            },
            _ => {
                section.problem(
                    "tls_cert_file",
                    "tls_cert_file and tls_key_file are set together or not at all",
                );
                None
            }
        }
    }

    /// What accepts a connection with what was read last.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }
}
