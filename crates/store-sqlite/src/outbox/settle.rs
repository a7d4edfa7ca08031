//! Ending and returning claimed wake-ups.

use reveille_model::{Proof, Settled, Timestamp};
use reveille_store::{Device, End, SettleReport, Settlement, StoreError};
use rusqlite::{OptionalExtension as _, params};

use super::tables::{Change, sql};
use crate::engine::Tables;

pub(super) fn settle(
    tables: &mut Tables,
    settlements: &[Settlement],
    now: Timestamp,
) -> rusqlite::Result<SettleReport> {
    let mut report = SettleReport::default();
    for settlement in settlements {
        let lease = settlement.lease.as_i64();
        let back = |due_at, attempts| Return { id: settlement.id.0, lease, due_at, attempts };
        match settlement.end {
            End::Settled(how) => {
                let ended = end_leased(tables, settlement, how, &mut report)?;
                if let (true, Settled::Sent, Some(device)) = (ended, how, settlement.device) {
                    clear_suspicion(tables, device)?;
                }
            }
            End::Dead(proof) => {
                if end_leased(tables, settlement, Settled::Dead, &mut report)?
                    && let Some(device) = settlement.device
                {
                    settle_dead(tables, proof, device, now, &mut report)?;
                }
            }
            End::Retry(due_at) => give(tables, back(due_at, 1), &mut report)?,
            End::GiveBack => give(tables, back(now, 0), &mut report)?,
        }
    }
    Ok(report)
}

/// Ends a wake-up that is held under the settlement's lease. Returns whether it was.
fn end_leased(
    tables: &mut Tables,
    settlement: &Settlement,
    how: Settled,
    report: &mut SettleReport,
) -> rusqlite::Result<bool> {
    let ended: Option<Option<i64>> = tables
        .connection
        .prepare_cached("DELETE FROM wakeups WHERE id = ?1 AND lease = ?2 RETURNING trail")?
        .query_row([settlement.id.0, settlement.lease.as_i64()], |row| row.get(0))
        .optional()?;
    let Some(trail) = ended else {
        report.lost += 1;
        return Ok(false);
    };
    tables.count(trail, Change::settled(how, 1))?;
    Ok(true)
}

/// Ends a wake-up of which the caller knows that it is there.
pub(super) fn end(
    tables: &mut Tables,
    id: i64,
    trail: Option<i64>,
    how: Settled,
) -> rusqlite::Result<()> {
    tables.connection.prepare_cached("DELETE FROM wakeups WHERE id = ?1")?.execute([id])?;
    tables.count(trail, Change::settled(how, 1))
}

fn clear_suspicion(tables: &Tables, device: Device) -> rusqlite::Result<()> {
    tables
        .connection
        .prepare_cached(concat!(
            "UPDATE subscriptions SET suspect_since = NULL",
            " WHERE id = ?1 AND suspect_since IS NOT NULL"
        ))?
        .execute([device.subscription.as_bytes()])
        .map(drop)
}

fn settle_dead(
    tables: &Tables,
    proof: Proof,
    device: Device,
    now: Timestamp,
    report: &mut SettleReport,
) -> rusqlite::Result<()> {
    let id = device.subscription.as_bytes();
    match proof {
        Proof::Unguarded => {
            let dropped = tables
                .connection
                .prepare_cached("DELETE FROM subscriptions WHERE id = ?1 AND generation = ?2")?
                .execute(params![id, device.generation])?;
            report.dropped += dropped as u64;
        }
        Proof::Guarded => {
            let suspected = tables
                .connection
                .prepare_cached(concat!(
                    "UPDATE subscriptions SET suspect_since = ?3",
                    " WHERE id = ?1 AND generation = ?2 AND suspect_since IS NULL"
                ))?
                .execute(params![id, device.generation, now.as_ms()])?;
            report.suspected += suspected as u64;
        }
    }
    let generation: Option<u32> = tables
        .connection
        .prepare_cached("SELECT generation FROM subscriptions WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    report.renewed += u64::from(generation.is_some_and(|now| now != device.generation));
    Ok(())
}

/// A wake-up to be returned from a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Return {
    pub(super) id: i64,
    pub(super) lease: i64,
    pub(super) due_at: Timestamp,
    /// Attempts to be added.
    pub(super) attempts: u32,
}

fn give(tables: &mut Tables, back: Return, report: &mut SettleReport) -> rusqlite::Result<()> {
    match return_to_waiting(tables, back)? {
        None => report.lost += 1,
        Some(collapsed) => report.collapsed += u64::from(collapsed),
    }
    Ok(())
}

/// Ends a lease: the wake-up waits again, or joins a newer one that waits, which inherits its due time and the
/// longer life. Returns whether it joined one;
/// nothing where the lease is not held.
pub(super) fn return_to_waiting(
    tables: &mut Tables,
    back: Return,
) -> rusqlite::Result<Option<bool>> {
    let Return { id, lease, due_at, attempts } = back;
    let returned = tables
        .connection
        .prepare_cached(concat!(
            "UPDATE OR IGNORE wakeups SET lease = 0, due_at = ?3, attempts = attempts + ?4",
            " WHERE id = ?1 AND lease = ?2"
        ))?
        .execute(params![id, lease, due_at.as_ms(), attempts])?;
    if returned > 0 {
        return Ok(Some(false));
    }
    let joined: Option<(Option<i64>, [u8; 16], i64)> = tables
        .connection
        .prepare_cached(
            "DELETE FROM wakeups WHERE id = ?1 AND lease = ?2 RETURNING trail, key, expires_at",
        )?
        .query_row([id, lease], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((trail, key, expires_at)) = joined else { return Ok(None) };
    tables
        .connection
        .prepare_cached(concat!(
            "UPDATE wakeups SET due_at = MAX(due_at, ?2), expires_at = MAX(expires_at, ?3)",
            " WHERE key = ?1 AND lease = 0"
        ))?
        .execute(params![key, due_at.as_ms(), expires_at])?;
    tables.count(trail, Change::collapsed(1))?;
    Ok(Some(true))
}

/// Returns everything that a process which is gone had claimed. In a transaction of its own.
pub(crate) fn give_back_all(tables: &mut Tables, now: Timestamp) -> Result<(), StoreError> {
    sql(tables.connection.execute_batch("BEGIN IMMEDIATE"))?;
    let leased: Vec<(i64, i64)> = sql(tables
        .connection
        .prepare_cached("SELECT id, lease FROM wakeups WHERE lease <> 0")
        .and_then(|mut select| {
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        }))?;
    for (id, lease) in leased {
        sql(return_to_waiting(tables, Return { id, lease, due_at: now, attempts: 0 }))?;
    }
    sql(tables.write_ledger())?;
    sql(tables.connection.execute_batch("COMMIT"))
}
