//! Feedback in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::Timestamp;
use reveille_store::{Death, DeathId, Destination, Feedback, Owner, StoreError};
use reveille_vault::Vault;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::SqliteStore;
use crate::codec::{
    credential_set, optional_time, store_error, subscription_id, time, token, topic, user,
};

/// The oldest untold death of each token.
const FIRST: &str = concat!(
    " d.destination = ?1 AND NOT EXISTS (SELECT 1 FROM deaths e WHERE e.key = d.key",
    " AND e.destination = d.destination AND e.id < d.id)"
);

#[async_trait]
impl Feedback for SqliteStore {
    async fn untold(
        &self,
        to: Destination,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Death>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.readers
            .read(move |connection| {
                let sql = format!(
                    "SELECT d.id, c.name, d.topic, d.token, d.subscription, d.user_name, d.reason, d.at, d.attempts
                     FROM deaths d JOIN credential_sets c ON c.id = d.set_id
                     WHERE d.due_at <= ?2 AND {FIRST} ORDER BY d.due_at, d.id LIMIT ?3"
                );
                connection
                    .prepare_cached(&sql)
                    .and_then(|mut select| {
                        let read = |row: &Row<'_>| read(row, &vault);
                        select.query_map(params![to.as_str(), now.as_ms(), limit], read)?.collect()
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn next_untold(&self, to: Destination) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .read(move |connection| {
                let sql = format!(
                    "SELECT d.due_at FROM deaths d WHERE {FIRST} ORDER BY d.due_at LIMIT 1"
                );
                connection
                    .prepare_cached(&sql)
                    .and_then(|mut select| {
                        select.query_row([to.as_str()], |row| time(row, 0)).optional()
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn told(&self, ids: Vec<DeathId>) -> Result<(), StoreError> {
        self.write(move |tables| {
            for id in ids {
                let told = tables
                    .connection
                    .prepare_cached("DELETE FROM deaths WHERE id = ?1")?
                    .execute([id.0])?;
                tables.deaths = tables.deaths.saturating_sub(told as u64);
            }
            Ok(())
        })
        .await
    }

    async fn tell_again(&self, id: DeathId, due_at: Timestamp) -> Result<(), StoreError> {
        self.write(move |tables| {
            tables
                .connection
                .prepare_cached(
                    "UPDATE deaths SET attempts = attempts + 1, due_at = ?2 WHERE id = ?1",
                )?
                .execute([id.0, due_at.as_ms()])
                .map(drop)
        })
        .await
    }

    async fn untold_count(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.readers
            .read(|connection| {
                connection
                    .prepare_cached("SELECT COUNT(*), MIN(at) FROM deaths")
                    .and_then(|mut select| {
                        select.query_row([], |row| {
                            Ok((row.get::<_, i64>(0)?.cast_unsigned(), optional_time(row, 1)?))
                        })
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }
}

fn read(row: &Row<'_>, vault: &Vault) -> rusqlite::Result<Death> {
    let set = credential_set(row, 1)?;
    let is_registered = row.get_ref(4)?.as_blob_or_null()?.is_some();
    let owner = if is_registered {
        Some(Owner { subscription: subscription_id(row, 4)?, user: user(row, 5)? })
    } else {
        None
    };
    Ok(Death {
        id: DeathId(row.get(0)?),
        token: token(row, 3, (set.provider(), vault))?,
        set,
        topic: topic(row, 2)?,
        owner,
        reason: row.get(6)?,
        at: time(row, 7)?,
        attempts: row.get(8)?,
    })
}
