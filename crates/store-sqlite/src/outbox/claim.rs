//! Taking wake-ups for a while.

use reveille_model::limits::CLAIM_MAX;
use reveille_model::{Settled, Timestamp, Token, Topic, WakeupId};
use reveille_store::{Claim, Claimed, Device};
use rusqlite::{Row, params};

use super::settle::{Return, end, return_to_waiting};
use crate::codec::{dry_run, message_type, subscription_id, time, token, topic};
use crate::engine::Tables;

/// A due wake-up, read.
struct Due {
    id: i64,
    lease: i64,
    was_due_at: Timestamp,
    trail: Option<i64>,
    /// Nothing where its subscription is gone.
    address: Option<(Token, Option<Topic>, Option<Device>)>,
    rest: Rest,
}

struct Rest {
    message_type: reveille_model::MessageType,
    dry_run: reveille_model::DryRun,
    attempts: u32,
    window_end: Timestamp,
    expires_at: Timestamp,
    sort_key: i64,
}

pub(super) fn claim(tables: &mut Tables, claim: &Claim) -> rusqlite::Result<Vec<Claimed>> {
    // Leases that ran out first: where a newer one waits they join that, which may prolong it, instead of being sent beside it.
    let mut has_joined = false;
    let mut waiting = find_due(tables, claim)?;
    for due in waiting.iter().filter(|due| due.lease != 0) {
        let back = Return { id: due.id, lease: due.lease, due_at: due.was_due_at, attempts: 0 };
        has_joined |= return_to_waiting(tables, back)? != Some(false);
    }
    if has_joined {
        waiting = find_due(tables, claim)?;
    }
    let mut claimed = Vec::with_capacity(waiting.len());
    for due in waiting {
        if due.rest.expires_at <= claim.now {
            end(tables, due.id, due.trail, Settled::Expired)?;
            continue;
        }
        let Some((token, topic, device)) = due.address else {
            end(tables, due.id, due.trail, Settled::Cancelled)?;
            continue;
        };
        if let Some((held, until)) = tables.try_held(&claim.set, &token, claim)? {
            tables
                .connection
                .prepare_cached("UPDATE wakeups SET held = ?2, due_at = ?3 WHERE id = ?1")?
                .execute(params![due.id, held.0, until.as_ms()])?;
            continue;
        }
        tables
            .connection
            .prepare_cached(
                "UPDATE wakeups SET lease = ?2, due_at = ?3, held = NULL WHERE id = ?1",
            )?
            .execute([due.id, claim.lease.as_i64(), claim.lease_until.as_ms()])?;
        claimed.push(Claimed {
            id: WakeupId(due.id),
            lease: claim.lease,
            token,
            topic,
            message_type: due.rest.message_type,
            dry_run: due.rest.dry_run,
            attempts: due.rest.attempts,
            window_end: due.rest.window_end,
            expires_at: due.rest.expires_at,
            sort_key: due.rest.sort_key,
            device,
        });
    }
    Ok(claimed)
}

fn find_due(tables: &mut Tables, claim: &Claim) -> rusqlite::Result<Vec<Due>> {
    let set_id = tables.set_id(&claim.set)?;
    let is_expanded = tables.expanded_until >= tables.closed_until;
    let due_max =
        if is_expanded { claim.now.as_ms() } else { tables.expanded_until.min(claim.now.as_ms()) };
    let mut select = tables.connection.prepare_cached(concat!(
        "SELECT w.id, w.lease, w.due_at, w.trail, w.message_type, w.dry_run, w.attempts, w.window_end,",
        " w.expires_at, w.subscription, w.topic, w.token, s.topic, s.token, s.generation, w.sort_key",
        " FROM wakeups w LEFT JOIN subscriptions s ON s.id = w.subscription",
        " WHERE w.set_id = ?1 AND w.due_at <= ?2 ORDER BY w.due_at, w.sort_key LIMIT ?3"
    ))?;
    let rows = select
        .query_map(params![set_id, due_max, claim.limit.min(CLAIM_MAX)], |row| read(row, claim))?;
    rows.collect()
}

fn read(row: &Row<'_>, claim: &Claim) -> rusqlite::Result<Due> {
    let provider = claim.set.provider();
    let is_registered = row.get_ref(9)?.as_blob_or_null()?.is_some();
    let address = if !is_registered {
        Some((token(row, 11, provider)?, topic(row, 10)?, None))
    } else if let Some(generation) = row.get(14)? {
        let device = Device { subscription: subscription_id(row, 9)?, generation };
        Some((token(row, 13, provider)?, topic(row, 12)?, Some(device)))
    } else {
        None
    };
    Ok(Due {
        id: row.get(0)?,
        lease: row.get(1)?,
        was_due_at: time(row, 2)?,
        trail: row.get(3)?,
        address,
        rest: Rest {
            message_type: message_type(row, 4)?,
            dry_run: dry_run(row, 5)?,
            attempts: row.get(6)?,
            window_end: time(row, 7)?,
            expires_at: time(row, 8)?,
            sort_key: row.get(15)?,
        },
    })
}
