//! Wake-ups that come back from a lease: they wait again, or join newer ones.

use std::collections::BTreeMap;

use reveille_model::Timestamp;
use reveille_store::WakeupKey;
use reveille_store::tables::Change;

use super::waiting::{make_room, waiting_with};
use crate::engine::Tables;
use crate::error::{Done, Failed};
use crate::rows::{chunks, known_rows, listing, padded};
use crate::statement::query;

/// A wake-up to be returned from a lease, which is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Return {
    pub(super) id: i64,
    pub(super) key: WakeupKey,
    pub(super) trail: Option<i64>,
    pub(super) expires_at: i64,
    pub(super) due_at: Timestamp,
    /// Attempts to be added.
    pub(super) attempts: i64,
    /// The quarantined device it waits with from now on.
    pub(super) held: Option<[u8; 16]>,
    /// Whether no other one of its key has come to wait meanwhile.
    pub(super) has_place: bool,
}

/// A wake-up that joins a newer one, which inherits its due time, the longer life, and with whom it waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining {
    /// Its id and its trail.
    pub(super) older: (i64, Option<i64>),
    pub(super) into: i64,
    pub(super) due_at: i64,
    pub(super) expires_at: i64,
    pub(super) held: Option<[u8; 16]>,
}

/// Ends leases. Returns how many wake-ups joined newer ones.
pub(super) async fn return_all(tables: &mut Tables<'_>, returns: &[Return]) -> Done<u64> {
    let newer = waiting_with(tables, returns.iter().map(|each| each.key)).await?;
    let mut waiting: BTreeMap<WakeupKey, i64> =
        newer.values().map(|row| (row.key, row.id)).collect();
    let (mut joining, mut wait) = (Vec::new(), Vec::new());
    for each in returns {
        match waiting.get(&each.key) {
            Some(into) => joining.push(Joining {
                older: (each.id, each.trail),
                into: *into,
                due_at: each.due_at.as_ms(),
                expires_at: each.expires_at,
                held: each.held,
            }),
            None => {
                waiting.insert(each.key, each.id);
                wait.push(*each);
            }
        }
    }
    // Of those that have given up their places.
    make_room(tables, wait.iter().filter(|each| !each.has_place).map(|each| each.key)).await?;
    hold_all(tables, &wait).await?;
    for part in chunks(&wait) {
        let sql = concat!(
            "UPDATE wakeups w JOIN ({}) k ON k.id = w.id SET w.due_at = k.due_at, w.attempts = w.attempts + k.attempts,",
            " w.held = k.held, w.tries = NULL, w.lease = 0, w.holder = NULL, w.waiting_key = w.wake_key"
        );
        let columns = ["id", "due_at", "attempts", "held"];
        let mut update = query(known_rows(sql, &columns, part.len()));
        for each in part {
            let held = each.held.map(|key| key.to_vec());
            update = update.bind(each.id).bind(each.due_at.as_ms()).bind(each.attempts).bind(held);
        }
        tables.execute(update).await?;
    }
    join_all(tables, &joining).await?;
    Ok(joining.len() as u64)
}

/// Takes note of those that wait with quarantined devices.
async fn hold_all(tables: &mut Tables<'_>, wait: &[Return]) -> Done<()> {
    for Return { id, held, .. } in wait {
        if let Some(key) = held {
            tables.hold_wakeup(*key, *id).await?;
        }
    }
    Ok(())
}

impl Tables<'_> {
    /// Deletes wake-ups that are to be counted as something else: all of them, or the transaction has come too late.
    pub(super) async fn delete_wakeups(&mut self, ids: impl Iterator<Item = i64>) -> Done<()> {
        let ids: Vec<i64> = ids.collect();
        let padded = padded(ids.iter().copied());
        let mut delete = query(listing("DELETE FROM wakeups WHERE id IN ({})", "?", padded.len()));
        for id in padded {
            delete = delete.bind(id);
        }
        let deleted = self.execute(delete).await?;
        if usize::try_from(deleted).is_ok_and(|deleted| deleted == ids.len()) {
            Ok(())
        } else {
            Err(Failed::Overtaken)
        }
    }
}

/// Lets wake-ups that nobody holds any more join others of their keys.
pub(super) async fn join_all(tables: &mut Tables<'_>, joining: &[Joining]) -> Done<()> {
    if joining.is_empty() {
        return Ok(());
    }
    tables.delete_wakeups(joining.iter().map(|join| join.older.0)).await?;
    for join in joining {
        let update = query(concat!(
            "UPDATE wakeups SET due_at = GREATEST(due_at, ?), expires_at = GREATEST(expires_at, ?),",
            " held = COALESCE(held, ?) WHERE id = ?"
        ));
        let held = join.held.map(|key| key.to_vec());
        let update = update.bind(join.due_at).bind(join.expires_at).bind(held).bind(join.into);
        tables.execute(update).await?;
        if let Some(key) = join.held {
            tables.hold_wakeup(key, join.into).await?;
        }
        tables.count(join.older.1, Change::collapsed(1));
    }
    Ok(())
}
