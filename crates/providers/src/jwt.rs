//! Signing JSON Web Tokens (RFC 7519) with ES256 (RFC 7518 §3.4), for APNs and VAPID.

use std::fmt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;

/// A P-256 key that signs. Printing it shows nothing of it.
pub struct SigningKey(EcdsaKeyPair);

/// Why a file is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    File(#[from] std::io::Error),
    /// It is no P-256 key.
    #[error("it is not a P-256 private key in PEM form (PKCS#8, as Apple hands out, or SEC1)")]
    Key,
}

impl SigningKey {
    /// Reads a PEM file.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&std::fs::read(path)?)
    }

    /// Reads PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Self::from_der(&PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Key)?)
    }

    /// Reads a PEM file of one key or several, in its order.
    pub fn all_from_file(path: &Path) -> Result<Vec<Self>, KeyError> {
        let pem = std::fs::read(path)?;
        let keys: Result<Vec<Self>, KeyError> = PrivateKeyDer::pem_slice_iter(&pem)
            .map(|der| Self::from_der(&der.map_err(|_| KeyError::Key)?))
            .collect();
        keys.and_then(|keys| if keys.is_empty() { Err(KeyError::Key) } else { Ok(keys) })
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match der {
            PrivateKeyDer::Pkcs8(der) => {
                EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der())
            }
            PrivateKeyDer::Sec1(der) => {
                return EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der())
                    .map(Self)
                    .map_err(|_| KeyError::Key);
            }
            _ => return Err(KeyError::Key),
        };
        pair.map(Self).map_err(|_| KeyError::Key)
    }

    /// The public key: an uncompressed point, 65 bytes.
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// A signed token.
    pub fn sign(&self, header: &impl Serialize, claims: &impl Serialize) -> String {
        let part = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
        let header = part(serde_json::to_vec(header).expect("a header is texts"));
        let claims = part(serde_json::to_vec(claims).expect("claims are texts and numbers"));
        let signed = format!("{header}.{claims}");
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("the operating system gives randomness");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
