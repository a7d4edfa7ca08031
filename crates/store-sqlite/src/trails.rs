//! Trails in SQLite.

use async_trait::async_trait;
use reveille_model::NotificationId;
use reveille_store::{StoreError, TakeBack, Trail, Trails};
use rusqlite::{Connection, OptionalExtension as _};

use crate::SqliteStore;
use crate::codec::{optional_time, read_ledger, store_error};
use crate::engine::Tables;

#[async_trait]
impl Trails for SqliteStore {
    async fn find(&self, id: NotificationId) -> Result<Option<Trail>, StoreError> {
        self.readers
            .read(move |connection| find(connection, id).map_err(|error| store_error(&error)))
            .await
    }

    async fn take_back(&self, id: NotificationId) -> Result<TakeBack, StoreError> {
        self.writer
            .write(move |tables| take_back(tables, id).map_err(|error| store_error(&error)))
            .await
    }
}

fn find(connection: &Connection, id: NotificationId) -> rusqlite::Result<Option<Trail>> {
    connection
        .prepare_cached(concat!(
            "SELECT accepted, waiting, collapsed, settled_sent, settled_dead, settled_expired,",
            " settled_cancelled, settled_payload_error, settled_dry_run, settled_limited, window_end, deliver_after,",
            " taken_back, cohorts, window_end <= (SELECT expanded_until FROM state)",
            " FROM trails WHERE id = ?1"
        ))?
        .query_row([id.as_bytes()], |row| {
            Ok(Trail {
                id,
                window_end: optional_time(row, 10)?,
                deliver_after: optional_time(row, 11)?,
                taken_back: row.get(12)?,
                cohorts: row.get(13)?,
                has_left: row.get::<_, Option<bool>>(14)?.unwrap_or_default(),
                ledger: read_ledger(row, 0)?,
            })
        })
        .optional()
}

fn take_back(tables: &mut Tables, id: NotificationId) -> rusqlite::Result<TakeBack> {
    let found: Option<(i64, bool)> = tables
        .connection
        .prepare_cached("SELECT seq, taken_back FROM trails WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, taken_back)) = found else { return Ok(TakeBack::Unknown) };
    if taken_back {
        return Ok(TakeBack::Taken);
    }
    let removed: Option<u64> = tables
        .connection
        .prepare_cached("DELETE FROM scheduled WHERE trail = ?1 RETURNING named")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    let Some(named) = removed else { return Ok(TakeBack::TooLate) };
    tables.scheduled = tables.scheduled.saturating_sub(named);
    tables
        .connection
        .prepare_cached("UPDATE trails SET taken_back = 1 WHERE seq = ?1")?
        .execute([seq])?;
    Ok(TakeBack::Taken)
}
