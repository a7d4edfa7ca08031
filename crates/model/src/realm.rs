//! Whose numbers users are called by: those of one wiki, or of all of them.

use std::fmt;

/// Longest name of a realm, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What stands before the number of a user: `enwiki:42` and `central:42` are two people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm(Box<str>);

/// Why a text cannot name a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a realm has 1 to {NAME_BYTES_MAX} letters, digits, _ . or -")]
pub struct RealmError;

impl Realm {
    /// Of people who are the same at every wiki.
    pub const CENTRAL: &str = "central";
    /// Of devices without an account.
    pub const ANONYMOUS: &str = "anonymous";

    /// A wiki's own, by its id, or the one of all wikis.
    pub fn parse(name: &str) -> Result<Self, RealmError> {
        let is_word = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if is_word && name != Self::ANONYMOUS { Ok(Self(name.into())) } else { Err(RealmError) }
    }

    /// A wiki's own, by its id.
    pub fn of_wiki(id: &str) -> Result<Self, RealmError> {
        Self::parse(id).ok().filter(|realm| *realm.0 != *Self::CENTRAL).ok_or(RealmError)
    }

    /// Of people who are the same at every wiki.
    pub fn central() -> Self {
        Self(Self::CENTRAL.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the user with a number.
    pub fn user(&self, number: u64) -> String {
        format!("{self}:{number}")
    }

    /// The number of a user, if they are of this realm.
    pub fn number(&self, user: &str) -> Option<u64> {
        let number: u64 = user.strip_prefix(&*self.0)?.strip_prefix(':')?.parse().ok()?;
        // Only what comes back as it was.
        (user == self.user(number)).then_some(number)
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Realm;

    #[test]
    fn a_number_is_of_one_realm_only() {
        let realm = Realm::of_wiki("enwiki").unwrap();
        assert_eq!(realm.number(&realm.user(42)), Some(42));
        for other in ["central:42", "enwiki42", "enwiki:042", "enwiki:", "enwiki:x", "dewiki:42"] {
            assert_eq!(realm.number(other), None, "{other}");
        }
    }

    #[test]
    fn no_wiki_is_called_like_another_realm() {
        assert_eq!(Realm::parse("central"), Ok(Realm::central()));
        for bad in ["central", "anonymous", "", "en wiki", "en:wiki", &"x".repeat(65)] {
            assert!(Realm::of_wiki(bad).is_err(), "{bad}");
        }
    }
}
