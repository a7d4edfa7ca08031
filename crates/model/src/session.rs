//! What the session store keeps, and under which names.

use std::fmt;

use crate::WordError;
use crate::limits::{SESSION_KEY_BYTES_MAX, SESSION_TTL_S_MAX};
use crate::{Duration, Timestamp};

/// The key of an entry. Whoever knows the one of a session can be its user: printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(Box<str>);

impl SessionKey {
    /// From 1 to [`SESSION_KEY_BYTES_MAX`] bytes of UTF-8, of which none is special.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let fits = (1..=SESSION_KEY_BYTES_MAX).contains(&text.len());
        if fits { Ok(Self(text.into())) } else { Err(WordError) }
    }

    /// The key itself, for the wire and the table only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// How long an entry lives, from the moment it is written or touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Until it is deleted.
    Unlimited,
    /// So many seconds: 1 to [`SESSION_TTL_S_MAX`].
    Seconds(u32),
}

impl Ttl {
    /// From a setting, in which zero stands for no end. What is beyond the longest there is, is cut to that.
    pub const fn from_s(seconds: u32) -> Self {
        match seconds {
            0 => Self::Unlimited,
            SESSION_TTL_S_MAX.. => Self::Seconds(SESSION_TTL_S_MAX),
            seconds => Self::Seconds(seconds),
        }
    }

    /// When what is written now ends.
    pub const fn end(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Unlimited => None,
            Self::Seconds(seconds) => Some(now.plus(Duration::from_s(seconds))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SESSION_KEY_BYTES_MAX, SessionKey, Ttl};
    use crate::Timestamp;

    #[test]
    fn a_key_is_bounded_and_never_printed() {
        let key = SessionKey::parse("enwiki:MWSession:\0é/..").unwrap();
        assert_eq!(key.expose(), "enwiki:MWSession:\0é/..");
        assert_eq!(format!("{key:?}"), "SessionKey(…)");
        assert!(SessionKey::parse("").is_err());
        assert!(SessionKey::parse(&"k".repeat(SESSION_KEY_BYTES_MAX)).is_ok());
        assert!(SessionKey::parse(&"k".repeat(SESSION_KEY_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn no_time_to_live_is_longer_than_the_longest() {
        assert_eq!(Ttl::from_s(0).end(Timestamp::EPOCH), None);
        assert_eq!(Ttl::from_s(1).end(Timestamp::EPOCH), Some(Timestamp::from_ms(1_000)));
        assert_eq!(Ttl::from_s(u32::MAX), Ttl::Seconds(630_720_000));
    }
}
