//! The keys of browsers. Those nobody chose are derived from a secret, so that nothing must be remembered over a restart.

use std::fmt;
use std::path::Path;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Length of a private key, in bytes.
pub(crate) const PRIVATE_LEN: usize = 32;
/// Length of an authentication secret, in bytes.
pub(crate) const AUTH_LEN: usize = 16;

/// What keys are derived from.
pub(crate) struct Secret(hmac::Key);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a browser keeps of one subscription.
pub(crate) struct BrowserKeys {
    pub(super) private: PrivateKey,
    /// Uncompressed.
    pub(super) public: Vec<u8>,
    pub(super) auth: [u8; AUTH_LEN],
}

impl fmt::Debug for BrowserKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserKeys")
    }
}

impl BrowserKeys {
    /// From a scalar, unless it is not one of the curve.
    pub(crate) fn new(private: &[u8], auth: [u8; AUTH_LEN]) -> Option<Self> {
        let private = PrivateKey::from_private_key(&ECDH_P256, private).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().to_vec();
        Some(Self { private, public, auth })
    }
}

impl Secret {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// 32 bytes as hexadecimal or base64.
    pub(crate) fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let bytes = parse(text.trim());
        bytes.map(Self::new).ok_or_else(|| "it is not 32 bytes as hexadecimal or base64".to_owned())
    }

    /// The private key of a token, whatever service it is at.
    pub(crate) fn private(&self, token: &str) -> [u8; PRIVATE_LEN] {
        let candidates = (0_u8..=u8::MAX).map(|counter| self.derive("private", &[counter], token));
        // Nearly every number of 32 bytes is a scalar of the curve; the first is taken that is.
        let is_scalar = |bytes: &[u8; 32]| PrivateKey::from_private_key(&ECDH_P256, bytes).is_ok();
        candidates.into_iter().find(is_scalar).unwrap_or([1; PRIVATE_LEN])
    }

    /// The authentication secret of a token.
    pub(crate) fn auth(&self, token: &str) -> [u8; AUTH_LEN] {
        let mut auth = [0; AUTH_LEN];
        for (into, from) in auth.iter_mut().zip(self.derive("auth", &[], token)) {
            *into = from;
        }
        auth
    }

    fn derive(&self, purpose: &str, counter: &[u8], token: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [purpose.as_bytes(), counter, token.as_bytes()] {
            context.update(part);
        }
        let mut bytes = [0; 32];
        for (into, from) in bytes.iter_mut().zip(context.sign().as_ref()) {
            *into = *from;
        }
        bytes
    }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let bytes = if text.len() == 64 { unhex(text)? } else { STANDARD.decode(text).ok()? };
    bytes.try_into().ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits?;
    pairs
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{BrowserKeys, Secret, parse};

    #[test]
    fn keys_are_the_same_after_a_restart_and_differ_between_tokens() {
        let (one, again) = (Secret::new([7; 32]), Secret::new([7; 32]));
        assert_eq!(one.private("a"), again.private("a"));
        assert_eq!(one.auth("a"), again.auth("a"));
        assert_ne!(one.private("a"), one.private("b"));
        assert_ne!(one.auth("a"), one.auth("b"));
        assert_ne!(one.private("a"), Secret::new([8; 32]).private("a"));
        let keys = BrowserKeys::new(&one.private("a"), one.auth("a")).unwrap();
        assert_eq!((keys.public.len(), keys.public[0]), (65, 4));
    }

    #[test]
    fn a_secret_is_hexadecimal_or_base64() {
        assert_eq!(parse(&"07".repeat(32)), Some([7; 32]));
        assert_eq!(parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="), Some([7; 32]));
        for bad in ["", "07", &"0g".repeat(32), "BwcH"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
