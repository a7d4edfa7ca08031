//! Short words callers and operators choose: event types, message types, namespaces and topics.

use std::fmt;
use std::sync::Arc;

use crate::limits::{TOPIC_BYTES_MAX, WORD_CHARS_MAX};

/// Text that is no word of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a word of the allowed characters and length")]
pub struct WordError;

/// `[A-Za-z0-9_.-]{1,64}`.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= WORD_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What happened, in the caller's words: `mention`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Box<str>);

impl EventType {
    /// From `[A-Za-z0-9_.-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if is_word(text) { Ok(Self(text.into())) } else { Err(WordError) }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The short word the app gets: `checkEchoV1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(Box<str>);

impl MessageType {
    /// What an app is told that has to prove that it has its token: `verifyV1`.
    pub fn verify() -> Self {
        Self("verifyV1".into())
    }

    /// From `[A-Za-z0-9_.-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if is_word(text) { Ok(Self(text.into())) } else { Err(WordError) }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keys of the session store that begin alike and have settings of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Where everything is that no other namespace takes.
    pub fn default_one() -> Self {
        Self("default".into())
    }

    /// From `[A-Za-z0-9_.-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if is_word(text) { Ok(Self(text.into())) } else { Err(WordError) }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An APNs topic (bundle id).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Box<str>);

impl Topic {
    /// From 1 to 255 visible ASCII characters; it becomes a header, so nothing else may pass.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let fits = !text.is_empty()
            && text.len() <= TOPIC_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(WordError) }
    }

    /// The topic.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{EventType, Topic};

    #[test]
    fn words_are_bounded() {
        let (long, too_long) = ("a".repeat(64), "a".repeat(65));
        for good in ["mention", "edit-user-talk", "a.b_c", long.as_str()] {
            assert!(EventType::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "é", "a\n", too_long.as_str()] {
            assert!(EventType::parse(bad).is_err(), "{bad}");
        }
        assert!(Topic::parse("org.wikimedia.wikipedia").is_ok());
        assert!(Topic::parse("a\r\nb").is_err());
    }
}
