//! Sealing and finding.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;

/// Names a key. Stands before everything it sealed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What something sealed is. What was sealed for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A device's token.
    Token,
    /// The tokens one request names.
    Targets,
    /// A key the server keeps for itself.
    Key,
    /// What a caller has to say to a user.
    Content,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Targets => "targets",
            Self::Key => "key",
            Self::Content => "content",
        }
    }
}

/// A key, ready for use. Printing it shows only which it is.
pub struct Vault {
    id: KeyId,
    /// AES-256-GCM-SIV (RFC 8452): random nonces are safe for far more values than there will ever be, which they are not with GCM.
    aead: LessSafeKey,
    index: hmac::Key,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What sealing adds: the key's id, the nonce, the tag.
const OVERHEAD: usize = 4 + NONCE_LEN + 16;

impl Vault {
    /// From a master key: one key for sealing and one for the index are derived of it (RFC 5869).
    ///
    /// # Panics
    /// If the crypto library cannot do with 32 bytes, which it can.
    pub(crate) fn new(id: KeyId, master: &[u8; 32]) -> Self {
        let salt = Salt::new(HKDF_SHA256, b"reveille vault");
        let extracted = salt.extract(master);
        let derive = |info: &[u8]| {
            let mut key = [0; 32];
            let info = [info];
            let expanded = extracted.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut key));
            expanded.expect("32 bytes of SHA-256");
            key
        };
        let aead = UnboundKey::new(&AES_256_GCM_SIV, &derive(b"seal")).expect("a key of 32 bytes");
        Self {
            id,
            aead: LessSafeKey::new(aead),
            index: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"index")),
        }
    }

    /// Which key it is.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals a value: key id, nonce, ciphertext, tag.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn seal(&self, purpose: Purpose, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).expect("the operating system gives randomness");
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&self.id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let (_, text) = sealed.split_at_mut(4 + NONCE_LEN);
        let tag = self.aead.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(purpose.as_str()),
            text,
        );
        sealed.extend_from_slice(tag.expect("values are far below 2^36 bytes").as_ref());
        sealed
    }

    /// Opens a value; nothing where it was sealed with another key, for another purpose, or changed.
    pub fn open(&self, purpose: Purpose, sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first_chunk::<4>()?;
        if *id != self.id.0 {
            return None;
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length =
            self.aead.open_in_place(nonce, Aad::from(purpose.as_str()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// A keyed hash to find a value by: the same for the same parts, and nothing without the key.
    pub fn blind(&self, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.index);
        context.update(domain.as_bytes());
        for part in parts {
            // Lengths first: no two lists of parts are one text.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// A key to find values by that outlives the change of the vault's: for what only its hash is left of.
pub struct BlindKey(hmac::Key);

impl fmt::Debug for BlindKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindKey(…)")
    }
}

impl BlindKey {
    /// From 32 random bytes, which are kept sealed.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// 32 random bytes for a new one.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn fresh() -> [u8; 32] {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).expect("the operating system gives randomness");
        key
    }

    /// The hash of a value.
    pub fn blind(&self, value: &[u8]) -> [u8; 16] {
        hmac::sign(&self.0, value).as_ref().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyId, OVERHEAD, Purpose, Vault};

    fn vault(key: u8) -> Vault {
        Vault::new(KeyId([key; 4]), &[key; 32])
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_purpose_unchanged() {
        let sealed = vault(1).seal(Purpose::Token, b"planted");
        assert_eq!(sealed.len(), 7 + OVERHEAD);
        assert!(!sealed.windows(7).any(|part| part == b"planted"));
        assert_eq!(vault(1).open(Purpose::Token, &sealed).unwrap(), b"planted");
        assert_eq!(vault(1).open(Purpose::Targets, &sealed), None);
        assert_eq!(vault(2).open(Purpose::Token, &sealed), None);
        assert_ne!(vault(1).seal(Purpose::Token, b"planted"), sealed, "nobody sees what is equal");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault(1).open(Purpose::Token, &changed), None, "byte {at}");
            assert_eq!(vault(1).open(Purpose::Token, &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn an_index_is_the_same_for_the_same_and_needs_the_key() {
        let of = |key, parts: &[&[u8]]| vault(key).blind("token", parts);
        assert_eq!(of(1, &[b"fcm", b"t"]), of(1, &[b"fcm", b"t"]));
        for other in [
            of(2, &[b"fcm", b"t"]),
            of(1, &[b"fc", b"mt"]),
            of(1, &[b"fcmt"]),
            vault(1).blind("x", &[b"fcm", b"t"]),
        ] {
            assert_ne!(of(1, &[b"fcm", b"t"]), other);
        }
    }

    #[test]
    fn printing_shows_which_key_it_is_and_no_more() {
        assert_eq!(format!("{:?}", vault(7)), "Vault { id: KeyId(07070707), .. }");
    }
}
