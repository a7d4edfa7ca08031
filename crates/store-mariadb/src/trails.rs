//! Trails in `MariaDB`.

use async_trait::async_trait;
use reveille_model::NotificationId;
use reveille_store::{StoreError, TakeBack, Trail, Trails};
use sqlx::MySqlPool;

use crate::MariaDbStore;
use crate::codec::{count, flag, number, optional_time, read_ledger};
use crate::engine::Tables;
use crate::error::Done;
use crate::outbox::unschedule;
use crate::statement::query;

#[async_trait]
impl Trails for MariaDbStore {
    async fn find(&self, id: NotificationId) -> Result<Option<Trail>, StoreError> {
        Ok(find(&self.engine.pool, id).await?)
    }

    async fn take_back(&self, id: NotificationId) -> Result<TakeBack, StoreError> {
        self.engine.write(&id, |tables, id| Box::pin(take_back(tables, *id))).await
    }
}

async fn find(pool: &MySqlPool, id: NotificationId) -> Done<Option<Trail>> {
    let select = query(concat!(
        "SELECT CAST(COALESCE(SUM(c.accepted), 0) AS SIGNED), CAST(COALESCE(SUM(c.waiting), 0) AS SIGNED),",
        " CAST(COALESCE(SUM(c.collapsed), 0) AS SIGNED), CAST(COALESCE(SUM(c.settled_sent), 0) AS SIGNED),",
        " CAST(COALESCE(SUM(c.settled_dead), 0) AS SIGNED), CAST(COALESCE(SUM(c.settled_expired), 0) AS SIGNED),",
        " CAST(COALESCE(SUM(c.settled_cancelled), 0) AS SIGNED),",
        " CAST(COALESCE(SUM(c.settled_payload_error), 0) AS SIGNED),",
        " CAST(COALESCE(SUM(c.settled_dry_run), 0) AS SIGNED), CAST(COALESCE(SUM(c.settled_limited), 0) AS SIGNED),",
        " t.window_end, t.deliver_after, t.taken_back, t.cohorts,",
        " COALESCE(t.window_end <= (SELECT expanded_until FROM state), 0)",
        " FROM trails t LEFT JOIN trail_counts c ON c.trail = t.seq WHERE t.id = ? GROUP BY t.seq"
    ));
    let row = select.bind(id.as_bytes().as_slice()).fetch_optional(pool).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Trail {
        id,
        window_end: optional_time(&row, 10)?,
        deliver_after: optional_time(&row, 11)?,
        taken_back: flag(&row, 12)?,
        cohorts: count(&row, 13)?,
        has_left: flag(&row, 14)?,
        ledger: read_ledger(&row, 0)?,
    }))
}

async fn take_back(tables: &mut Tables<'_>, id: NotificationId) -> Done<TakeBack> {
    let select = query("SELECT seq, taken_back FROM trails WHERE id = ? FOR UPDATE");
    let Some(row) = tables.one(select.bind(id.as_bytes().as_slice())).await? else {
        return Ok(TakeBack::Unknown);
    };
    let seq = number(&row, 0)?;
    if flag(&row, 1)? {
        return Ok(TakeBack::Taken);
    }
    if !unschedule(tables, seq).await? {
        return Ok(TakeBack::TooLate);
    }
    tables.execute(query("UPDATE trails SET taken_back = 1 WHERE seq = ?").bind(seq)).await?;
    Ok(TakeBack::Taken)
}
