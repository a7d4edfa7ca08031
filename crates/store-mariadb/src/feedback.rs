//! Feedback in `MariaDB`.

use async_trait::async_trait;
use reveille_model::Timestamp;
use reveille_store::{Death, DeathId, Destination, Feedback, Owner, StoreError};
use reveille_vault::Vault;
use sqlx::MySqlPool;
use sqlx::mysql::MySqlRow;

use crate::MariaDbStore;
use crate::codec::{Read, count, credential_set, number, optional_time, text, time, token, topic};
use crate::error::{Done, Failed};
use crate::rows::{listing, padded};
use crate::statement::query;
use crate::suspects::owner;

#[async_trait]
impl Feedback for MariaDbStore {
    async fn untold(
        &self,
        to: Destination,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Death>, StoreError> {
        let untold = untold(&self.engine.pool, &self.engine.vault, (to, now), limit);
        Ok(self.engine.ask(untold).await?)
    }

    async fn next_untold(&self, to: Destination) -> Result<Option<Timestamp>, StoreError> {
        // The oldest untold death of each token.
        let select = query(concat!(
            "SELECT d.due_at FROM deaths d WHERE d.destination = ? AND NOT EXISTS",
            " (SELECT 1 FROM deaths e WHERE e.token_key = d.token_key AND e.destination = d.destination AND e.id < d.id)",
            " ORDER BY d.due_at LIMIT 1"
        ));
        let select = select.bind(to.as_str().as_bytes());
        let row = self.engine.ask(select.fetch_optional(&self.engine.pool)).await?;
        Ok(row.map(|row| time(&row, 0)).transpose().map_err(Failed::from)?)
    }

    async fn told(&self, ids: Vec<DeathId>) -> Result<(), StoreError> {
        let ids = padded(ids.into_iter().map(|id| id.0));
        if ids.is_empty() {
            return Ok(());
        }
        let mut delete = query(listing("DELETE FROM deaths WHERE id IN ({})", "?", ids.len()));
        for id in ids {
            delete = delete.bind(id);
        }
        Ok(self.engine.ask(delete.execute(&self.engine.pool)).await.map(drop)?)
    }

    async fn tell_again(&self, id: DeathId, due_at: Timestamp) -> Result<(), StoreError> {
        let update = query("UPDATE deaths SET attempts = attempts + 1, due_at = ? WHERE id = ?");
        let done = update.bind(due_at.as_ms()).bind(id.0).execute(&self.engine.pool);
        Ok(self.engine.ask(done).await.map(drop)?)
    }

    async fn untold_count(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        let row = query("SELECT COUNT(*), MIN(at) FROM deaths").fetch_one(&self.engine.pool);
        let row = self.engine.ask(row).await?;
        let counted = count(&row, 0).and_then(|count| Ok((count, optional_time(&row, 1)?)));
        Ok(counted.map_err(Failed::from)?)
    }
}

async fn untold(
    pool: &MySqlPool,
    vault: &Vault,
    (to, now): (Destination, Timestamp),
    limit: usize,
) -> Done<Vec<Death>> {
    let select = query(concat!(
        "SELECT d.id, c.name, d.topic, d.token, d.subscription, d.user_name, d.reason, d.at, d.attempts",
        " FROM deaths d JOIN credential_sets c ON c.id = d.set_id",
        " WHERE d.destination = ? AND d.due_at <= ? AND NOT EXISTS",
        " (SELECT 1 FROM deaths e WHERE e.token_key = d.token_key AND e.destination = d.destination AND e.id < d.id)",
        " ORDER BY d.due_at, d.id LIMIT ?"
    ));
    let select = select.bind(to.as_str().as_bytes()).bind(now.as_ms());
    let rows = select.bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(pool).await?;
    Ok(rows.iter().map(|row| read(row, vault)).collect::<Read<_>>()?)
}

fn read(row: &MySqlRow, vault: &Vault) -> Read<Death> {
    let set = credential_set(row, 1)?;
    let owner = owner(row, 4)?.map(|(subscription, user)| Owner { subscription, user });
    Ok(Death {
        id: DeathId(number(row, 0)?),
        token: token(row, 3, (set.provider(), vault))?,
        set,
        topic: topic(row, 2)?,
        owner,
        reason: text(row, 6)?,
        at: time(row, 7)?,
        attempts: u32::try_from(number(row, 8)?).unwrap_or(u32::MAX),
    })
}
