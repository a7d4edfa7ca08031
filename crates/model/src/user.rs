//! Whose devices they are.

use std::fmt;

use crate::limits::USER_BYTES_MAX;

/// What no name of a caller's begins with.
const UNNAMED: &str = "\u{1}";

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

    /// Stands for whoever has the tokens of one request, where nobody has said who that is. No caller can name it.
    pub fn unnamed(random: [u8; 16]) -> Self {
        let digits = random.iter().map(|byte| format!("{byte:02x}"));
        Self(std::iter::once(UNNAMED.to_owned()).chain(digits).collect::<String>().into())
    }

    /// Comes before every name and after whatever stands for somebody nobody has named.
    pub const LEAST: &str = "\u{2}";

    /// Whether it stands for somebody nobody has named.
    pub fn is_unnamed(&self) -> bool {
        self.0.starts_with(UNNAMED)
    }

    /// From a table: a name, or what stands for one.
    pub fn from_table(text: &str) -> Result<Self, UserError> {
        if text.starts_with(UNNAMED) { Ok(Self(text.into())) } else { Self::parse(text) }
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
