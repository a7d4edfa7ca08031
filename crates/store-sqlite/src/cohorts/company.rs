//! Wake-ups that nothing has caused: sealed devices on their beat, and decoys.

use reveille_model::limits::EXPAND_MAX;
use reveille_model::{Mixed, SubscriptionId, Timestamp};
use reveille_store::tables::{Change, Kind};
use rusqlite::{OptionalExtension as _, params};

use crate::codec::subscription_id;
use crate::engine::Tables;

/// How often a device is drawn anew where the one drawn is none.
const DRAWS_MAX: u32 = 64;
/// Devices in one gathered row.
const ROW_MAX: usize = 200;

/// Gathers some sealed devices. Returns whether the beat is over.
pub(super) fn beat(
    tables: &mut Tables,
    beat: Timestamp,
    window_end: Timestamp,
) -> rusqlite::Result<bool> {
    let (last, after): (i64, Vec<u8>) = tables
        .connection
        .prepare_cached(
            "SELECT beat_at, CASE beat_under_way WHEN ?1 THEN beat_after ELSE x'' END FROM state",
        )?
        .query_row([beat.as_ms()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if last >= beat.as_ms() || tables.closed_until >= window_end.as_ms() {
        return Ok(true);
    }
    let found: Vec<(SubscriptionId, i64)> = tables
        .connection
        .prepare_cached(concat!(
            "SELECT id, set_id FROM subscriptions WHERE sealed + unsealing > 0 AND id > ?1",
            " ORDER BY id LIMIT ?2"
        ))?
        .query_map(params![after, EXPAND_MAX], |row| Ok((subscription_id(row, 0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let is_over = found.len() < EXPAND_MAX;
    let due: Vec<SubscriptionId> = found
        .iter()
        .filter(|(_, set_id)| {
            tables.mixed(Kind { set_id: *set_id, is_sealed: true }) == Mixed::Sealed
        })
        .map(|(id, _)| *id)
        .collect();
    gather(tables, window_end, &due)?;
    let mut unseal = tables
        .connection
        .prepare_cached("UPDATE subscriptions SET unsealing = 0 WHERE id = ?1 AND unsealing")?;
    for (id, _) in &found {
        unseal.execute([id.as_bytes()])?;
    }
    // While it is under way the one before stays the last.
    let (beat_at, after) = match found.last() {
        Some((id, _)) if !is_over => (last, id.as_bytes().to_vec()),
        _ => (beat.as_ms(), Vec::new()),
    };
    tables
        .connection
        .prepare_cached("UPDATE state SET beat_at = ?1, beat_after = ?2, beat_under_way = ?3")?
        .execute(params![beat_at, after, beat.as_ms()])?;
    Ok(is_over)
}

/// Gathers a device for each number, if there is one.
pub(super) fn noops(
    tables: &mut Tables,
    window_end: Timestamp,
    draws: &[u64],
) -> rusqlite::Result<u64> {
    if tables.closed_until >= window_end.as_ms() {
        return Ok(0);
    }
    let rows: i64 = tables
        .connection
        .prepare_cached("SELECT COALESCE(MAX(rowid), 0) FROM subscriptions")?
        .query_row([], |row| row.get(0))?;
    let mut drawn = Vec::new();
    for draw in draws {
        drawn.extend(draw_device(tables, rows.unsigned_abs(), *draw)?);
    }
    gather(tables, window_end, &drawn)?;
    Ok(drawn.len() as u64)
}

/// A silent device that is woken for its user alone, every one as likely as any other.
fn draw_device(
    tables: &Tables,
    rows: u64,
    mut draw: u64,
) -> rusqlite::Result<Option<SubscriptionId>> {
    let mut select = tables.connection.prepare_cached(
        "SELECT id, set_id, sealed + unsealing FROM subscriptions WHERE rowid = ?1",
    )?;
    for _ in 0..DRAWS_MAX {
        let Some(place) = draw.checked_rem(rows) else { return Ok(None) };
        let found: Option<(SubscriptionId, i64, bool)> = select
            .query_row([(place + 1).cast_signed()], |row| {
                Ok((subscription_id(row, 0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        if let Some((id, set_id, is_sealed)) = found
            && tables.mixing.as_ref().is_some_and(|mixing| mixing.kinds.silent.contains(&set_id))
            && tables.mixed(Kind { set_id, is_sealed }) == Mixed::Batch
        {
            return Ok(Some(id));
        }
        draw = again(draw);
    }
    Ok(None)
}

/// Another number where the first leads nowhere (the finalizer of `SplitMix64`).
fn again(draw: u64) -> u64 {
    let mut next = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    next ^ (next >> 31)
}

/// Lets devices join a window though nothing has happened to their users.
pub(super) fn gather(
    tables: &mut Tables,
    window_end: Timestamp,
    ids: &[SubscriptionId],
) -> rusqlite::Result<()> {
    let Some(company) = tables.mixing.as_ref().map(|mixing| mixing.kinds.company.clone()) else {
        return Ok(());
    };
    for chunk in ids.chunks(ROW_MAX) {
        tables.gather(None, &company, window_end, chunk)?;
    }
    tables.count(None, Change::accepted(i64::try_from(ids.len()).unwrap_or(i64::MAX)))
}
