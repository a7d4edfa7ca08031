//! Tokens signed with ES256 (RFC 7515, RFC 7518), which APNs and Web Push both ask for.

use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;

/// Longest token that is looked at, in bytes.
pub(crate) const JWT_BYTES_MAX: usize = 4_096;

/// A token in its compact form, taken apart and not yet believed.
#[derive(Debug)]
pub(crate) struct Jwt<'a> {
    header: &'a str,
    claims: &'a str,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Three parts in base64url, and not too long.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let fits = text.len() <= JWT_BYTES_MAX && !claims.contains('.');
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        fits.then_some(Self { header, claims, signed, signature })
    }

    /// Its header, where that has the form asked for.
    pub(crate) fn header<T: DeserializeOwned>(&self) -> Option<T> {
        decode(self.header)
    }

    /// Its claims, where they have the form asked for.
    pub(crate) fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        decode(self.claims)
    }

    /// Whether the owner of a public key (65 bytes, uncompressed) signed it.
    pub(crate) fn is_signed_by(&self, public_key: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
            .verify(self.signed.as_bytes(), &self.signature)
            .is_ok()
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The public half of a P-256 key in PKCS#8 PEM form, as Apple's .p8 files are; nothing else of it is kept.
pub(crate) fn public_half(path: &Path) -> Result<Vec<u8>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&text)
        .map_err(|_| "it is not a private key in PKCS#8 PEM form".to_owned())?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
        .map_err(|_| "its key is not of the curve P-256".to_owned())?;
    Ok(key.public_key().as_ref().to_vec())
}

#[cfg(test)]
pub(crate) mod signing {
    //! Keys and tokens for tests.

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    pub(crate) fn key() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    pub(crate) fn public(key: &EcdsaKeyPair) -> Vec<u8> {
        key.public_key().as_ref().to_vec()
    }

    pub(crate) fn sign(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::Jwt;
    use super::signing::{key, public, sign};
    use serde_json::{Value, json};

    #[test]
    fn only_the_owner_of_the_key_can_have_signed_it() {
        let (one, other) = (key(), key());
        let text = sign(&one, &json!({"alg": "ES256"}), &json!({"iat": 7}));
        let jwt = Jwt::parse(&text).unwrap();
        assert!(jwt.is_signed_by(&public(&one)));
        assert!(!jwt.is_signed_by(&public(&other)));
        assert!(!jwt.is_signed_by(b"no key at all"));
        assert_eq!(jwt.header::<Value>(), Some(json!({"alg": "ES256"})));
        assert_eq!(jwt.claims::<Value>(), Some(json!({"iat": 7})));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "a", "a.b", "a.b.c.d", "a.b.!", &"x".repeat(5_000)] {
            assert!(Jwt::parse(text).is_none(), "{text}");
        }
        let jwt = Jwt::parse("!.e30.AA").unwrap();
        assert_eq!(jwt.header::<Value>(), None);
    }
}
