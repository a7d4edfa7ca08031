//! Wake-ups that nothing has caused: sealed devices on their beat, and decoys.

use reveille_model::limits::EXPAND_MAX;
use reveille_model::{Mixed, SubscriptionId, Timestamp};
use reveille_store::tables::Kind;

use crate::codec::{bytes, flag, number, subscription_id, time};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::outbox::gather;
use crate::rows::{listing, padded};
use crate::statement::query;

/// How often a device is drawn anew where the one drawn is none.
const DRAWS_MAX: u32 = 64;

/// Gathers some sealed devices. Returns whether the beat is over.
pub(super) async fn beat(
    tables: &mut Tables<'_>,
    (beat, window_end): (Timestamp, Timestamp),
) -> Done<bool> {
    // One node after the other, each with the next devices.
    let state =
        query("SELECT beat_at, IF(beat_under_way = ?, beat_after, '') FROM state FOR UPDATE");
    let state = tables.one(state.bind(beat.as_ms())).await?.ok_or_else(corrupt)?;
    let (last, after) = (time(&state, 0)?, bytes(&state, 1)?);
    if last >= beat || tables.pass_gate().await?.closed_until >= window_end {
        return Ok(true);
    }
    let select = query(
        "SELECT id, set_id FROM subscriptions WHERE on_beat = 1 AND id > ? ORDER BY id LIMIT ?",
    );
    let limit = i64::try_from(EXPAND_MAX).unwrap_or(i64::MAX);
    let rows = tables.all(select.bind(after).bind(limit)).await?;
    let is_over = rows.len() < EXPAND_MAX;
    let (mut due, mut found) = (Vec::new(), Vec::with_capacity(rows.len()));
    for row in &rows {
        let id = subscription_id(row, 0)?;
        found.push(id);
        if tables.mixed(Kind { set_id: number(row, 1)?, is_sealed: true }) == Mixed::Sealed {
            due.push(id);
        }
    }
    gather(tables, window_end, &due).await?;
    unseal(tables, &found).await?;
    // While it is under way the one before stays the last.
    let (beat_at, after) = match found.last() {
        Some(id) if !is_over => (last, id.as_bytes().to_vec()),
        _ => (beat, Vec::new()),
    };
    let update = query("UPDATE state SET beat_at = ?, beat_after = ?, beat_under_way = ?");
    tables.execute(update.bind(beat_at.as_ms()).bind(after).bind(beat.as_ms())).await?;
    Ok(is_over)
}

/// Those who are sealed no longer have had their last beat.
async fn unseal(tables: &mut Tables<'_>, ids: &[SubscriptionId]) -> Done<()> {
    let ids = padded(ids.iter().copied());
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "SELECT user_name FROM subscriptions WHERE unsealing AND id IN ({}) FOR UPDATE";
    let mut select = query(listing(sql, "?", ids.len()));
    for id in &ids {
        select = select.bind(id.as_bytes().as_slice());
    }
    for row in tables.all(select).await? {
        tables.has_changed(&crate::codec::user(&row, 0)?);
    }
    let sql = "UPDATE subscriptions SET unsealing = 0 WHERE unsealing AND id IN ({})";
    let mut update = query(listing(sql, "?", ids.len()));
    for id in &ids {
        update = update.bind(id.as_bytes().as_slice());
    }
    tables.execute(update).await.map(drop)
}

/// Gathers a device for each number, if there is one.
pub(super) async fn noops(
    tables: &mut Tables<'_>,
    (window_end, draws): &(Timestamp, Vec<u64>),
) -> Done<u64> {
    if tables.pass_gate().await?.closed_until >= *window_end {
        return Ok(0);
    }
    let places = query("SELECT COALESCE(MAX(place), 0) FROM subscriptions");
    let places = number(&tables.one(places).await?.ok_or_else(corrupt)?, 0)?;
    let mut drawn = Vec::new();
    for draw in draws {
        drawn.extend(draw_device(tables, places, *draw).await?);
    }
    // A device that was drawn twice is woken once, and counts twice.
    for part in split(&drawn) {
        gather(tables, *window_end, &part).await?;
    }
    Ok(drawn.len() as u64)
}

/// Lists in none of which a device is twice.
fn split(drawn: &[SubscriptionId]) -> Vec<Vec<SubscriptionId>> {
    let mut parts: Vec<Vec<SubscriptionId>> = Vec::new();
    for id in drawn {
        match parts.iter_mut().find(|part| !part.contains(id)) {
            Some(part) => part.push(*id),
            None => parts.push(vec![*id]),
        }
    }
    parts
}

/// A silent device that is woken for its user alone, every one as likely as any other: whoever is drawn and is none is drawn anew.
async fn draw_device(
    tables: &mut Tables<'_>,
    places: i64,
    mut draw: u64,
) -> Done<Option<SubscriptionId>> {
    for _ in 0..DRAWS_MAX {
        let Some(place) = draw.checked_rem(places.unsigned_abs()) else { return Ok(None) };
        let select = query("SELECT id, set_id, on_beat FROM subscriptions WHERE place = ?");
        if let Some(row) = tables.one(select.bind(place.cast_signed() + 1)).await? {
            let kind = Kind { set_id: number(&row, 1)?, is_sealed: flag(&row, 2)? };
            let mixing = tables.mixing();
            let is_silent = mixing.is_some_and(|mixing| mixing.kinds.silent.contains(&kind.set_id));
            if is_silent && tables.mixed(kind) == Mixed::Batch {
                return Ok(Some(subscription_id(&row, 0)?));
            }
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
