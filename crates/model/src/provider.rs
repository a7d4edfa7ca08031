//! Who carries a push, and with which credentials.

use std::fmt;

use crate::WordError;
use crate::limits::SET_NAME_CHARS_MAX;

/// A push provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Web Push (RFC 8030).
    WebPush,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Apns, Self::Fcm, Self::WebPush];

    /// Its word in paths, tables, metrics and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::WebPush => "webpush",
        }
    }

    /// From its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Providers(u8);

impl Providers {
    /// Those that `bits` names: the first of [`Provider::ALL`] is the lowest bit.
    pub fn from_bits(bits: u8) -> Self {
        Provider::ALL.into_iter().filter(|each| bits & Self::bit(*each) != 0).collect()
    }

    /// As a number, for tables.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of them is this one.
    pub const fn contains(self, provider: Provider) -> bool {
        self.0 & Self::bit(provider) != 0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those of either.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are not others.
    #[must_use]
    pub const fn but(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    const fn bit(provider: Provider) -> u8 {
        match provider {
            Provider::Apns => 1,
            Provider::Fcm => 2,
            Provider::WebPush => 4,
        }
    }
}

impl FromIterator<Provider> for Providers {
    fn from_iter<I: IntoIterator<Item = Provider>>(providers: I) -> Self {
        Self(providers.into_iter().fold(0, |bits, each| bits | Self::bit(each)))
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = Provider::ALL.into_iter().filter(|each| self.contains(*each));
        f.debug_set().entries(each).finish()
    }
}

/// One configured section of a provider, `fcm.default`: the unit of connections, pauses and claims, so that one's trouble never
/// slows another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialSet {
    provider: Provider,
    name: String,
}

impl CredentialSet {
    /// A set by its provider and the name of its section.
    pub fn new(provider: Provider, name: &str) -> Result<Self, WordError> {
        let fits = !name.is_empty()
            && name.len() <= SET_NAME_CHARS_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if fits { Ok(Self { provider, name: name.to_owned() }) } else { Err(WordError) }
    }

    /// From its text form, `fcm.default`.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let (provider, name) = text.split_once('.').ok_or(WordError)?;
        Self::new(Provider::parse(provider).ok_or(WordError)?, name)
    }

    /// The provider it belongs to.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The name of its section, which callers give as `app`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for CredentialSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.provider, self.name)
    }
}

impl fmt::Debug for CredentialSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::{CredentialSet, Provider};

    #[test]
    fn credential_set_text_and_parts_agree() {
        let set = CredentialSet::new(Provider::Fcm, "default").unwrap();
        assert_eq!(set.to_string(), "fcm.default");
        assert_eq!(CredentialSet::parse("fcm.default"), Ok(set));
        for bad in ["fcm", "fcm.", "gcm.default", "fcm.a b", "fcm.a.b"] {
            assert!(CredentialSet::parse(bad).is_err(), "{bad}");
        }
    }
}
