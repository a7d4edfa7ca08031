//! TLS of a listener: `tls_cert_file` and `tls_key_file`, PEM. Read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Section;

/// A listener's certificate and key. Clones share what was read last.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<Files>,
    current: Arc<RwLock<Current>>,
}

/// Where they are, and what is offered with them.
struct Files {
    cert: PathBuf,
    key: PathBuf,
    protocols: Vec<Vec<u8>>,
}

/// What was read last.
struct Current {
    cert: Vec<u8>,
    key: Vec<u8>,
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl Files {
    fn read(&self) -> Result<Current, String> {
        let at =
            |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let cert = std::fs::read(&self.cert).map_err(|error| at(&self.cert, &error))?;
        let key = std::fs::read(&self.key).map_err(|error| at(&self.key, &error))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert)
            .collect::<Result<_, _>>()
            .map_err(|error| at(&self.cert, &error))?;
        let key_der = PrivateKeyDer::from_pem_slice(&key).map_err(|error| at(&self.key, &error))?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key_der)
            .map_err(|error| at(&self.cert, &error))?;
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(Current { cert, key, config: Arc::new(config) })
    }
}

impl ServerTls {
    /// From two PEM files, offering these protocols.
    pub fn from_files(cert: &Path, key: &Path, protocols: &[&[u8]]) -> Result<Self, String> {
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let files = Files { cert: cert.to_owned(), key: key.to_owned(), protocols };
        let current = Arc::new(RwLock::new(files.read()?));
        Ok(Self { files: Arc::new(files), current })
    }

    /// Reads the files again, and says whether they have changed. What cannot be used is not taken, and what there was stays.
    pub fn reload(&self) -> Result<bool, String> {
        let read = self.files.read()?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let has_changed = current.cert != read.cert || current.key != read.key;
        if has_changed {
            *current = read;
        }
        Ok(has_changed)
    }

    /// Where the certificate is.
    pub fn cert_file(&self) -> &Path {
        &self.files.cert
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
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.config))
    }
}
