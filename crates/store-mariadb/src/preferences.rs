//! Preferences in `MariaDB`.

use async_trait::async_trait;
use reveille_model::limits::PREFERENCES_PER_USER_MAX;
use reveille_model::{EventType, User};
use reveille_store::{Preferences, StoreError, Wakes};

use crate::MariaDbStore;
use crate::codec::{event_type, flag};
use crate::engine::Tables;
use crate::error::{Done, Failed};
use crate::outbox::counter_key;
use crate::rows::{chunks, listing};
use crate::statement::query;

#[async_trait]
impl Preferences for MariaDbStore {
    async fn preferences(&self, user: &User) -> Result<Wakes, StoreError> {
        let select = query(concat!(
            "SELECT event_type, wakes FROM preferences WHERE user_name = ?",
            " ORDER BY event_type LIMIT ?"
        ));
        let limit = i64::try_from(PREFERENCES_PER_USER_MAX).unwrap_or(i64::MAX);
        let select = select.bind(user.expose().as_bytes()).bind(limit);
        let rows = select.fetch_all(&self.engine.pool).await.map_err(Failed::from)?;
        let said = rows.iter().map(|row| Ok((event_type(row, 0)?, flag(row, 1)?)));
        let said: Result<Wakes, sqlx::Error> = said.collect();
        said.map_err(|error| Failed::from(error).into())
    }

    async fn prefer(&self, user: &User, wakes: Wakes) -> Result<(), StoreError> {
        let what = (user.clone(), wakes);
        self.engine.write(&what, |tables, what| Box::pin(prefer(tables, what))).await
    }
}

async fn prefer(tables: &mut Tables<'_>, (user, wakes): &(User, Wakes)) -> Done<()> {
    let name = user.expose().as_bytes();
    tables.execute(query("DELETE FROM preferences WHERE user_name = ?").bind(name)).await?;
    let wakes: Vec<(&EventType, &bool)> = wakes.iter().collect();
    for part in chunks(&wakes) {
        let sql = "INSERT INTO preferences (user_name, event_type, wakes) VALUES {}";
        let mut insert = query(listing(sql, "(?, ?, ?)", part.len()));
        for (event_type, wakes) in part {
            insert = insert.bind(name).bind(event_type.as_str().as_bytes()).bind(**wakes);
        }
        tables.execute(insert).await?;
    }
    Ok(())
}

impl Tables<'_> {
    /// Deletes the counters of a user, under whatever event types there are any.
    pub(crate) async fn forget_counters(&mut self, user: &User) -> Done<()> {
        // From one event type to the next, without the users between.
        let mut after = String::new();
        loop {
            let next = query(concat!(
                "SELECT event_type FROM limit_counters WHERE event_type > ?",
                " ORDER BY event_type LIMIT 1"
            ));
            let Some(row) = self.one(next.bind(after.as_bytes().to_vec())).await? else {
                return Ok(());
            };
            let found = event_type(&row, 0)?;
            let key = counter_key(self.vault(), user, &found);
            let delete = query("DELETE FROM limit_counters WHERE event_type = ? AND counter = ?");
            let word = found.as_str().as_bytes();
            self.execute(delete.bind(word).bind(key.as_slice())).await?;
            found.as_str().clone_into(&mut after);
        }
    }
}
