//! Devices without an account: a random user of their own, and a token that proves which.
//!
//! Nothing is kept for them until they register a device: the token is the user's number and a keyed hash of it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reveille_model::User;

use super::modes::ANONYMOUS;

/// What its tokens begin with, so that people and scanners know one when they see it.
const PREFIX: &str = "rva_";

/// Mints users.
pub(crate) struct Anonymous {
    key: hmac::Key,
}

impl std::fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Anonymous(…)")
    }
}

/// A new user.
pub(crate) struct Minted {
    /// Its name.
    pub(crate) user: User,
    /// What proves it.
    pub(crate) token: String,
}

impl Anonymous {
    /// With a key that is kept.
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// A user with a random number.
    pub(crate) fn mint(&self, number: [u8; 16]) -> Option<Minted> {
        let tag = hmac::sign(&self.key, &number);
        let mut bytes = number.to_vec();
        bytes.extend_from_slice(tag.as_ref());
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        Some(Minted { user: name(&number)?, token })
    }

    /// Whose token this is.
    pub(super) fn user(&self, token: &str) -> Option<User> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (number, tag) = bytes.split_first_chunk::<16>()?;
        hmac::verify(&self.key, number, tag).ok()?;
        name(number)
    }
}

fn name(number: &[u8; 16]) -> Option<User> {
    User::parse(&format!("{ANONYMOUS}{}", URL_SAFE_NO_PAD.encode(number))).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;

    use super::{Anonymous, PREFIX};

    #[test]
    fn a_token_proves_its_user_and_no_other() {
        let anonymous = Anonymous::new(hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]));
        let other = Anonymous::new(hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]));
        let minted = anonymous.mint([1; 16]).unwrap();
        assert_eq!(anonymous.user(&minted.token), Some(minted.user));
        assert_eq!(other.user(&minted.token), None);
        let mut forged = minted.token.clone().into_bytes();
        forged[PREFIX.len()] ^= 1;
        for bad in
            [String::from_utf8(forged).unwrap(), PREFIX.to_owned(), minted.token[4..].to_owned()]
        {
            assert_eq!(anonymous.user(&bad), None, "{bad}");
        }
    }
}
