//! The session store: values under keys, each for a time.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use reveille_model::{Namespace, SessionKey, Timestamp, Ttl};
use sha2::{Digest as _, Sha256};

use crate::StoreError;

/// What tells one value from another (RFC 9110 §8.8.3): the first 16 bytes of its SHA-256. The same on every engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Etag(pub [u8; 16]);

impl Etag {
    /// Of a value.
    pub fn of(value: &[u8]) -> Self {
        let mut tag = [0; 16];
        for (place, byte) in tag.iter_mut().zip(Sha256::digest(value)) {
            *place = byte;
        }
        Self(tag)
    }
}

/// What is kept under a key. Printing it shows nothing of the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value: any bytes, at least one.
    pub value: Bytes,
    /// When it ends; nothing where it has no end.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What must hold of the entry there is, for something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// There is none (`If-None-Match: *`).
    Absent,
    /// There is one (`If-Match: *`).
    Present,
    /// There is one with one of these values (`If-Match`).
    Match(Vec<Etag>),
}

impl Condition {
    /// Whether it holds of an entry.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Match(tags), Some(value)) => tags.contains(&Etag::of(value)),
            (Self::Absent, Some(_)) | (Self::Present | Self::Match(_), None) => false,
        }
    }
}

/// How much a namespace may hold. Entries that have ended count until they are swept, which takes seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Most entries.
    pub entries_max: Option<u64>,
    /// Most bytes, of keys and values together.
    pub bytes_max: Option<u64>,
}

/// How much a namespace holds, what has ended and is not swept yet among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Entries.
    pub entries: u64,
    /// Bytes, of keys and values together.
    pub bytes: u64,
}

impl Quota {
    /// Whether a namespace that holds `before` may hold `after`. What grows nothing is always allowed, so that a full namespace can shrink.
    pub fn admits(self, before: Usage, after: Usage) -> bool {
        let admits = |max: Option<u64>, before: u64, after: u64| {
            after <= before || max.is_none_or(|max| after <= max)
        };
        admits(self.entries_max, before.entries, after.entries)
            && admits(self.bytes_max, before.bytes, after.bytes)
    }
}

/// An entry to be written.
#[derive(Clone)]
pub struct Write {
    /// Its key.
    pub key: SessionKey,
    /// Its value: any bytes, at least one.
    pub value: Bytes,
    /// How long it lives.
    pub ttl: Ttl,
    /// Where it counts.
    pub namespace: Namespace,
    /// How much may be there.
    pub quota: Quota,
    /// What must hold before.
    pub condition: Condition,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The condition does not hold.
    #[error("the entry is not as the condition says")]
    Condition,
    /// The namespace holds as much as it may.
    #[error("the namespace is full")]
    Full,
    /// The store failed. On an engine with several nodes it is not known whether it was done: it may be seen later.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps entries. Whoever has written reads what they wrote, in the same data centre; of two who write at once one comes last.
#[async_trait]
pub trait Sessions: Send + Sync + fmt::Debug {
    /// The entry of a key, unless it has ended.
    async fn get(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Entry>, StoreError>;

    /// Writes an entry in the place of the one there is, durably.
    async fn set(&self, write: Write, now: Timestamp) -> Result<(), Refused>;

    /// Deletes an entry, durably. Without a condition it is no matter whether there is one.
    async fn delete(
        &self,
        key: &SessionKey,
        condition: Condition,
        now: Timestamp,
    ) -> Result<(), Refused>;

    /// Lets an entry live for `ttl` from now on, and says what its value is. Refused where there is none, or none that the condition means.
    async fn touch(
        &self,
        key: &SessionKey,
        ttl: Ttl,
        condition: Condition,
        now: Timestamp,
    ) -> Result<Etag, Refused>;

    /// Whether entries can be read and written now.
    async fn ready(&self) -> Result<(), StoreError>;

    /// One bounded step of what is to be done beside requests, and how much that was: an engine on this machine deletes at most
    /// [`reveille_model::limits::SESSION_SWEEP_MAX`] entries that have ended; one with data centres does deletions again that some of them lack.
    async fn upkeep(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// How much each namespace holds; nothing where the store does not count.
    async fn usage(&self) -> Result<Option<Vec<(Namespace, Usage)>>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::{Condition, Etag};

    #[test]
    fn an_etag_is_the_beginning_of_the_sha_256() {
        // echo -n abc | sha256sum
        let expected = 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223_u128.to_be_bytes();
        assert_eq!(Etag::of(b"abc"), Etag(expected));
    }

    #[test]
    fn a_condition_is_about_what_is_there() {
        let matches = Condition::Match(vec![Etag::of(b"x"), Etag::of(b"a")]);
        for (condition, absent, a, b) in [
            (Condition::None, true, true, true),
            (Condition::Absent, true, false, false),
            (Condition::Present, false, true, true),
            (matches, false, true, false),
            (Condition::Match(Vec::new()), false, false, false),
        ] {
            let held = [None, Some(&b"a"[..]), Some(b"b")].map(|value| condition.holds(value));
            assert_eq!(held, [absent, a, b], "{condition:?}");
        }
    }
}
