//! Forgetting, in bounded steps.

use reveille_model::Duration;
use reveille_model::limits::DELIVER_AFTER_S_MAX;
use reveille_store::{Sweep, Swept};
use rusqlite::params;

use super::settle::expire;
use crate::engine::Tables;

pub(super) fn sweep(tables: &mut Tables, sweep: Sweep) -> rusqlite::Result<Swept> {
    let expired = sweep_expired(tables, sweep)?;
    let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
    let trails = tables
        .connection
        .prepare_cached(concat!(
            "DELETE FROM trails WHERE seq IN (SELECT seq FROM trails WHERE last_window < ?1",
            " AND NOT EXISTS (SELECT 1 FROM scheduled WHERE scheduled.trail = trails.seq)",
            " ORDER BY last_window LIMIT ?2)"
        ))?
        .execute(params![sweep.trails_before.as_ms(), limit])?;
    let idempotency_keys = tables
        .connection
        .prepare_cached(concat!(
            "DELETE FROM idempotency WHERE key IN",
            " (SELECT key FROM idempotency WHERE at < ?1 ORDER BY at LIMIT ?2)"
        ))?
        .execute(params![sweep.idempotency_before.as_ms(), limit])?;
    let suspects = tables.sweep_suspects(sweep)?;
    let inbox_items = tables.sweep_inbox(sweep.inbox_before, limit)?;
    tables.sweep_unproven(sweep.now, limit)?;
    let counters = tables.sweep_counters(sweep.counters_before, limit)?;
    // Nothing that is scheduled can be older.
    let successors_before = sweep.now.minus(Duration::from_s(2 * DELIVER_AFTER_S_MAX));
    tables
        .connection
        .prepare_cached("DELETE FROM successors WHERE at < ?1")?
        .execute([successors_before.as_ms()])?;
    Ok(Swept {
        expired,
        trails: trails as u64,
        idempotency_keys: idempotency_keys as u64,
        suspects,
        counters,
        inbox_items,
    })
}

/// Looks through the next `limit` wake-ups, beginning again after the last: without an index on the expiry, which every wake-up would
/// pay for and only those that nobody claims need.
fn sweep_expired(tables: &mut Tables, sweep: Sweep) -> rusqlite::Result<u64> {
    let seen: Vec<(i64, bool)> = tables
        .connection
        .prepare_cached(
            "SELECT id, expires_at <= ?1 FROM wakeups WHERE id > ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map(params![sweep.now.as_ms(), tables.swept_until, sweep.limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let at_the_end = seen.len() < sweep.limit;
    tables.swept_until = if at_the_end { 0 } else { seen.last().map_or(0, |(id, ..)| *id) };
    let mut expired = 0;
    for (id, is_expired) in seen {
        let lease = tables.leases.get(id);
        if is_expired && lease.is_none_or(|lease| lease.until <= sweep.now) {
            tables.leases.remove(id);
            expire(tables, id)?;
            expired += 1;
        }
    }
    Ok(expired)
}
