//! What concerns a user as a whole, in `MariaDB`.

use async_trait::async_trait;
use reveille_model::{DryRun, MessageType, Mixed, Settled, SubscriptionId, User};
use reveille_store::tables::{Kind, pack_numbers, pack_texts, unpack_texts};
use reveille_store::{StoreError, Users, WakeupKey};
use sqlx::AssertSqlSafe;

use crate::MariaDbStore;
use crate::codec::{bytes, flag, number, subscription_id};
use crate::engine::Tables;
use crate::error::Done;
use crate::outbox::{Ended, end_all, first_place, place, unschedule, waiting_of};
use crate::rows::{chunks, listing, padded};
use crate::statement::query;

/// How often what is scheduled for a user is looked for.
const LOOKS_MAX: u32 = 5;

#[async_trait]
impl Users for MariaDbStore {
    async fn fetched(
        &self,
        user: &User,
        message_types: Vec<MessageType>,
    ) -> Result<u64, StoreError> {
        let what = (user.clone(), message_types);
        self.engine
            .write(&what, |tables, (user, types)| Box::pin(cancel(tables, user, types)))
            .await
    }

    async fn erase(&self, user: &User, message_types: Vec<MessageType>) -> Result<(), StoreError> {
        for _ in 0..LOOKS_MAX {
            let scheduled = self.scheduled_for(user).await?;
            let is_done = scheduled.is_empty();
            let what = (user.clone(), message_types.clone(), scheduled);
            self.engine.write(&what, |tables, what| Box::pin(erase(tables, what))).await?;
            // Something may have been scheduled for them meanwhile.
            if is_done {
                break;
            }
        }
        Ok(())
    }
}

impl MariaDbStore {
    /// The scheduled notifications that name a user. Looked through outside of any transaction, so that intake does not wait.
    async fn scheduled_for(&self, user: &User) -> Result<Vec<i64>, StoreError> {
        let packed = pack_texts(std::iter::once(user.expose()));
        let found = async {
            let select = query(
                "SELECT trail FROM scheduled WHERE audience_kind = 0 AND LOCATE(?, audience) > 0",
            );
            let rows = select.bind(packed).fetch_all(&self.engine.pool).await?;
            let mut found = Vec::with_capacity(rows.len());
            for row in &rows {
                found.push(number(row, 0)?);
            }
            Done::Ok(found)
        };
        Ok(found.await?)
    }
}

/// Cancels what waits for a user's devices.
async fn cancel(tables: &mut Tables<'_>, user: &User, message_types: &[MessageType]) -> Done<u64> {
    let select = query("SELECT id, set_id, on_beat FROM subscriptions WHERE user_name = ?");
    let rows = tables.all(select.bind(user.expose().as_bytes())).await?;
    let mut devices: Vec<SubscriptionId> = Vec::new();
    for row in &rows {
        let kind = Kind { set_id: number(row, 1)?, is_sealed: flag(row, 2)? };
        // Nothing else is ever cancelled: it would tell who has looked.
        if tables.mixed(kind) == Mixed::Batch {
            devices.push(subscription_id(row, 0)?);
        }
    }
    if devices.is_empty() {
        return Ok(0);
    }
    note_fetched(tables, &devices).await?;
    let mut keys = Vec::new();
    for device in devices {
        for message_type in message_types {
            for dry_run in [DryRun::No, DryRun::Yes] {
                keys.push(WakeupKey::for_subscription(device, message_type, dry_run));
            }
        }
    }
    end_waiting(tables, &keys).await
}

/// What was gathered before this moment is not for these devices any more: up to the last row of each lane that has any.
async fn note_fetched(tables: &mut Tables<'_>, devices: &[SubscriptionId]) -> Done<()> {
    // One statement sees all lanes at one moment.
    let rows = tables.all(query("SELECT id, number FROM lanes WHERE number > 0")).await?;
    let mut until = Vec::with_capacity(rows.len());
    for row in &rows {
        until.push(place(number(row, 0)?, number(row, 1)?));
    }
    let until = with_rows(tables, until).await?;
    let packed = pack_numbers(until.into_iter());
    let ids = padded(devices.iter().copied());
    let sql = "UPDATE subscriptions SET fetched = ? WHERE id IN ({})";
    let mut update = query(listing(sql, "?", ids.len())).bind(packed);
    for id in &ids {
        update = update.bind(id.as_bytes().as_slice());
    }
    tables.execute(update).await.map(drop)
}

/// Those of the last places of lanes that have rows. Asked in constants: what is asked of each row of another table reads all of this one.
async fn with_rows(tables: &mut Tables<'_>, until: Vec<i64>) -> Done<Vec<i64>> {
    let mut found = Vec::with_capacity(until.len());
    for part in chunks(&until) {
        let one = "(SELECT ? FROM gathered WHERE place BETWEEN ? AND ? LIMIT 1)";
        let all = vec![one; part.len()].join(" UNION ALL ");
        let mut select = query(AssertSqlSafe(all));
        for last in part {
            select = select.bind(last).bind(first_place(*last)).bind(last);
        }
        for row in &tables.all(select).await? {
            found.push(number(row, 0)?);
        }
    }
    Ok(found)
}

/// Cancels the wake-ups that wait under these keys; returns how many there were.
pub(crate) async fn end_waiting(tables: &mut Tables<'_>, keys: &[WakeupKey]) -> Done<u64> {
    let waiting = waiting_of(tables, keys).await?;
    let how = Settled::Cancelled;
    let ended: Vec<Ended> =
        waiting.iter().map(|(id, trail)| Ended { id: *id, trail: *trail, how }).collect();
    end_all(tables, &ended).await?;
    Ok(ended.len() as u64)
}

async fn erase(
    tables: &mut Tables<'_>,
    (user, message_types, scheduled): &(User, Vec<MessageType>, Vec<i64>),
) -> Done<()> {
    cancel(tables, user, message_types).await?;
    tables.delete_subscriptions(user, None).await?;
    let name = user.expose().as_bytes();
    let unproven = query("DELETE FROM unproven WHERE user_name = ? RETURNING id").bind(name);
    for row in tables.all(unproven).await? {
        tables.end_proof(subscription_id(&row, 0)?).await?;
    }
    for sql in [
        "DELETE FROM preferences WHERE user_name = ?",
        "DELETE FROM deaths WHERE user_name = ?",
        "DELETE FROM inbox WHERE user_name = ?",
        "DELETE FROM seen WHERE user_name = ?",
    ] {
        tables.execute(query(sql).bind(name)).await?;
    }
    tables.forget_member(user).await?;
    tables.forget_counters(user).await?;
    for seq in scheduled {
        take_out(tables, user, *seq).await?;
    }
    Ok(())
}

/// Takes a user out of those whom a scheduled notification names.
async fn take_out(tables: &mut Tables<'_>, user: &User, seq: i64) -> Done<()> {
    let select = query(
        "SELECT audience, named FROM scheduled WHERE trail = ? AND audience_kind = 0 FOR UPDATE",
    );
    // It may have fallen due since, and is gone.
    let Some(row) = tables.one(select.bind(seq)).await? else { return Ok(()) };
    let packed = bytes(&row, 0)?;
    let named = unpack_texts(&packed).unwrap_or_default();
    let left: Vec<&str> = named.iter().copied().filter(|each| *each != user.expose()).collect();
    if left.is_empty() {
        // What was to be said to them, too.
        return unschedule(tables, seq).await.map(drop);
    }
    let update = query("UPDATE scheduled SET audience = ?, named = ? WHERE trail = ?");
    let count = i64::try_from(left.len()).unwrap_or(i64::MAX);
    tables.count_scheduled(0, count - number(&row, 1)?);
    let update = update.bind(pack_texts(left.iter().copied())).bind(count).bind(seq);
    tables.execute(update).await.map(drop)
}
