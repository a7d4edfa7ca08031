//! The session store in memory: what it means, in the fewest words.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reveille_model::limits::SESSION_SWEEP_MAX;
use reveille_model::{Namespace, SessionKey, Timestamp, Ttl};

use crate::{Condition, Entry, Etag, Refused, Sessions, StoreError, Usage, Write};

/// Entries in a map.
#[derive(Debug, Default)]
pub struct MemorySessions {
    entries: Mutex<BTreeMap<SessionKey, Kept>>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    namespace: Namespace,
}

impl Kept {
    fn lives(&self, now: Timestamp) -> bool {
        self.entry.expires_at.is_none_or(|end| end > now)
    }
}

impl MemorySessions {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Kept>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn living<'a>(
    entries: &'a BTreeMap<SessionKey, Kept>,
    key: &SessionKey,
    now: Timestamp,
) -> Option<&'a Entry> {
    entries.get(key).filter(|kept| kept.lives(now)).map(|kept| &kept.entry)
}

fn usage(entries: &BTreeMap<SessionKey, Kept>) -> BTreeMap<Namespace, Usage> {
    let mut usage: BTreeMap<Namespace, Usage> = BTreeMap::new();
    for (key, kept) in entries {
        let of = usage.entry(kept.namespace.clone()).or_default();
        of.entries += 1;
        of.bytes += (key.expose().len() + kept.entry.value.len()) as u64;
    }
    usage
}

#[async_trait]
impl Sessions for MemorySessions {
    async fn get(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        Ok(living(&self.entries(), key, now).cloned())
    }

    async fn set(&self, write: Write, now: Timestamp) -> Result<(), Refused> {
        let Write { key, value, ttl, namespace, quota, condition } = write;
        let mut entries = self.entries();
        if !condition.holds(living(&entries, &key, now).map(|entry| &*entry.value)) {
            return Err(Refused::Condition);
        }
        let of = |entries: &_| usage(entries).get(&namespace).copied().unwrap_or_default();
        let before = of(&entries);
        let entry = Entry { value, expires_at: ttl.end(now) };
        let kept = Kept { entry, namespace: namespace.clone() };
        let replaced = entries.insert(key.clone(), kept);
        if quota.admits(before, of(&entries)) {
            return Ok(());
        }
        match replaced {
            Some(kept) => entries.insert(key, kept),
            None => entries.remove(&key),
        };
        Err(Refused::Full)
    }

    async fn delete(
        &self,
        key: &SessionKey,
        condition: Condition,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let mut entries = self.entries();
        if !condition.holds(living(&entries, key, now).map(|entry| &*entry.value)) {
            return Err(Refused::Condition);
        }
        entries.remove(key);
        Ok(())
    }

    async fn touch(
        &self,
        key: &SessionKey,
        ttl: Ttl,
        condition: Condition,
        now: Timestamp,
    ) -> Result<Etag, Refused> {
        let mut entries = self.entries();
        let kept = entries.get_mut(key).filter(|kept| kept.lives(now)).ok_or(Refused::Condition)?;
        if !condition.holds(Some(&kept.entry.value)) {
            return Err(Refused::Condition);
        }
        kept.entry.expires_at = ttl.end(now);
        Ok(Etag::of(&kept.entry.value))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn upkeep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut entries = self.entries();
        let ended = entries.iter().filter(|(_, kept)| !kept.lives(now));
        let ended: Vec<_> = ended.map(|(key, _)| key.clone()).take(SESSION_SWEEP_MAX).collect();
        for key in &ended {
            entries.remove(key);
        }
        Ok(ended.len())
    }

    async fn usage(&self) -> Result<Option<Vec<(Namespace, Usage)>>, StoreError> {
        Ok(Some(usage(&self.entries()).into_iter().collect()))
    }
}
