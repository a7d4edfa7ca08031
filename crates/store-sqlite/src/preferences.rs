//! Preferences and limits in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::limits::PREFERENCES_PER_USER_MAX;
use reveille_model::{EventType, Limit, Timestamp, User};
use reveille_store::{Preferences, StoreError, Wakes};
use reveille_vault::Vault;
use rusqlite::{OptionalExtension as _, params};

use crate::SqliteStore;
use crate::codec::{event_type, store_error};
use crate::engine::Tables;

#[async_trait]
impl Preferences for SqliteStore {
    async fn preferences(&self, user: &User) -> Result<Wakes, StoreError> {
        let user = user.clone();
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(concat!(
                        "SELECT event_type, wakes FROM preferences WHERE user_name = ?1",
                        " ORDER BY event_type LIMIT ?2"
                    ))
                    .and_then(|mut select| {
                        select
                            .query_map(params![user.expose(), PREFERENCES_PER_USER_MAX], |row| {
                                Ok((event_type(row, 0)?, row.get(1)?))
                            })?
                            .collect()
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn prefer(&self, user: &User, wakes: Wakes) -> Result<(), StoreError> {
        let user = Arc::new(user.clone());
        self.writer
            .write_or_refuse(move |tables| {
                prefer(tables, &user, &wakes).map_err(|error| store_error(&error))
            })
            .await
    }
}

fn prefer(tables: &mut Tables, user: &User, wakes: &Wakes) -> rusqlite::Result<()> {
    let gone = tables
        .connection
        .prepare_cached("DELETE FROM preferences WHERE user_name = ?1")?
        .execute([user.expose()])?;
    let mut insert = tables.connection.prepare_cached(
        "INSERT INTO preferences (user_name, event_type, wakes) VALUES (?1, ?2, ?3)",
    )?;
    for (event_type, wakes) in wakes {
        insert.execute(params![user.expose(), event_type.as_str(), wakes])?;
    }
    tables.preferences = tables.preferences.saturating_sub(gone as u64) + wakes.len() as u64;
    Ok(())
}

/// What the counter of a user's notifications of one type is found by.
fn counter_key(vault: &Vault, user: &User, event_type: &EventType) -> [u8; 16] {
    vault.blind("limit", &[user.expose().as_bytes(), event_type.as_str().as_bytes()])
}

impl Tables {
    /// What a user has said about an event type.
    pub(crate) fn said(
        &self,
        user: &User,
        event_type: &EventType,
    ) -> rusqlite::Result<Option<bool>> {
        if self.preferences == 0 {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "SELECT wakes FROM preferences WHERE user_name = ?1 AND event_type = ?2",
            )?
            .query_row([user.expose(), event_type.as_str()], |row| row.get(0))
            .optional()
    }

    /// Counts a notification to a user, and says whether that is still within the limit. Beyond it nothing is written.
    pub(crate) fn is_within(
        &self,
        user: &User,
        event_type: &EventType,
        (limit, now): (Limit, Timestamp),
    ) -> rusqlite::Result<bool> {
        let key = counter_key(&self.vault, user, event_type);
        let counter: Option<(i64, u32)> = self
            .connection
            .prepare_cached(
                "SELECT ends_at, count FROM limit_counters WHERE event_type = ?1 AND key = ?2",
            )?
            .query_row(params![event_type.as_str(), key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let ends_at = limit.period_end(now).as_ms();
        // A clock that was set back begins no period anew.
        let (ends_at, count) = counter.filter(|(end, _)| *end >= ends_at).unwrap_or((ends_at, 0));
        if count >= limit.count {
            return Ok(false);
        }
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO limit_counters (event_type, key, ends_at, count) VALUES (?1, ?2, ?3, ?4)",
                " ON CONFLICT DO UPDATE SET ends_at = ?3, count = ?4"
            ))?
            .execute(params![event_type.as_str(), key, ends_at, count + 1])?;
        Ok(true)
    }

    /// Deletes the counters of a user, under whatever event types there are any.
    pub(crate) fn forget_counters(&self, user: &User) -> rusqlite::Result<()> {
        let mut next = self.connection.prepare_cached(
            "SELECT event_type FROM limit_counters WHERE event_type > ?1 ORDER BY event_type LIMIT 1",
        )?;
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM limit_counters WHERE event_type = ?1 AND key = ?2")?;
        // From one event type to the next, without the users between.
        let mut after = String::new();
        while let Some(found) = next.query_row([&after], |row| event_type(row, 0)).optional()? {
            let key = counter_key(&self.vault, user, &found);
            delete.execute(params![found.as_str(), key])?;
            found.as_str().clone_into(&mut after);
        }
        Ok(())
    }

    /// Deletes counters whose period is over.
    pub(crate) fn sweep_counters(&self, now: Timestamp, limit: i64) -> rusqlite::Result<u64> {
        let gone = self
            .connection
            .prepare_cached(concat!(
                "DELETE FROM limit_counters WHERE (event_type, key) IN",
                " (SELECT event_type, key FROM limit_counters WHERE ends_at <= ?1",
                " ORDER BY ends_at LIMIT ?2)"
            ))?
            .execute(params![now.as_ms(), limit])?;
        Ok(gone as u64)
    }
}
