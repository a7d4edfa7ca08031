//! Ending and returning claimed wake-ups.

use reveille_model::{Proof, Settled, Timestamp};
use reveille_store::{End, SettleBatch, SettleReport, Settlement, StoreError, Suspicion};
use rusqlite::{OptionalExtension as _, params};

use super::tables::{Change, sql};
use crate::engine::Tables;
use crate::suspects::Suspect;

pub(super) fn settle(tables: &mut Tables, batch: &SettleBatch) -> rusqlite::Result<SettleReport> {
    let mut report = SettleReport::default();
    for settlement in &batch.settlements {
        let mut end = settlement.end;
        if let Some((strike, suspicion)) = settlement.strike
            && let Some(suspect) = find(tables, settlement)?
            && tables.strike(&suspect, (strike, suspicion.reason), batch.now)?
        {
            end = End::Suspected(suspicion);
        }
        match end {
            End::Settled(how) => settle_one(tables, settlement, (how, batch.now), &mut report)?,
            End::Dead(proof, reason) => {
                let dead = match proof {
                    Proof::Guarded => None,
                    _ => find(tables, settlement)?,
                };
                if let Some(dead) = dead {
                    if dead.is_renewed(Proof::Guarded) {
                        // Its app came back while the push was under way: the verdict is about the registration before.
                        report.renewed += 1;
                        give(tables, back(settlement, batch.now, 1), &mut report)?;
                        continue;
                    }
                    if dead.is_renewed(proof) {
                        report.renewed += 1;
                    } else {
                        tables.bury(&dead, reason.0, (&batch.tell, batch.now), &mut report)?;
                    }
                }
                end_leased(tables, settlement, Settled::Dead, &mut report)?;
            }
            End::Suspected(suspicion) => {
                suspect(tables, settlement, suspicion, batch, &mut report)?;
            }
            End::Retry(due_at) => {
                tables.was_no_try(settlement.id.0, settlement.lease.as_i64(), due_at)?;
                give(tables, back(settlement, due_at, 1), &mut report)?;
            }
            End::Postpone(due_at) => {
                tables.was_no_try(settlement.id.0, settlement.lease.as_i64(), due_at)?;
                give(tables, back(settlement, due_at, 0), &mut report)?;
            }
        }
    }
    Ok(report)
}

fn back(settlement: &Settlement, due_at: Timestamp, attempts: u32) -> Return {
    Return { id: settlement.id.0, lease: settlement.lease.as_i64(), due_at, attempts }
}

/// The device of a wake-up that is held under the settlement's lease; nothing where that is lost, or its subscription is gone.
fn find(tables: &Tables, settlement: &Settlement) -> rusqlite::Result<Option<Suspect>> {
    let generation = settlement.device.map(|device| device.generation);
    tables.suspect_of(settlement.id.0, settlement.lease.as_i64(), generation)
}

fn settle_one(
    tables: &mut Tables,
    settlement: &Settlement,
    (how, now): (Settled, Timestamp),
    report: &mut SettleReport,
) -> rusqlite::Result<()> {
    // Nearly always there is nobody under suspicion, and nothing to look up.
    if how == Settled::Sent
        && (tables.suspects > 0 || tables.deaths > 0)
        && let Some(alive) = find(tables, settlement)?
    {
        tables.clear_suspicion(&alive, now)?;
    }
    end_leased(tables, settlement, how, report)
}

fn suspect(
    tables: &mut Tables,
    settlement: &Settlement,
    suspicion: Suspicion,
    batch: &SettleBatch,
    report: &mut SettleReport,
) -> rusqlite::Result<()> {
    let Some(found) = find(tables, settlement)? else {
        // Its subscription is gone, which the next claim says; or its lease is lost.
        return give(tables, back(settlement, batch.now, 1), report);
    };
    if found.is_renewed(Proof::Guarded) {
        report.renewed += 1;
        return give(tables, back(settlement, batch.now, 1), report);
    }
    let held_since = tables.held_since(&found)?;
    if suspicion.is_trusted && held_since.is_some_and(|since| since.plus(batch.hold) <= batch.now) {
        tables.bury(&found, suspicion.reason.0, (&batch.tell, batch.now), report)?;
        return end_leased(tables, settlement, Settled::Dead, report);
    }
    let next_try = batch.now.plus(batch.hold);
    if tables.hold(&found, suspicion.reason.0, (batch.now, next_try))? && held_since.is_none() {
        report.suspected += 1;
    }
    tables
        .connection
        .prepare_cached("UPDATE wakeups SET held = ?2 WHERE id = ?1")?
        .execute(params![settlement.id.0, found.key.0])?;
    give(tables, back(settlement, next_try, 1), report)
}

/// Ends a wake-up that is held under the settlement's lease.
fn end_leased(
    tables: &mut Tables,
    settlement: &Settlement,
    how: Settled,
    report: &mut SettleReport,
) -> rusqlite::Result<()> {
    let ended: Option<Option<i64>> = tables
        .connection
        .prepare_cached("DELETE FROM wakeups WHERE id = ?1 AND lease = ?2 RETURNING trail")?
        .query_row([settlement.id.0, settlement.lease.as_i64()], |row| row.get(0))
        .optional()?;
    let Some(trail) = ended else {
        report.lost += 1;
        return Ok(());
    };
    tables.count(trail, Change::settled(how, 1))
}

/// Ends a wake-up of which the caller knows that it is there.
pub(crate) fn end(
    tables: &mut Tables,
    id: i64,
    trail: Option<i64>,
    how: Settled,
) -> rusqlite::Result<()> {
    tables.connection.prepare_cached("DELETE FROM wakeups WHERE id = ?1")?.execute([id])?;
    tables.count(trail, Change::settled(how, 1))
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
    let joined = tables
        .connection
        .prepare_cached(
            "DELETE FROM wakeups WHERE id = ?1 AND lease = ?2 RETURNING trail, key, expires_at, held",
        )?
        .query_row([id, lease], |row| {
            let (key, held): ([u8; 16], Option<[u8; 16]>) = (row.get(1)?, row.get(3)?);
            Ok((row.get::<_, Option<i64>>(0)?, key, row.get::<_, i64>(2)?, held))
        })
        .optional()?;
    let Some((trail, key, expires_at, held)) = joined else { return Ok(None) };
    tables
        .connection
        .prepare_cached(concat!(
            "UPDATE wakeups SET due_at = MAX(due_at, ?2), expires_at = MAX(expires_at, ?3),",
            " held = COALESCE(held, ?4) WHERE key = ?1 AND lease = 0"
        ))?
        .execute(params![key, due_at.as_ms(), expires_at, held])?;
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
        sql(tables.was_no_try(id, lease, now))?;
        sql(return_to_waiting(tables, Return { id, lease, due_at: now, attempts: 0 }))?;
    }
    sql(tables.write_ledger())?;
    sql(tables.connection.execute_batch("COMMIT"))
}
