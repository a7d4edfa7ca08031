//! Taking wake-ups for a while. Nothing is written for it, unless a quarantined device is tried: what is in flight is known in memory.

use reveille_model::limits::CLAIM_MAX;
use reveille_model::{Nonce, Settled, Timestamp, Token, Topic, WakeupId};
use reveille_store::{Claim, Claimed, Device, WakeupKey};
use reveille_vault::Vault;
use rusqlite::{OptionalExtension as _, Row, params};

use super::settle::{Return, end, expire, return_to_waiting};
use super::waiting::head;
use crate::codec::{dry_run, message_type, subscription_id, time, token, topic};
use crate::engine::{Lease, Tables};
use crate::suspects::Held;

/// A due wake-up, read.
struct Due {
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
    held: Option<[u8; 16]>,
    head: u64,
    trail: Option<i64>,
    nonce: Option<Nonce>,
}

pub(super) fn claim(tables: &mut Tables, claim: &Claim) -> rusqlite::Result<Vec<Claimed>> {
    let set_id = tables.set_id(&claim.set)?;
    // Leases that ran out first: where a newer one waits they join that, which may prolong it, instead of being sent beside it.
    take_back(tables, set_id, claim.now)?;
    let (due, cursor) = find_due(tables, set_id, claim)?;
    let mut claimed = Vec::with_capacity(due.len());
    for id in due {
        let Some(due) = find(tables, id, claim)? else { continue };
        if due.rest.expires_at <= claim.now {
            expire(tables, id)?;
            continue;
        }
        let Some((token, topic, device)) = due.address else {
            end(tables, id, Settled::Cancelled)?;
            continue;
        };
        // A push that asks for a proof is no try of whoever else has the token.
        let held = match due.rest.nonce {
            Some(_) => Held::Not,
            None => tables.try_held(&claim.set, &token, claim)?,
        };
        let tries = match held {
            Held::Not => None,
            Held::Try(key) => Some(key),
            Held::Until(key, until) => {
                tables
                    .connection
                    .prepare_cached("UPDATE wakeups SET held = ?2, due_at = ?3 WHERE id = ?1")?
                    .execute(params![id, key.0, until.as_ms()])?;
                continue;
            }
        };
        if due.rest.held.is_some() {
            tables
                .connection
                .prepare_cached("UPDATE wakeups SET held = NULL WHERE id = ?1")?
                .execute([id])?;
        }
        let lease = Lease {
            id: claim.lease.as_i64(),
            until: claim.lease_until,
            set_id,
            head: due.rest.head,
            trail: due.rest.trail,
            tries,
        };
        tables.leases.insert(id, lease);
        claimed.push(Claimed {
            id: WakeupId(id),
            lease: claim.lease,
            token,
            topic,
            message_type: due.rest.message_type,
            dry_run: due.rest.dry_run,
            nonce: due.rest.nonce,
            attempts: due.rest.attempts,
            window_end: due.rest.window_end,
            expires_at: due.rest.expires_at,
            sort_key: due.rest.sort_key,
            device,
        });
    }
    if let Some(cursor) = cursor {
        tables.cursors.insert(set_id, cursor);
    }
    Ok(claimed)
}

/// Ends the leases of a set that ran out.
fn take_back(tables: &mut Tables, set_id: i64, now: Timestamp) -> rusqlite::Result<()> {
    let ran_out: Vec<(i64, i64)> = tables
        .leases
        .iter()
        .filter(|(_, lease)| lease.set_id == set_id && lease.until <= now)
        .map(|(id, lease)| (id, lease.id))
        .collect();
    for (id, lease) in ran_out {
        return_to_waiting(tables, Return { id, lease, due_at: None, attempts: 0 })?;
    }
    Ok(())
}

/// A place in the order of a credential set: due time and sort key.
type Place = (i64, i64);

/// What is due and not in flight, first those due first, and how far was looked.
fn find_due(
    tables: &Tables,
    set_id: i64,
    claim: &Claim,
) -> rusqlite::Result<(Vec<i64>, Option<Place>)> {
    let is_expanded = tables.expanded_until >= tables.closed_until;
    let due_max =
        if is_expanded { claim.now.as_ms() } else { tables.expanded_until.min(claim.now.as_ms()) };
    let (limit, mut due, mut last) = (claim.limit.min(CLAIM_MAX), Vec::new(), None);
    let mut select = tables.connection.prepare_cached(IN_ORDER)?;
    let (from_due, from_key) = cursor(tables, set_id);
    let mut rows = select.query(params![set_id, from_due, from_key, due_max])?;
    while due.len() < limit
        && let Some(row) = rows.next()?
    {
        let id = row.get(0)?;
        last = Some((row.get(1)?, row.get(2)?));
        if tables.leases.get(id).is_none() {
            due.push(id);
        }
    }
    Ok((due, last))
}

/// From the index alone.
const IN_ORDER: &str = concat!(
    "SELECT id, due_at, sort_key FROM wakeups WHERE set_id = ?1 AND (due_at, sort_key) >= (?2, ?3)",
    " AND due_at <= ?4 ORDER BY due_at, sort_key"
);

fn cursor(tables: &Tables, set_id: i64) -> Place {
    tables.cursors.get(&set_id).copied().unwrap_or((i64::MIN, i64::MIN))
}

/// When the next wake-up of a set is due, or a lease of one ends.
pub(super) fn next_due(
    tables: &mut Tables,
    set: &reveille_model::CredentialSet,
) -> rusqlite::Result<Option<Timestamp>> {
    let set_id = tables.set_id(set)?;
    let of_set = tables.leases.iter().filter(|(_, lease)| lease.set_id == set_id);
    let lease_ends = of_set.map(|(_, lease)| lease.until).min();
    let mut select = tables.connection.prepare_cached(IN_ORDER)?;
    let (from_due, from_key) = cursor(tables, set_id);
    let mut rows = select.query(params![set_id, from_due, from_key, i64::MAX])?;
    while let Some(row) = rows.next()? {
        if tables.leases.get(row.get(0)?).is_none() {
            let due = time(row, 1)?;
            return Ok(Some(lease_ends.map_or(due, |ends| ends.min(due))));
        }
    }
    Ok(lease_ends)
}

fn find(tables: &Tables, id: i64, claim: &Claim) -> rusqlite::Result<Option<Due>> {
    tables
        .connection
        .prepare_cached(concat!(
            "SELECT w.message_type, w.dry_run, w.attempts, w.window_end, w.expires_at,",
            " w.subscription, w.topic, w.token, s.topic, s.token, s.generation, w.sort_key, w.held, w.key, w.trail, w.nonce",
            " FROM wakeups w LEFT JOIN subscriptions s ON s.id = w.subscription WHERE w.id = ?1"
        ))?
        .query_row([id], |row| read(row, claim, &tables.vault))
        .optional()
}

fn read(row: &Row<'_>, claim: &Claim, vault: &Vault) -> rusqlite::Result<Due> {
    let opening = (claim.set.provider(), vault);
    let is_registered = row.get_ref(5)?.as_blob_or_null()?.is_some();
    let address = if !is_registered {
        Some((token(row, 7, opening)?, topic(row, 6)?, None))
    } else if let Some(generation) = row.get(10)? {
        let device = Device { subscription: subscription_id(row, 5)?, generation };
        Some((token(row, 9, opening)?, topic(row, 8)?, Some(device)))
    } else {
        None
    };
    Ok(Due {
        address,
        rest: Rest {
            message_type: message_type(row, 0)?,
            dry_run: dry_run(row, 1)?,
            attempts: row.get(2)?,
            window_end: time(row, 3)?,
            expires_at: time(row, 4)?,
            sort_key: row.get(11)?,
            held: row.get(12)?,
            head: head(WakeupKey(row.get(13)?)),
            trail: row.get(14)?,
            nonce: row.get::<_, Option<[u8; 16]>>(15)?.map(Nonce::from_bytes),
        },
    })
}
