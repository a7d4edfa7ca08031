//! Devices that come from somewhere else.

use reveille_model::{NewSubscription, SubscriptionId, Timestamp};
use reveille_store::{Imported, Put, TokenKey};

use crate::codec::count;
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::statement::query;

impl Tables<'_> {
    /// Takes over a device that was registered somewhere else.
    pub(crate) async fn import(
        &mut self,
        new: NewSubscription,
        (fresh, at): (SubscriptionId, Timestamp),
        per_user_max: usize,
    ) -> Done<Imported> {
        let key = self.token_key(new.set.provider(), &new.token);
        match self.owner_of(key).await? {
            Some(owner) if owner == new.user => return Ok(Imported::Known),
            Some(owner) if !owner.is_unnamed() => return Ok(Imported::Elsewhere),
            _ => {}
        }
        if self.is_told_dead(key).await? {
            return Ok(Imported::Dead);
        }
        let newer =
            query("SELECT COUNT(*) FROM subscriptions WHERE user_name = ? AND refreshed_at >= ?");
        let newer = newer.bind(new.user.expose().as_bytes()).bind(at.as_ms());
        let newer = count(&self.one(newer).await?.ok_or_else(corrupt)?, 0)?;
        if newer >= per_user_max.max(1) as u64 {
            return Ok(Imported::NoRoom);
        }
        Ok(match self.put(new, fresh, per_user_max, at).await? {
            Put::Created { evicted, .. } => Imported::Created { evicted },
            Put::Refreshed(_) => Imported::Known,
        })
    }

    /// Whether others are still to be told that a token is dead.
    async fn is_told_dead(&mut self, key: TokenKey) -> Done<bool> {
        let select = query("SELECT 1 FROM deaths WHERE token_key = ? LIMIT 1");
        self.exists(select.bind(key.0.as_slice())).await
    }
}
