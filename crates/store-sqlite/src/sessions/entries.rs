//! Entries, statement by statement.

use bytes::Bytes;
use reveille_model::limits::SESSION_SWEEP_MAX;
use reveille_model::{SessionKey, Timestamp, Ttl};
use reveille_store::{Condition, Entry, Etag, Refused, StoreError, Usage, Write};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::state::Shelves;
use crate::codec::store_error;

/// In the column of ends: none.
const NO_END: i64 = i64::MAX;

/// What is known of an entry that is in the way, ended or not.
struct Found {
    bytes: u64,
    namespace: i64,
    lives: bool,
}

impl Shelves {
    pub(super) fn set(&mut self, write: &Write, now: Timestamp) -> Result<(), Refused> {
        let Write { key, value, ttl, namespace, quota, condition } = write;
        let found = self.admitted(key, condition, now)?;
        let bytes = bytes_of(key, value.len());
        let (id, usage) = self.namespace(namespace);
        let replaced = found.as_ref().filter(|found| found.namespace == id);
        let after = Usage {
            entries: usage.entries + u64::from(replaced.is_none()),
            bytes: usage.bytes + bytes - replaced.map_or(0, |found| found.bytes),
        };
        if !quota.admits(usage, after) {
            return Err(Refused::Full);
        }
        let end = ttl.end(now).map_or(NO_END, Timestamp::as_ms);
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO entries (key, value, expires_at, namespace) VALUES (?1, ?2, ?3, ?4)",
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value,",
                " expires_at = excluded.expires_at, namespace = excluded.namespace"
            ))
            .and_then(|mut set| set.execute(params![key_of(key), value.as_ref(), end, id]))
            .map_err(|error| unavailable(&error))?;
        if let Some(found) = found {
            self.went(found.namespace, found.bytes);
        }
        self.came(id, bytes);
        Ok(())
    }

    pub(super) fn delete(
        &mut self,
        key: &SessionKey,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if let Some(found) = self.admitted(key, condition, now)? {
            self.connection
                .prepare_cached("DELETE FROM entries WHERE key = ?1")
                .and_then(|mut delete| delete.execute([key_of(key)]))
                .map_err(|error| unavailable(&error))?;
            self.went(found.namespace, found.bytes);
        }
        Ok(())
    }

    pub(super) fn touch(
        &mut self,
        key: &SessionKey,
        (ttl, condition): (Ttl, &Condition),
        now: Timestamp,
    ) -> Result<Etag, Refused> {
        let entry = read(&self.connection, key, now)?.ok_or(Refused::Condition)?;
        if !condition.holds(Some(&entry.value)) {
            return Err(Refused::Condition);
        }
        let end = ttl.end(now).map_or(NO_END, Timestamp::as_ms);
        self.connection
            .prepare_cached("UPDATE entries SET expires_at = ?2 WHERE key = ?1")
            .and_then(|mut touch| touch.execute(params![key_of(key), end]))
            .map_err(|error| unavailable(&error))?;
        Ok(Etag::of(&entry.value))
    }

    /// Deletes some of what has ended, the longest ended first.
    pub(super) fn sweep(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        let ended = self.ended(now).map_err(|error| store_error(&error))?;
        for (key, ..) in &ended {
            self.connection
                .prepare_cached("DELETE FROM entries WHERE key = ?1")
                .and_then(|mut delete| delete.execute([key]))
                .map_err(|error| store_error(&error))?;
        }
        for (_, namespace, bytes) in &ended {
            self.went(*namespace, *bytes);
        }
        Ok(ended.len())
    }

    fn ended(&self, now: Timestamp) -> rusqlite::Result<Vec<(Vec<u8>, i64, u64)>> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT key, namespace, length(key) + length(value) FROM entries",
            " WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2"
        ))?;
        let rows = statement.query_map(params![now.as_ms(), SESSION_SWEEP_MAX], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        rows.collect()
    }

    /// The database takes writes.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE probes SET count = count + 1")
            .and_then(|mut probe| probe.execute([]))
            .map(drop)
            .map_err(|error| store_error(&error))
    }

    /// What is in the way, if the condition holds.
    fn admitted(
        &self,
        key: &SessionKey,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<Option<Found>, Refused> {
        let found = self.find(key, now).map_err(|error| unavailable(&error))?;
        let lives = found.as_ref().is_some_and(|found| found.lives);
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => !lives,
            Condition::Present => lives,
            // Only this has to read the value.
            Condition::Match(_) => {
                let entry = read(&self.connection, key, now)?;
                condition.holds(entry.as_ref().map(|entry| &*entry.value))
            }
        };
        if holds { Ok(found) } else { Err(Refused::Condition) }
    }

    fn find(&self, key: &SessionKey, now: Timestamp) -> rusqlite::Result<Option<Found>> {
        self.connection
            .prepare_cached(
                "SELECT length(key) + length(value), namespace, expires_at FROM entries WHERE key = ?1",
            )?
            .query_row([key_of(key)], |row| {
                let end: i64 = row.get(2)?;
                Ok(Found { bytes: row.get(0)?, namespace: row.get(1)?, lives: end > now.as_ms() })
            })
            .optional()
    }
}

/// The entry of a key, unless it has ended.
pub(super) fn read(
    connection: &Connection,
    key: &SessionKey,
    now: Timestamp,
) -> Result<Option<Entry>, StoreError> {
    let found = connection
        .prepare_cached("SELECT value, expires_at FROM entries WHERE key = ?1")
        .and_then(|mut get| {
            get.query_row([key_of(key)], |row| {
                let end: i64 = row.get(1)?;
                if end <= now.as_ms() {
                    return Ok(None);
                }
                let value = Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?);
                let expires_at = (end != NO_END).then(|| Timestamp::from_ms(end));
                Ok(Some(Entry { value, expires_at }))
            })
            .optional()
        });
    found.map(Option::flatten).map_err(|error| store_error(&error))
}

fn key_of(key: &SessionKey) -> &[u8] {
    key.expose().as_bytes()
}

fn bytes_of(key: &SessionKey, value: usize) -> u64 {
    (key.expose().len() + value) as u64
}

fn unavailable(error: &rusqlite::Error) -> Refused {
    Refused::Store(store_error(error))
}
