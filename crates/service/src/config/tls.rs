//! TLS of a listener: `tls_cert_file` and `tls_key_file`, PEM.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Section;

/// A listener's certificate and key.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

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
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| at(cert, &error))?;
        let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| at(key, &error))?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key_der)
            .map_err(|error| at(cert, &error))?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self(Arc::new(config)))
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

    /// What accepts connections with it.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}
