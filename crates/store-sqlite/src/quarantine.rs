//! Quarantine in SQLite.

use async_trait::async_trait;
use reveille_model::limits::QUARANTINE_PAGE_MAX;
use reveille_model::{Settled, Timestamp};
use reveille_store::{
    Destination, Quarantine, QuarantineId, Quarantined, SettleReport, StoreError, TokenKey, Which,
};
use rusqlite::{Connection, Row, params};

use crate::SqliteStore;
use crate::codec::{credential_set, store_error, subscription_id, time, topic};
use crate::engine::Tables;
use crate::outbox::end;

#[async_trait]
impl Quarantine for SqliteStore {
    async fn quarantined(
        &self,
        after: Option<QuarantineId>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        self.readers
            .read(move |connection| {
                list(connection, after, limit).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn quarantined_count(&self) -> Result<u64, StoreError> {
        self.readers
            .read(|connection| {
                connection
                    .prepare_cached("SELECT COUNT(*) FROM suspects WHERE next_try IS NOT NULL")
                    .and_then(|mut select| select.query_row([], |row| row.get::<_, i64>(0)))
                    .map(i64::cast_unsigned)
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn release(&self, which: Which, now: Timestamp) -> Result<u64, StoreError> {
        self.write(move |tables| {
            let keys = find(tables, &which)?;
            for key in &keys {
                tables.release_one(*key, now)?;
            }
            Ok(keys.len() as u64)
        })
        .await
    }

    async fn drop_quarantined(
        &self,
        which: Which,
        tell: Vec<Destination>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(move |tables| {
            let keys = find(tables, &which)?;
            for key in &keys {
                drop_one(tables, *key, &tell, now)?;
            }
            Ok(keys.len() as u64)
        })
        .await
    }
}

fn list(
    connection: &Connection,
    after: Option<QuarantineId>,
    limit: usize,
) -> rusqlite::Result<Vec<Quarantined>> {
    let after = after.map_or(Vec::new(), |id| id.0.0.to_vec());
    connection
        .prepare_cached(concat!(
            "SELECT q.key, c.name, q.topic, q.subscription, q.reason, q.since, q.verdicts, q.next_try",
            " FROM suspects q JOIN credential_sets c ON c.id = q.set_id",
            " WHERE q.key > ?1 AND q.next_try IS NOT NULL ORDER BY q.key LIMIT ?2"
        ))?
        .query_map(params![after, limit.min(QUARANTINE_PAGE_MAX)], read)?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    let is_registered = row.get_ref(3)?.as_blob_or_null()?.is_some();
    Ok(Quarantined {
        id: QuarantineId(TokenKey(row.get(0)?)),
        set: credential_set(row, 1)?,
        topic: topic(row, 2)?,
        subscription: if is_registered { Some(subscription_id(row, 3)?) } else { None },
        reason: row.get(4)?,
        since: time(row, 5)?,
        verdicts: row.get(6)?,
        next_try: time(row, 7)?,
    })
}

fn find(tables: &mut Tables, which: &Which) -> rusqlite::Result<Vec<TokenKey>> {
    let (key, set_id) = match which {
        Which::One(id) => (Some(id.0.0), None),
        Which::Set(set) => (None, Some(tables.set_id(set)?)),
        Which::All => (None, None),
    };
    tables
        .connection
        .prepare_cached(concat!(
            "SELECT key FROM suspects WHERE next_try IS NOT NULL AND (?1 IS NULL OR key = ?1)",
            " AND (?2 IS NULL OR set_id = ?2) ORDER BY key LIMIT ?3"
        ))?
        .query_map(params![key, set_id, QUARANTINE_PAGE_MAX], |row| row.get(0).map(TokenKey))?
        .collect()
}

fn drop_one(
    tables: &mut Tables,
    key: TokenKey,
    tell: &[Destination],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let reason: String = tables
        .connection
        .prepare_cached("SELECT reason FROM suspects WHERE key = ?1")?
        .query_row([key.0], |row| row.get(0))?;
    match tables.quarantined_suspect(key)? {
        Some(dead) => tables.bury(&dead, &reason, (tell, now), &mut SettleReport::default())?,
        None => {
            tables.forget_suspect(key)?;
        }
    }
    let held: Vec<i64> = tables
        .connection
        .prepare_cached("SELECT id FROM wakeups WHERE held = ?1")?
        .query_map([key.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in held {
        end(tables, id, Settled::Dead)?;
    }
    Ok(())
}
