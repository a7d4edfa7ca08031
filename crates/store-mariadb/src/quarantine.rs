//! Quarantine in `MariaDB`.

use async_trait::async_trait;
use reveille_model::limits::QUARANTINE_PAGE_MAX;
use reveille_model::{Settled, SubscriptionId, Timestamp};
use reveille_store::{
    Destination, Quarantine, QuarantineId, Quarantined, SettleReport, StoreError, TokenKey, Which,
};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlRow;

use crate::MariaDbStore;
use crate::codec::{
    Read, array, count, credential_set, number, optional_array, optional_number, text, time, topic,
};
use crate::engine::Tables;
use crate::error::{Done, Failed, corrupt};
use crate::outbox::{Ended, end_all};
use crate::statement::query;

#[async_trait]
impl Quarantine for MariaDbStore {
    async fn quarantined(
        &self,
        after: Option<QuarantineId>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        Ok(list(&self.engine.pool, after, limit).await?)
    }

    async fn quarantined_count(&self) -> Result<u64, StoreError> {
        let row = query("SELECT COUNT(*) FROM suspects WHERE next_try IS NOT NULL");
        let row = row.fetch_one(&self.engine.pool).await.map_err(Failed::from)?;
        Ok(count(&row, 0).map_err(Failed::from)?)
    }

    async fn release(&self, which: Which, now: Timestamp) -> Result<u64, StoreError> {
        let what = (which, now);
        self.engine
            .write(&what, |tables, (which, now)| {
                Box::pin(async move {
                    let keys = find(tables, which).await?;
                    for key in &keys {
                        tables.release_one(*key, *now).await?;
                    }
                    Ok(keys.len() as u64)
                })
            })
            .await
    }

    async fn drop_quarantined(
        &self,
        which: Which,
        tell: Vec<Destination>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let what = (which, tell, now);
        self.engine
            .write(&what, |tables, (which, tell, now)| {
                Box::pin(async move {
                    let keys = find(tables, which).await?;
                    for key in &keys {
                        drop_one(tables, *key, tell, *now).await?;
                    }
                    Ok(keys.len() as u64)
                })
            })
            .await
    }
}

async fn list(
    pool: &MySqlPool,
    after: Option<QuarantineId>,
    limit: usize,
) -> Done<Vec<Quarantined>> {
    let after = after.map_or(Vec::new(), |id| id.0.0.to_vec());
    let select = query(concat!(
        "SELECT q.token_key, c.name, q.topic, q.subscription, q.reason, q.since, q.verdicts, q.next_try",
        " FROM suspects q JOIN credential_sets c ON c.id = q.set_id",
        " WHERE q.token_key > ? AND q.next_try IS NOT NULL ORDER BY q.token_key LIMIT ?"
    ));
    let limit = i64::try_from(limit.min(QUARANTINE_PAGE_MAX)).unwrap_or(i64::MAX);
    let rows = select.bind(after).bind(limit).fetch_all(pool).await?;
    Ok(rows.iter().map(read).collect::<Read<_>>()?)
}

fn read(row: &MySqlRow) -> Read<Quarantined> {
    Ok(Quarantined {
        id: QuarantineId(TokenKey(array(row, 0)?)),
        set: credential_set(row, 1)?,
        topic: topic(row, 2)?,
        subscription: optional_array(row, 3)?.map(SubscriptionId::from_bytes),
        reason: text(row, 4)?,
        since: time(row, 5)?,
        verdicts: u32::try_from(number(row, 6)?).unwrap_or(u32::MAX),
        next_try: time(row, 7)?,
    })
}

/// Those that are meant. They stay in quarantine until the transaction is over.
async fn find(tables: &mut Tables<'_>, which: &Which) -> Done<Vec<TokenKey>> {
    let (key, set_id) = match which {
        Which::One(id) => (Some(id.0.0.to_vec()), None),
        Which::Set(set) => (None, Some(tables.set_id(set).await?)),
        Which::All => (None, None),
    };
    let select = query(concat!(
        "SELECT token_key FROM suspects WHERE next_try IS NOT NULL AND (? IS NULL OR token_key = ?)",
        " AND (? IS NULL OR set_id = ?) ORDER BY token_key LIMIT ? FOR UPDATE"
    ));
    let limit = i64::try_from(QUARANTINE_PAGE_MAX).unwrap_or(i64::MAX);
    let select = select.bind(key.clone()).bind(key).bind(set_id).bind(set_id).bind(limit);
    let rows = tables.all(select).await?;
    Ok(rows.iter().map(|row| array(row, 0).map(TokenKey)).collect::<Read<_>>()?)
}

async fn drop_one(
    tables: &mut Tables<'_>,
    key: TokenKey,
    tell: &[Destination],
    now: Timestamp,
) -> Done<()> {
    let held = query(concat!(
        "SELECT w.id, w.trail FROM held_wakeups h JOIN wakeups w ON w.id = h.wakeup",
        " WHERE h.token_key = ? AND w.held = h.token_key AND w.lease = 0 FOR UPDATE"
    ));
    let mut ended = Vec::new();
    for row in tables.all(held.bind(key.0.to_vec())).await? {
        let (id, trail) = (number(&row, 0)?, optional_number(&row, 1)?);
        ended.push(Ended { id, trail, how: Settled::Dead });
    }
    let select = query("SELECT reason FROM suspects WHERE token_key = ?").bind(key.0.to_vec());
    let reason = text(&tables.one(select).await?.ok_or_else(corrupt)?, 0)?;
    match tables.quarantined_suspect(key).await? {
        Some(dead) => {
            tables.bury(&dead, &reason, (tell, now), &mut SettleReport::default()).await?;
        }
        None => tables.forget_suspect(key).await?,
    }
    end_all(tables, &ended).await
}
