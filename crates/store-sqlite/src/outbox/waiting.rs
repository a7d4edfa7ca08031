//! Which wake-up waits for a device: collapsing needs to know. Kept in memory, because an index of keys, which are hashes, would be written at
//! random for every wake-up that comes and goes.

use std::collections::BTreeMap;

use reveille_store::WakeupKey;
use reveille_store::tables::Change;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::engine::Tables;

/// What is kept in memory of a key. Two keys with the same first eight bytes, one pair in 2⁶⁴, do not collapse with others for a while: whoever
/// uses what is found compares the whole key.
pub(super) fn head(key: WakeupKey) -> u64 {
    key.0.first_chunk().map(|head| u64::from_be_bytes(*head)).unwrap_or_default()
}

/// A wake-up as joining needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) key: WakeupKey,
    pub(super) set_id: i64,
    pub(super) due_at: i64,
    pub(super) sort_key: i64,
    pub(super) expires_at: i64,
    pub(super) held: Option<[u8; 16]>,
    pub(super) trail: Option<i64>,
}

impl Row {
    pub(super) fn find(tables: &Tables, id: i64) -> rusqlite::Result<Option<Self>> {
        tables
            .connection
            .prepare_cached(
                "SELECT key, set_id, due_at, sort_key, expires_at, held, trail FROM wakeups WHERE id = ?1",
            )?
            .query_row([id], |row| {
                Ok(Self {
                    id,
                    key: WakeupKey(row.get(0)?),
                    set_id: row.get(1)?,
                    due_at: row.get(2)?,
                    sort_key: row.get(3)?,
                    expires_at: row.get(4)?,
                    held: row.get(5)?,
                    trail: row.get(6)?,
                })
            })
            .optional()
    }
}

impl Tables {
    /// Whether a wake-up is in flight under this lease.
    pub(crate) fn is_leased(&self, id: i64, lease: i64) -> bool {
        self.leases.get(id).is_some_and(|held| held.id == lease)
    }
}

/// The wake-up of a key that waits and is not in flight.
pub(super) fn waiting_with(tables: &Tables, key: WakeupKey) -> rusqlite::Result<Option<Row>> {
    match tables.waiting.get(head(key)) {
        Some(id) if tables.leases.get(id).is_none() => {
            Ok(Row::find(tables, id)?.filter(|row| row.key == key))
        }
        _ => Ok(None),
    }
}

/// The same, by its id.
pub(crate) fn waiting_of(tables: &Tables, key: WakeupKey) -> rusqlite::Result<Option<i64>> {
    Ok(waiting_with(tables, key)?.map(|row| row.id))
}

/// Lets a wake-up that nobody holds any more join another one of its key, which inherits its due time and the longer life.
pub(super) fn join(tables: &mut Tables, older: Row, newer: Row) -> rusqlite::Result<()> {
    tables.connection.prepare_cached("DELETE FROM wakeups WHERE id = ?1")?.execute([older.id])?;
    tables
        .connection
        .prepare_cached(concat!(
            "UPDATE wakeups SET due_at = MAX(due_at, ?2), expires_at = MAX(expires_at, ?3),",
            " held = COALESCE(held, ?4) WHERE id = ?1"
        ))?
        .execute(params![newer.id, older.due_at, older.expires_at, older.held])?;
    tables.count(older.trail, Change::collapsed(1))
}

/// What waits, for a process that begins.
pub(crate) struct Waiting {
    /// By the head of its key each wake-up.
    pub(crate) by_head: BTreeMap<u64, i64>,
    /// Those that share a head: the older and the newer.
    pub(crate) twins: Vec<(i64, i64)>,
}

pub(crate) fn find_waiting(connection: &Connection) -> rusqlite::Result<Waiting> {
    let mut found: Vec<(u64, i64)> = connection
        .prepare("SELECT key, id FROM wakeups INDEXED BY wakeups_due")?
        .query_map([], |row| Ok((head(WakeupKey(row.get(0)?)), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    found.sort_unstable();
    let twins = found.windows(2).filter_map(|pair| match pair {
        [(head, older), (next, newer)] if head == next => Some((*older, *newer)),
        _ => None,
    });
    let twins = twins.collect();
    Ok(Waiting { by_head: found.into_iter().collect(), twins })
}

/// The process before was killed while a newer wake-up waited beside one in flight, which is no longer: they join.
pub(crate) fn join_twins(tables: &mut Tables, twins: &[(i64, i64)]) -> rusqlite::Result<()> {
    for (older, newer) in twins {
        if let (Some(older), Some(newer)) = (Row::find(tables, *older)?, Row::find(tables, *newer)?)
            && older.key == newer.key
        {
            join(tables, older, newer)?;
        }
    }
    Ok(())
}
