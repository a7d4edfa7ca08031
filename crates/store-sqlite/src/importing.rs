//! Devices that come from somewhere else, and all of them on their way out.

use reveille_model::{NewSubscription, Subscription, SubscriptionId, Timestamp, User};
use reveille_store::{Imported, Put, TokenKey};
use reveille_vault::Vault;
use rusqlite::{Connection, params};

use crate::engine::Tables;
use crate::subscriptions::{SELECT, read_row};

impl Tables {
    /// Takes over a device that was registered somewhere else.
    pub(crate) fn import(
        &mut self,
        new: NewSubscription,
        (fresh, at): (SubscriptionId, Timestamp),
        per_user_max: usize,
    ) -> rusqlite::Result<Imported> {
        let key = self.token_key(new.set.provider(), &new.token);
        match self.owner_of(key)? {
            Some(owner) if owner == new.user => return Ok(Imported::Known),
            Some(owner) if !owner.is_unnamed() => return Ok(Imported::Elsewhere),
            _ => {}
        }
        if self.is_told_dead(key)? {
            return Ok(Imported::Dead);
        }
        let newer: i64 = self
            .connection
            .prepare_cached(
                "SELECT COUNT(*) FROM subscriptions WHERE user_name = ?1 AND refreshed_at >= ?2",
            )?
            .query_row(params![new.user.expose(), at.as_ms()], |row| row.get(0))?;
        if usize::try_from(newer).unwrap_or(usize::MAX) >= per_user_max.max(1) {
            return Ok(Imported::NoRoom);
        }
        Ok(match self.put(new, fresh, per_user_max, at)? {
            Put::Created { evicted, .. } => Imported::Created { evicted },
            Put::Refreshed(_) => Imported::Known,
        })
    }

    /// Whether others are still to be told that a token is dead.
    fn is_told_dead(&self, key: TokenKey) -> rusqlite::Result<bool> {
        self.connection.prepare_cached("SELECT 1 FROM deaths WHERE key = ?1")?.exists([key.0])
    }
}

/// Subscriptions of everybody who has a name.
pub(crate) fn all(
    (connection, vault): (&Connection, &Vault),
    after: Option<SubscriptionId>,
    limit: usize,
) -> rusqlite::Result<Vec<Subscription>> {
    let sql = format!(
        "{SELECT} WHERE s.id > COALESCE(?1, x'') AND s.user_name > ?2 ORDER BY s.id LIMIT ?3"
    );
    // What stands for nobody begins with a character that no name has.
    let least = User::LEAST;
    let after = after.map(|id| *id.as_bytes());
    connection
        .prepare_cached(&sql)?
        .query_map(params![after, least, limit], |row| read_row(row, vault))?
        .collect()
}
