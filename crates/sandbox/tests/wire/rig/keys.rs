//! What a sender signs and encrypts with.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reveille_service::clock::{Clock as _, SystemClock};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// A key in PKCS#8 PEM form.
pub(crate) struct AppKey(EcdsaKeyPair);

impl AppKey {
    pub(crate) fn from_pem(pem: &[u8]) -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der());
        Self(key.unwrap())
    }

    pub(crate) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A provider token of APNs, this many seconds old.
    pub(crate) fn bearer(&self, age_s: i64) -> String {
        let header = json!({"alg": "ES256", "kid": "SANDBOXKEY"});
        let claims = json!({"iss": "SANDBOXTEM", "iat": SystemClock.now().as_s() - age_s});
        format!("bearer {}", self.sign(&header, &claims))
    }

    /// What Web Push asks for, at an origin.
    pub(crate) fn vapid(&self, origin: &str) -> String {
        let expires_at = SystemClock.now().as_s() + 3_600;
        let claims = json!({"aud": origin, "exp": expires_at, "sub": "mailto:ops@example.org"});
        let token = self.sign(&json!({"typ": "JWT", "alg": "ES256"}), &claims);
        format!("vapid t={token}, k={}", self.public())
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// A message for a browser (RFC 8291).
pub(crate) fn encrypt(subscription: &Value, plain: &[u8]) -> Vec<u8> {
    let key =
        |name: &str| URL_SAFE_NO_PAD.decode(subscription["keys"][name].as_str().unwrap()).unwrap();
    let (browser, auth) = (key("p256dh"), key("auth"));
    let private = PrivateKey::generate(&ECDH_P256).unwrap();
    let sender = private.compute_public_key().unwrap().as_ref().to_vec();
    let peer = UnparsedPublicKey::new(&ECDH_P256, &browser);
    let shared = agree(&private, peer, (), |secret| Ok(secret.to_vec())).unwrap();
    let expand = |salt: &[u8], secret: &[u8], info: &[u8], length: usize| {
        let mut bytes = vec![0; length];
        let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(secret);
        pseudorandom.expand(&[info], Length(length)).unwrap().fill(&mut bytes).unwrap();
        bytes
    };
    let salt = [7; 16];
    let info = [b"WebPush: info\0".as_slice(), &browser, &sender].concat();
    let input = expand(&auth, &shared, &info, 32);
    let key = expand(&salt, &input, b"Content-Encoding: aes128gcm\0", 16);
    let nonce = expand(&salt, &input, b"Content-Encoding: nonce\0", 12);
    let mut record = [plain, &[2, 0, 0, 0]].concat();
    let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap())
        .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
        .unwrap();
    [salt.as_slice(), &4_096_u32.to_be_bytes(), &[65], &sender, &record].concat()
}
