//! TLS towards providers: the public roots, or for a sandbox its own authority.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// A client configuration that trusts the public roots, or only the authorities of `ca_file` where one is given.
pub fn client_tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca_file {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => {
            let fail =
                |error: &dyn std::fmt::Display| TlsError(format!("{}: {error}", path.display()));
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fail(&error))? {
                let certificate = certificate.map_err(|error| fail(&error))?;
                roots.add(certificate).map_err(|error| fail(&error))?;
            }
            if roots.is_empty() {
                return Err(fail(&"it holds no certificate"));
            }
            roots
        }
    };
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
