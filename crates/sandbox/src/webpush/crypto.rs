//! What a browser does with a message: RFC 8291, on a single record of RFC 8188.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use super::BrowserKeys;

const SALT_BYTES: usize = 16;
/// An uncompressed point of P-256.
const POINT_BYTES: u8 = 65;
/// Smallest size a record may claim: one byte, its delimiter, the tag.
const RECORD_SIZE_MIN: u32 = 18;
/// Ends the plaintext of the last record.
const LAST: u8 = 2;

/// A length for HKDF.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// What the sender wrote; nothing where the message was not meant for these keys, or is not in order.
pub(super) fn decrypt(keys: &BrowserKeys, body: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = body.split_first_chunk::<SALT_BYTES>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let (point_bytes, rest) = rest.split_first()?;
    if *point_bytes != POINT_BYTES {
        return None;
    }
    let (sender, record) = rest.split_at_checked(POINT_BYTES.into())?;
    let size = u32::from_be_bytes(*size);
    if size < RECORD_SIZE_MIN || record.len() > usize::try_from(size).ok()? {
        return None;
    }
    let shared = agree(&keys.private, UnparsedPublicKey::new(&ECDH_P256, sender), (), |secret| {
        Ok(secret.to_vec())
    });
    let input: [u8; 32] =
        expand(&keys.auth, &shared.ok()?, &[b"WebPush: info\0", &keys.public, sender])?;
    let key: [u8; 16] = expand(salt, &input, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expand(salt, &input, &[b"Content-Encoding: nonce\0"])?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let mut record = record.to_vec();
    let plain =
        key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).ok()?;
    let end = plain.iter().rposition(|byte| *byte != 0)?;
    let (text, padding) = plain.split_at_checked(end)?;
    (padding.first() == Some(&LAST)).then(|| text.to_vec())
}

/// HKDF with SHA-256.
fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(secret);
    pseudorandom.expand(info, Length(N)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{BrowserKeys, decrypt, expand};
    use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// RFC 8291, section 5.
    fn example() -> (BrowserKeys, Vec<u8>) {
        let private = bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap();
        let body = bytes(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml\
             mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT\
             pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        );
        (BrowserKeys::new(&private, auth).unwrap(), body)
    }

    /// The sender's side, for one record.
    pub(in crate::webpush) fn encrypt(keys: &BrowserKeys, plain: &[u8]) -> Vec<u8> {
        let private = PrivateKey::generate(&ECDH_P256).unwrap();
        let sender = private.compute_public_key().unwrap().as_ref().to_vec();
        let peer = UnparsedPublicKey::new(&ECDH_P256, &keys.public);
        let shared = agree(&private, peer, (), |secret| Ok(secret.to_vec())).unwrap();
        let salt = [5; 16];
        let input: [u8; 32] =
            expand(&keys.auth, &shared, &[b"WebPush: info\0", &keys.public, &sender]).unwrap();
        let key: [u8; 16] = expand(&salt, &input, &[b"Content-Encoding: aes128gcm\0"]).unwrap();
        let nonce = expand(&salt, &input, &[b"Content-Encoding: nonce\0"]).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut record = [plain, &[2, 0, 0]].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).unwrap();
        [salt.as_slice(), &4_096_u32.to_be_bytes(), &[65], &sender, &record].concat()
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        let (keys, body) = example();
        let public = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        assert_eq!(keys.public, bytes(public));
        let plain = decrypt(&keys, &body).unwrap();
        assert_eq!(plain, b"When I grow up, I want to be a watermelon");
    }

    #[test]
    fn what_is_not_in_order_is_not_read() {
        let (keys, body) = example();
        assert_eq!(decrypt(&keys, &encrypt(&keys, b"hello")), Some(b"hello".to_vec()));
        assert_eq!(decrypt(&keys, &encrypt(&keys, b"")), Some(Vec::new()));
        for length in 0..body.len() {
            assert_eq!(decrypt(&keys, &body[..length]), None, "cut at {length}");
        }
        for place in [0, 17, 20, 25, 90, body.len() - 1] {
            let mut bad = body.clone();
            bad[place] ^= 1;
            // The size of the only record is a bound and nothing else.
            assert_eq!(decrypt(&keys, &bad).is_some(), place == 17, "changed at {place}");
        }
        let other = BrowserKeys::new(&[3; 32], keys.auth).unwrap();
        assert_eq!(decrypt(&other, &body), None);
        let other =
            BrowserKeys::new(&bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), [0; 16]);
        assert_eq!(decrypt(&other.unwrap(), &body), None);
    }
}
