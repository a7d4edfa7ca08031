//! Who can be woken.

use async_trait::async_trait;
use reveille_model::{
    CredentialSet, NewSubscription, Provider, Subscription, SubscriptionChange, SubscriptionId,
    Timestamp, Token, Topic, User,
};
use sha2::{Digest as _, Sha256};

use crate::StoreError;

/// Keeps subscriptions. A token belongs to one subscription at most.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Registers a device under the id `fresh`, or refreshes the registration it has.
    ///
    /// A token that another user registered moves: the old subscription goes, and its waiting wake-ups are cancelled. Where the user
    /// would have more than `per_user_max` subscriptions the least recently refreshed go; a refresh evicts nobody.
    async fn put(
        &self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Put, StoreError>;

    /// The user's subscriptions, oldest first; at most [`reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX`].
    async fn list(&self, user: &User) -> Result<Vec<Subscription>, StoreError>;

    /// One of the user's subscriptions.
    async fn get(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError>;

    /// Changes one of the user's subscriptions. With another token, what waits for it goes there, and whoever else had registered that token
    /// loses it, as in [`Self::put`]. Nothing where the user has no such subscription.
    async fn change(
        &self,
        user: &User,
        id: SubscriptionId,
        change: SubscriptionChange,
        now: Timestamp,
    ) -> Result<Option<Subscription>, StoreError>;

    /// Deletes one of the user's subscriptions, and with it what waits for it. Returns whose it was to
    /// carry, if there was one.
    async fn delete(&self, user: &User, id: SubscriptionId)
    -> Result<Option<Provider>, StoreError>;

    /// Deletes all of the user's subscriptions. Returns the provider of each.
    async fn delete_all(&self, user: &User) -> Result<Vec<Provider>, StoreError>;

    /// Deletes what is registered with one of these tokens, by that user or by anybody, and with it what waits for it. Returns the provider
    /// of each that went.
    async fn delete_tokens(
        &self,
        of: Option<&User>,
        tokens: Vec<(Provider, Token)>,
    ) -> Result<Vec<Provider>, StoreError>;

    /// Takes over devices that were registered somewhere else, each under its fresh id and with the time at which it was: all in one go, in order.
    /// What is known here stays as it is, and nobody's newer devices make room.
    async fn import(
        &self,
        devices: Vec<(NewSubscription, SubscriptionId, Timestamp)>,
        per_user_max: usize,
    ) -> Result<Vec<Imported>, StoreError>;

    /// Subscriptions of everybody, in the order of their ids: at most `limit` of those after `after`. Nobody's are left out.
    async fn all(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Subscription>, StoreError>;

    /// How many subscriptions there are, and how many of them are suspect.
    async fn count(&self) -> Result<(u64, u64), StoreError>;

    /// On which days how many of the subscriptions were last registered, as days since 1970 (UTC), in order.
    async fn refresh_days(&self) -> Result<Vec<(i64, u64)>, StoreError>;

    /// How many subscriptions there are of each credential set and topic, in the order of these. Of some there may be none
    /// any more.
    async fn kinds(&self) -> Result<Vec<(CredentialSet, Option<Topic>, u64)>, StoreError>;
}

/// What registering a device did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is new, or was another user's.
    Created {
        /// The subscription as stored.
        subscription: Subscription,
        /// How many of the user's subscriptions went to make room.
        evicted: usize,
        /// Whether another user had registered it.
        moved: bool,
    },
    /// The user had registered it before; its generation grew.
    Refreshed(Subscription),
}

/// What became of a device that was registered somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is registered now.
    Created {
        /// How many of the user's older subscriptions went to make room.
        evicted: usize,
    },
    /// Its user had registered it here.
    Known,
    /// Another user had.
    Elsewhere,
    /// Its provider has said that it is dead, and others are still to be told.
    Dead,
    /// Its user has as many that are newer.
    NoRoom,
}

/// Names a token inside a store: 16 bytes of a hash over provider and token. A store that writes it down makes it with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey(pub [u8; 16]);

impl TokenKey {
    /// Without a key, for a store that keeps nothing.
    pub(crate) fn unkeyed(provider: Provider, token: &Token) -> Self {
        let mut hash = Sha256::new();
        hash.update(provider.as_str());
        hash.update([0]);
        hash.update(token.identity(provider));
        Self(first_16(&hash.finalize()))
    }
}

pub(crate) fn first_16(hash: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().zip(hash) {
        *place = *byte;
    }
    bytes
}
