//! Which wake-up waits for a device: collapsing needs to know. At most one of a key does, which an index sees to whoever writes.
//!
//! One in flight keeps its place in that index, so that claiming does not touch it, until another one of its key is to wait.

use std::collections::BTreeMap;

use reveille_store::WakeupKey;

use crate::codec::{array, number, optional_number};
use crate::engine::Tables;
use crate::error::Done;
use crate::rows::{listing, padded};
use crate::statement::query;

/// A wake-up as joining needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) key: WakeupKey,
    pub(super) set_id: i64,
    pub(super) due_at: i64,
    pub(super) expires_at: i64,
    pub(super) trail: Option<i64>,
}

/// The wake-ups that wait and are not in flight, by their keys. They stay as they are until the transaction is over.
pub(super) async fn waiting_with(
    tables: &mut Tables<'_>,
    keys: impl IntoIterator<Item = WakeupKey>,
) -> Done<BTreeMap<WakeupKey, Row>> {
    // In order, so that two transactions rarely wait for each other.
    let mut keys: Vec<WakeupKey> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    let keys = padded(keys);
    let mut found = BTreeMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let sql = concat!(
        "SELECT id, wake_key, set_id, due_at, expires_at, trail FROM wakeups",
        " WHERE waiting_key IN ({}) AND lease = 0 FOR UPDATE"
    );
    let mut select = query(listing(sql, "?", keys.len()));
    for key in &keys {
        select = select.bind(key.0.as_slice());
    }
    for row in tables.all(select).await? {
        let key = WakeupKey(array(&row, 1)?);
        let waiting = Row {
            id: number(&row, 0)?,
            key,
            set_id: number(&row, 2)?,
            due_at: number(&row, 3)?,
            expires_at: number(&row, 4)?,
            trail: optional_number(&row, 5)?,
        };
        found.insert(key, waiting);
    }
    Ok(found)
}

/// Makes room for wake-ups that are to wait: those in flight of the same keys give up their places.
pub(super) async fn make_room(
    tables: &mut Tables<'_>,
    keys: impl IntoIterator<Item = WakeupKey>,
) -> Done<()> {
    let mut keys: Vec<WakeupKey> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    let keys = padded(keys);
    if keys.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE wakeups SET waiting_key = NULL WHERE waiting_key IN ({}) AND lease <> 0";
    let mut update = query(listing(sql, "?", keys.len()));
    for key in &keys {
        update = update.bind(key.0.as_slice());
    }
    tables.execute(update).await.map(drop)
}

/// The ids of wake-ups that wait and are not in flight, each with its trail.
pub(crate) async fn waiting_of(
    tables: &mut Tables<'_>,
    keys: &[WakeupKey],
) -> Done<Vec<(i64, Option<i64>)>> {
    let found = waiting_with(tables, keys.iter().copied()).await?;
    Ok(found.values().map(|row| (row.id, row.trail)).collect())
}
