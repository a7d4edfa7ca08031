//! What a provider gave a device. A secret: whoever has it can wake the device.

use std::fmt;

use crate::Provider;
use crate::limits::TOKEN_BYTES_MAX;

/// A device token. Printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Box<str>);

/// What stands before a Firebase Installation ID.
const FID: &str = "fid\0";

/// How FCM is told whom a message is for (contract: providers.md §2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FcmTarget<'a> {
    /// A registration token.
    Token(&'a str),
    /// A Firebase Installation ID, which takes its place since 2026.
    Fid(&'a str),
}

/// Why a text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The empty text.
    #[error("the token is empty")]
    Empty,
    /// More than [`TOKEN_BYTES_MAX`] bytes.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// APNs tokens are hexadecimal.
    #[error("an APNs token is an even number of hexadecimal digits")]
    NotHex,
}

impl Token {
    /// A token of a provider. FCM's and Web Push's are opaque; APNs' are hexadecimal and kept in lower case.
    pub fn parse(provider: Provider, text: &str) -> Result<Self, TokenError> {
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        match provider {
            Provider::Fcm | Provider::WebPush => Ok(Self(text.into())),
            Provider::Apns => {
                let hex = text.len().is_multiple_of(2)
                    && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                if hex {
                    Ok(Self(text.to_ascii_lowercase().into()))
                } else {
                    Err(TokenError::NotHex)
                }
            }
        }
    }

    /// A Firebase Installation ID, for FCM in the place of a token. As opaque as that.
    pub fn fid(text: &str) -> Result<Self, TokenError> {
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        Self::parse(Provider::Fcm, &format!("{FID}{text}"))
    }

    /// How FCM is told whom a message is for.
    pub fn fcm_target(&self) -> FcmTarget<'_> {
        match self.0.strip_prefix(FID) {
            Some(fid) => FcmTarget::Fid(fid),
            None => FcmTarget::Token(&self.0),
        }
    }

    /// What of it names the device. Where FCM takes a Firebase Installation ID for a token, it is the same device. A Web Push token is the
    /// endpoint, then a space and the keys that belong to it; the endpoint alone names the browser.
    pub fn identity(&self, provider: Provider) -> &str {
        match provider {
            Provider::Apns => &self.0,
            Provider::Fcm => self.0.strip_prefix(FID).unwrap_or(&self.0),
            Provider::WebPush => self.0.split(' ').next().unwrap_or_default(),
        }
    }

    /// The secret itself, for the wire and the table only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Debug for FcmTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Fid(_) => "Fid(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{FcmTarget, Provider, TOKEN_BYTES_MAX, Token, TokenError};

    #[test]
    fn a_fid_is_told_from_a_token_and_names_the_same_device() {
        let (fid, token) =
            (Token::fid("d:x").unwrap(), Token::parse(Provider::Fcm, "d:x").unwrap());
        assert_eq!(fid.fcm_target(), FcmTarget::Fid("d:x"));
        assert_eq!(token.fcm_target(), FcmTarget::Token("d:x"));
        assert!(
            !format!("{fid:?} {:?} {:?}", fid.fcm_target(), token.fcm_target()).contains("d:x")
        );
        assert_eq!(fid.identity(Provider::Fcm), token.identity(Provider::Fcm));
        let stored = Token::parse(Provider::Fcm, fid.expose()).unwrap();
        assert_eq!(stored, fid, "as it is read from a store");
        assert_eq!(Token::fid(""), Err(TokenError::Empty));
        assert_eq!(Token::fid(&"x".repeat(TOKEN_BYTES_MAX)), Err(TokenError::TooLong));
    }

    #[test]
    fn tokens_are_bounded_and_parsed_per_provider() {
        let odd = "a|b \u{1f600}\n<\"'>";
        assert_eq!(Token::parse(Provider::Fcm, odd).unwrap().expose(), odd);
        assert_eq!(Token::parse(Provider::Apns, "AAbb").unwrap().expose(), "aabb");
        assert_eq!(Token::parse(Provider::Apns, "abc"), Err(TokenError::NotHex));
        assert_eq!(Token::parse(Provider::Apns, odd), Err(TokenError::NotHex));
        assert_eq!(Token::parse(Provider::Fcm, ""), Err(TokenError::Empty));
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        assert!(Token::parse(Provider::Fcm, &longest).is_ok());
        assert_eq!(Token::parse(Provider::Fcm, &format!("{longest}x")), Err(TokenError::TooLong));
    }

    #[test]
    fn new_keys_do_not_make_another_browser_of_an_endpoint() {
        let token = |text| Token::parse(Provider::WebPush, text).unwrap();
        let (old, new) =
            (token("https://push.example/1 key auth"), token("https://push.example/1 newer auth"));
        assert_eq!(old.identity(Provider::WebPush), new.identity(Provider::WebPush));
        assert_ne!(old.identity(Provider::Fcm), new.identity(Provider::Fcm));
    }

    #[test]
    fn printing_a_token_shows_nothing_of_it() {
        let token = Token::parse(Provider::Fcm, "planted-secret").unwrap();
        assert!(!format!("{token:?}").contains("planted"));
    }
}
