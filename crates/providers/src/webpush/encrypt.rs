//! Message encryption (RFC 8291): one `aes128gcm` record (RFC 8188) that only the browser can open. Every wake-up is of one length.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use bytes::Bytes;
use reveille_model::{MessageType, Nonce as Proof};
use serde::Serialize;

use super::Target;

/// Length of every record before encryption, padding included: the longest message type (64 characters) fits.
pub const RECORD_BYTES: usize = 128;
/// The record size that is announced; larger than any record of ours.
const RECORD_SIZE: u32 = 4_096;
/// Marks the end of the last record's text; zeros follow.
const DELIMITER: u8 = 2;

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'a str,
    /// Of the one kind of message that asks a device for proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

/// What the browser's service worker gets, padded to one length.
pub fn record(message_type: &MessageType, nonce: Option<Proof>) -> Vec<u8> {
    let text = Text { r#type: message_type.as_str(), nonce: nonce.map(|nonce| nonce.to_string()) };
    let mut record = serde_json::to_vec(&text).expect("a text is JSON");
    record.push(DELIMITER);
    record.resize(record.len().max(RECORD_BYTES), 0);
    record
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF (RFC 5869) with SHA-256.
fn derive<const N: usize>(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut derived = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Length(N))?.fill(&mut derived)?;
    Ok(derived)
}

/// Encrypts a record for a browser, with a key pair and a salt of its own.
pub fn encrypt(target: &Target, record: &[u8]) -> Result<Bytes, Unspecified> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt)?;
    encrypt_with(target, record, (&PrivateKey::generate(&ECDH_P256)?, salt))
}

fn encrypt_with(
    target: &Target,
    record: &[u8],
    (private, salt): (&PrivateKey, [u8; 16]),
) -> Result<Bytes, Unspecified> {
    let ours = private.compute_public_key()?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, target.p256dh);
    let secret: [u8; 32] = agree(private, theirs, Unspecified, |shared| {
        let info = [b"WebPush: info\0".as_slice(), &target.p256dh, ours.as_ref()];
        derive(&target.auth, shared, &info)
    })?;
    let key: [u8; 16] = derive(&salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = derive(&salt, &secret, &[b"Content-Encoding: nonce\0"])?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let mut sealed = record.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)?;
    let mut body = Vec::with_capacity(86 + sealed.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD_SIZE.to_be_bytes());
    body.push(u8::try_from(ours.as_ref().len()).map_err(|_| Unspecified)?);
    body.extend_from_slice(ours.as_ref());
    body.extend_from_slice(&sealed);
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::{RECORD_BYTES, encrypt, encrypt_with, record};
    use crate::webpush::{Guard, Target};
    use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use reveille_model::MessageType;

    /// RFC 8291 §5 and appendix A.
    const AS_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    const BODY: &str = concat!(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT",
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    );

    fn target() -> Target {
        let json = serde_json::json!({
            "endpoint": "https://fcm.googleapis.com/wp/x",
            "keys": {
                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                "auth": "BTBZMqHH6r4Tts7J_aSIgg",
            },
        });
        Target::from_json(&json, &Guard::default()).unwrap()
    }

    #[test]
    fn the_vector_of_the_standard_comes_out() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let private = PrivateKey::from_private_key(&ECDH_P256, &decode(AS_PRIVATE)).unwrap();
        let salt: [u8; 16] = decode(SALT).try_into().unwrap();
        let mut text = b"When I grow up, I want to be a watermelon".to_vec();
        text.push(2);
        let body = encrypt_with(&target(), &text, (&private, salt)).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(body), BODY);
    }

    #[test]
    fn every_wakeup_is_of_one_length_and_none_is_like_another() {
        let longest = "x".repeat(64);
        let mut bodies = std::collections::BTreeSet::new();
        let nonce = Some(reveille_model::Nonce::from_bytes([7; 16]));
        for (word, nonce) in [("a", None), ("verifyV1", nonce), (longest.as_str(), None)] {
            let record = record(&MessageType::parse(word).unwrap(), nonce);
            assert_eq!(record.len(), RECORD_BYTES, "{word}");
            for _ in 0..2 {
                let body = encrypt(&target(), &record).unwrap();
                assert_eq!(body.len(), 86 + RECORD_BYTES + 16);
                bodies.insert(body);
            }
        }
        assert_eq!(bodies.len(), 6);
    }
}
