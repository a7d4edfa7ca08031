//! Ending and returning claimed wake-ups.

use reveille_model::{Mixed, Proof, Settled, Timestamp};
use reveille_store::tables::{Change, Kind};
use reveille_store::{End, SettleBatch, SettleReport, Settlement, Suspicion, WakeupKey};
use rusqlite::{OptionalExtension as _, params};

use super::waiting::{Row, head, join, waiting_with};
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
                        tables.follow_device(settlement.id.0)?;
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
                was_no_try(tables, settlement, due_at)?;
                give(tables, back(settlement, due_at, 1), &mut report)?;
            }
            End::Postpone(due_at) => {
                was_no_try(tables, settlement, due_at)?;
                give(tables, back(settlement, due_at, 0), &mut report)?;
            }
        }
    }
    Ok(report)
}

fn back(settlement: &Settlement, due_at: Timestamp, attempts: u32) -> Return {
    let lease = settlement.lease.as_i64();
    Return { id: settlement.id.0, lease, due_at: Some(due_at), attempts }
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
        tables.follow_device(settlement.id.0)?;
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
    let (id, held) = (settlement.id.0, tables.leases.get(settlement.id.0));
    let Some(lease) = held.filter(|lease| lease.id == settlement.lease.as_i64()) else {
        report.lost += 1;
        return Ok(());
    };
    tables.leases.remove(id);
    // Its device may be gone, and all that waited for it with it.
    if tables.connection.prepare_cached("DELETE FROM wakeups WHERE id = ?1")?.execute([id])? > 0 {
        ended(tables, (id, lease.head), lease.trail, how)?;
    }
    Ok(())
}

/// Ends a wake-up that is not worth sending any more. Takes note where it was a cohort's and never tried.
pub(super) fn expire(tables: &mut Tables, id: i64) -> rusqlite::Result<()> {
    let kind = tables
        .connection
        .prepare_cached(concat!(
            "SELECT s.set_id, s.sealed + s.unsealing FROM wakeups w",
            " JOIN subscriptions s ON s.id = w.subscription",
            " WHERE w.id = ?1 AND w.attempts = 0 AND w.trail IS NULL"
        ))?
        .query_row([id], |row| Ok(Kind { set_id: row.get(0)?, is_sealed: row.get(1)? }))
        .optional()?;
    tables.partial += u64::from(kind.is_some_and(|kind| tables.mixed(kind) == Mixed::Cohort));
    end(tables, id, Settled::Expired)
}

/// Ends a wake-up that nobody holds.
pub(crate) fn end(tables: &mut Tables, id: i64, how: Settled) -> rusqlite::Result<()> {
    let deleted: Option<(Option<i64>, WakeupKey)> = tables
        .connection
        .prepare_cached("DELETE FROM wakeups WHERE id = ?1 RETURNING trail, key")?
        .query_row([id], |row| Ok((row.get(0)?, WakeupKey(row.get(1)?))))
        .optional()?;
    let Some((trail, key)) = deleted else { return Ok(()) };
    ended(tables, (id, head(key)), trail, how)
}

fn ended(
    tables: &mut Tables,
    (id, head): (i64, u64),
    trail: Option<i64>,
    how: Settled,
) -> rusqlite::Result<()> {
    if tables.waiting.get(head) == Some(id) {
        tables.waiting.remove(head);
    }
    tables.count(trail, Change::settled(how, 1))
}

/// A try of a quarantined device came to nothing, so that it was none: it may be tried again when this wake-up is due.
fn was_no_try(tables: &Tables, settlement: &Settlement, due_at: Timestamp) -> rusqlite::Result<()> {
    let lease = tables.leases.get(settlement.id.0);
    let held = lease.filter(|lease| lease.id == settlement.lease.as_i64());
    if let Some(key) = held.and_then(|lease| lease.tries) {
        tables
            .connection
            .prepare_cached("UPDATE suspects SET next_try = ?2 WHERE key = ?1 AND next_try > ?2")?
            .execute(params![key.0, due_at.as_ms()])?;
    }
    Ok(())
}

/// A wake-up to be returned from a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Return {
    pub(super) id: i64,
    pub(super) lease: i64,
    /// When it is due; where nothing is said, when it was.
    pub(super) due_at: Option<Timestamp>,
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

/// Ends a lease: the wake-up waits again, or joins a newer one that waits, which inherits its due time and the longer life. Returns whether it
/// joined one; nothing where the lease is not held.
pub(super) fn return_to_waiting(
    tables: &mut Tables,
    back: Return,
) -> rusqlite::Result<Option<bool>> {
    let Return { id, lease, due_at, attempts } = back;
    if !tables.is_leased(id, lease) {
        return Ok(None);
    }
    tables.leases.remove(id);
    let Some(row) = Row::find(tables, id)? else { return Ok(None) };
    let due_at = due_at.map_or(row.due_at, Timestamp::as_ms);
    if let Some(newer) = waiting_with(tables, row.key)?
        && newer.id != id
    {
        join(tables, Row { due_at, ..row }, newer)?;
        return Ok(Some(true));
    }
    tables.waiting.insert(head(row.key), id);
    if due_at != row.due_at || attempts > 0 {
        tables
            .connection
            .prepare_cached(
                "UPDATE wakeups SET due_at = ?2, attempts = attempts + ?3 WHERE id = ?1",
            )?
            .execute(params![id, due_at, attempts])?;
    }
    tables.lower_cursor(row.set_id, (due_at, row.sort_key));
    Ok(Some(false))
}
