//! What concerns a user as a whole, in SQLite.

use std::fs::File;

use async_trait::async_trait;
use reveille_model::{DryRun, MessageType, Mixed, Settled, SubscriptionId, User};
use reveille_store::tables::{Kind, pack_texts, unpack_texts};
use reveille_store::{StoreError, Users, WakeupKey};
use rusqlite::params;

use crate::SqliteStore;
use crate::codec::{store_error, subscription_id};
use crate::engine::{Rewrite, Tables};
use crate::outbox::{end, waiting_of};
use crate::residue::is_left;

/// How often what is scheduled for a user is looked for.
const LOOKS_MAX: u32 = 5;

#[async_trait]
impl Users for SqliteStore {
    async fn fetched(
        &self,
        user: &User,
        message_types: Vec<MessageType>,
    ) -> Result<u64, StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                cancel(tables, &user, &message_types).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn erase(&self, user: &User, message_types: Vec<MessageType>) -> Result<(), StoreError> {
        let mut scheduled = self.scheduled_for(user).await?;
        for _ in 0..LOOKS_MAX {
            let (of_writer, message_types) = (user.clone(), message_types.clone());
            self.write(move |tables| {
                cancel(tables, &of_writer, &message_types)?;
                erase(tables, &of_writer)?;
                for seq in scheduled {
                    take_out(tables, &of_writer, seq)?;
                }
                Ok(())
            })
            .await?;
            // Something may have been scheduled for them meanwhile.
            scheduled = self.scheduled_for(user).await?;
            if scheduled.is_empty() {
                break;
            }
        }
        // What was overwritten is still in the log, and in the file until the log is written back.
        self.writer.truncate_log(Rewrite::Log).await?;
        if self.is_left(user).await? {
            tracing::info!(
                "the database is written anew, to leave nothing of a user who was erased"
            );
            self.writer.truncate_log(Rewrite::Whole).await?;
        }
        Ok(())
    }
}

impl SqliteStore {
    /// Whether a copy of a user's name lies where nothing points to.
    async fn is_left(&self, user: &User) -> Result<bool, StoreError> {
        let unavailable = |what: String| StoreError::Unavailable(what);
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let file =
                    File::open(&self.path).map_err(|error| unavailable(error.to_string()))?;
                *self.file.get_or_init(|| Box::leak(Box::new(file)))
            }
        };
        let user = user.clone();
        let looked = tokio::task::spawn_blocking(move || is_left(file, user.expose())).await;
        looked
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))
    }

    /// The scheduled notifications that name a user. Looked through by a reader, so that intake does not wait.
    async fn scheduled_for(&self, user: &User) -> Result<Vec<i64>, StoreError> {
        let packed = pack_texts(std::iter::once(user.expose()));
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT trail FROM scheduled WHERE audience_kind = 0 AND instr(audience, ?1) > 0",
                    )
                    .and_then(|mut select| select.query_map([packed], |row| row.get(0))?.collect())
                    .map_err(|error| store_error(&error))
            })
            .await
    }
}

/// Cancels what waits for a user's devices.
fn cancel(
    tables: &mut Tables,
    user: &User,
    message_types: &[MessageType],
) -> rusqlite::Result<u64> {
    if tables.ledger.waiting == 0 {
        return Ok(0);
    }
    let until = tables.gathered_next - 1;
    let devices: Vec<(SubscriptionId, Kind)> = tables
        .connection
        .prepare_cached(
            "SELECT id, set_id, sealed + unsealing FROM subscriptions WHERE user_name = ?1",
        )?
        .query_map([user.expose()], |row| {
            let kind = Kind { set_id: row.get(1)?, is_sealed: row.get(2)? };
            Ok((subscription_id(row, 0)?, kind))
        })?
        .collect::<rusqlite::Result<_>>()?;
    // Nothing else is ever cancelled: it would tell who has looked.
    let devices: Vec<SubscriptionId> = devices
        .into_iter()
        .filter(|(_, kind)| tables.mixed(*kind) == Mixed::Batch)
        .map(|(id, _)| id)
        .collect();
    for device in &devices {
        tables
            .connection
            .prepare_cached("UPDATE subscriptions SET fetched_until = ?2 WHERE id = ?1")?
            .execute(params![device.as_bytes(), until])?;
    }
    if devices.is_empty() {
        return Ok(0);
    }
    tables.connection.prepare_cached("UPDATE state SET fetched_until = ?1")?.execute([until])?;
    let mut cancelled = 0;
    for device in devices {
        for message_type in message_types {
            for dry_run in [DryRun::No, DryRun::Yes] {
                let key = WakeupKey::for_subscription(device, message_type, dry_run);
                if let Some(id) = waiting_of(tables, key)? {
                    end(tables, id, Settled::Cancelled)?;
                    cancelled += 1;
                }
            }
        }
    }
    Ok(cancelled)
}

fn erase(tables: &mut Tables, user: &User) -> rusqlite::Result<()> {
    tables.delete_subscriptions(user, None)?;
    let unproven: Vec<SubscriptionId> = tables
        .connection
        .prepare_cached("DELETE FROM unproven WHERE user_name = ?1 RETURNING id")?
        .query_map([user.expose()], |row| subscription_id(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in unproven {
        tables.end_proof(id)?;
    }
    let execute = |sql: &str| tables.connection.prepare_cached(sql)?.execute([user.expose()]);
    let preferences = execute("DELETE FROM preferences WHERE user_name = ?1")?;
    let deaths = execute("DELETE FROM deaths WHERE user_name = ?1")?;
    execute("DELETE FROM inbox WHERE user_name = ?1")?;
    execute("DELETE FROM seen WHERE user_name = ?1")?;
    tables.preferences = tables.preferences.saturating_sub(preferences as u64);
    tables.deaths = tables.deaths.saturating_sub(deaths as u64);
    tables.forget_member(user)?;
    tables.forget_counters(user)
}

/// Takes a user out of those whom a scheduled notification names.
fn take_out(tables: &mut Tables, user: &User, seq: i64) -> rusqlite::Result<()> {
    let mut select = tables
        .connection
        .prepare_cached("SELECT audience FROM scheduled WHERE trail = ?1 AND audience_kind = 0")?;
    let mut rows = select.query([seq])?;
    // It may have fallen due since, and is gone.
    let Some(row) = rows.next()? else { return Ok(()) };
    let packed: Vec<u8> = row.get(0)?;
    let named = unpack_texts(&packed).unwrap_or_default();
    let left: Vec<&str> = named.iter().copied().filter(|each| *each != user.expose()).collect();
    if left.is_empty() {
        // What was to be said to them, too.
        tables
            .connection
            .prepare_cached("DELETE FROM scheduled WHERE trail = ?1")?
            .execute([seq])?;
    } else {
        tables
            .connection
            .prepare_cached("UPDATE scheduled SET audience = ?2, named = ?3 WHERE trail = ?1")?
            .execute(params![seq, pack_texts(left.iter().copied()), left.len()])?;
    }
    tables.scheduled = tables.scheduled.saturating_sub((named.len() - left.len()) as u64);
    Ok(())
}
