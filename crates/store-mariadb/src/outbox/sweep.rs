//! Forgetting, in bounded steps.

use std::sync::atomic::Ordering;

use reveille_model::limits::{DELIVER_AFTER_S_MAX, PROOF_RETENTION_S};
use reveille_model::{Duration, Settled, SubscriptionId};
use reveille_store::{Sweep, Swept};

use super::settle::{Ended, end_all, note_expired};
use crate::codec::{flag, number, optional_array, optional_number};
use crate::engine::Tables;
use crate::error::Done;
use crate::rows::{listing, padded};
use crate::statement::query;

pub(super) async fn sweep(tables: &mut Tables<'_>, sweep: Sweep) -> Done<Swept> {
    // Whose clock is ahead would end for everybody what has its time still to come.
    tables.is_ahead(sweep.now).await?;
    let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
    let expired = sweep_expired(tables, sweep, limit).await?;
    let trails = sweep_trails(tables, sweep, limit).await?;
    let delete = query("DELETE FROM idempotency WHERE at < ? ORDER BY at LIMIT ?");
    let idempotency_keys =
        tables.execute(delete.bind(sweep.idempotency_before.as_ms()).bind(limit)).await?;
    let suspects = tables.sweep_suspects(sweep).await?;
    let inbox_items = tables.sweep_inbox(sweep.inbox_before, limit).await?;
    let unproven_before = sweep.now.minus(Duration::from_s(PROOF_RETENTION_S));
    let delete = query("DELETE FROM unproven WHERE asked_at < ? ORDER BY asked_at LIMIT ?");
    tables.execute(delete.bind(unproven_before.as_ms()).bind(limit)).await?;
    let delete = query("DELETE FROM limit_counters WHERE ends_at <= ? ORDER BY ends_at LIMIT ?");
    let counters = tables.execute(delete.bind(sweep.counters_before.as_ms()).bind(limit)).await?;
    // Nothing that is scheduled can be older.
    let successors_before = sweep.now.minus(Duration::from_s(2 * DELIVER_AFTER_S_MAX));
    let delete = query("DELETE FROM successors WHERE at < ?").bind(successors_before.as_ms());
    tables.execute(delete).await?;
    Ok(Swept { expired, trails, idempotency_keys, suspects, counters, inbox_items })
}

async fn sweep_trails(tables: &mut Tables<'_>, sweep: Sweep, limit: i64) -> Done<u64> {
    let select = query(concat!(
        "SELECT t.seq FROM trails t WHERE t.last_window < ?",
        " AND NOT EXISTS (SELECT 1 FROM scheduled s WHERE s.trail = t.seq) ORDER BY t.last_window LIMIT ?"
    ));
    let rows = tables.all(select.bind(sweep.trails_before.as_ms()).bind(limit)).await?;
    let mut seqs = Vec::with_capacity(rows.len());
    for row in &rows {
        seqs.push(number(row, 0)?);
    }
    let padded = padded(seqs.iter().copied());
    if padded.is_empty() {
        return Ok(0);
    }
    let mut gone = 0;
    for sql in
        ["DELETE FROM trails WHERE seq IN ({})", "DELETE FROM trail_counts WHERE trail IN ({})"]
    {
        let mut delete = query(listing(sql, "?", padded.len()));
        for seq in &padded {
            delete = delete.bind(seq);
        }
        let deleted = tables.execute(delete).await?;
        gone = if gone == 0 { deleted } else { gone };
    }
    Ok(gone)
}

/// Looks through the next `limit` wake-ups, beginning again after the last: without an index on the expiry, which every wake-up would
/// pay for and only those that nobody claims need. Whoever holds one ends it.
async fn sweep_expired(tables: &mut Tables<'_>, sweep: Sweep, limit: i64) -> Done<u64> {
    let after = tables.engine.swept_until.load(Ordering::Relaxed);
    let select = query(concat!(
        "SELECT id, expires_at <= ? AND (lease = 0 OR due_at <= ?), subscription, attempts, trail FROM wakeups",
        " WHERE id > ? ORDER BY id LIMIT ?"
    ));
    let now = sweep.now.as_ms();
    let rows = tables.all(select.bind(now).bind(now).bind(after).bind(limit)).await?;
    let (mut last, mut old) = (0, Vec::new());
    for row in &rows {
        last = number(row, 0)?;
        if flag(row, 1)? {
            old.push(last);
        }
    }
    let at_the_end = i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit;
    tables.engine.swept_until.store(if at_the_end { 0 } else { last }, Ordering::Relaxed);
    let ids = padded(old);
    if ids.is_empty() {
        return Ok(0);
    }
    let sql = concat!(
        "SELECT id, subscription, attempts, trail FROM wakeups WHERE expires_at <= ?",
        " AND (lease = 0 OR due_at <= ?) AND id IN ({}) FOR UPDATE SKIP LOCKED"
    );
    let mut select = query(listing(sql, "?", ids.len())).bind(now).bind(now);
    for id in ids {
        select = select.bind(id);
    }
    let (mut ended, mut expired) = (Vec::new(), Vec::new());
    for row in tables.all(select).await? {
        let subscription = optional_array(&row, 1)?.map(SubscriptionId::from_bytes);
        let attempts = u32::try_from(number(&row, 2)?).unwrap_or(u32::MAX);
        let trail = optional_number(&row, 3)?;
        expired.push((subscription, attempts, trail));
        ended.push(Ended { id: number(&row, 0)?, trail, how: Settled::Expired });
    }
    note_expired(tables, &expired).await?;
    end_all(tables, &ended).await?;
    Ok(ended.len() as u64)
}
