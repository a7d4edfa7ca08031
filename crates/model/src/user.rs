//! Whose devices they are.

use std::fmt;

use crate::limits::USER_BYTES_MAX;

/// An opaque name of an account at the calling site. Personal: printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(Box<str>);

/// Why a text cannot name a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user is 1 to {USER_BYTES_MAX} bytes without control characters")]
pub struct UserError;

impl User {
    /// A user by its name at the calling site.
    pub fn parse(text: &str) -> Result<Self, UserError> {
        let fits =
            !text.is_empty() && text.len() <= USER_BYTES_MAX && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(UserError) }
    }

    /// The name itself, for tables only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("User(…)")
    }
}
