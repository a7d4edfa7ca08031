//! What importing from a wiki's Echo and exporting to it have in common.

use anyhow::Context as _;

use crate::cli::EchoArguments;
use crate::failure::Failure;

/// What stands before the number of a user of all wikis.
const CENTRAL: &str = "central";

/// A realm's users: `central:42`, `enwiki:42`.
pub(super) struct Realm(String);

impl Realm {
    pub(super) fn of(arguments: &EchoArguments) -> Result<Self, Failure> {
        let name = &arguments.realm;
        let is_word = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
            && name != "anonymous";
        if is_word {
            return Ok(Self(name.clone()));
        }
        Err(Failure::Usage(format!(
            "--realm must be {CENTRAL} or the id of a wiki, such as enwiki: letters, digits, _ . or -"
        )))
    }

    /// The user with a number.
    pub(super) fn user(&self, number: u64) -> String {
        format!("{}:{number}", self.0)
    }

    /// The number of a user, if they are of this realm.
    pub(super) fn number(&self, user: &str) -> Option<u64> {
        let number: u64 = user.strip_prefix(&self.0)?.strip_prefix(':')?.parse().ok()?;
        // Only what comes back as it was.
        (user == self.user(number)).then_some(number)
    }
}

/// The database's password, if a file holds it.
pub(super) fn password(arguments: &EchoArguments) -> Result<Option<String>, Failure> {
    let Some(file) = &arguments.password_file else { return Ok(None) };
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the password file {}", file.display()))?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::Realm;

    #[test]
    fn a_number_is_of_one_realm_only() {
        let realm = Realm("enwiki".to_owned());
        assert_eq!(realm.number(&realm.user(42)), Some(42));
        for other in ["central:42", "enwiki42", "enwiki:042", "enwiki:", "enwiki:x", "dewiki:42"] {
            assert_eq!(realm.number(other), None, "{other}");
        }
    }
}
