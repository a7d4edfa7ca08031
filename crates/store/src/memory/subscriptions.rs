//! Subscriptions in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    CredentialSet, NewSubscription, Provider, Subscription, SubscriptionChange, SubscriptionId,
    Timestamp, Token, Topic, User,
};

use super::MemoryStore;
use super::members::Estate;
use super::state::State;
use crate::{Imported, Put, StoreError, Subscriptions, TokenKey};

impl State {
    pub(super) fn subscriptions_of(&self, user: &User) -> Vec<Subscription> {
        let mut of_user: Vec<Subscription> =
            self.subscriptions.values().filter(|each| each.user == *user).cloned().collect();
        of_user.sort_by_key(|each| (each.created_at, each.id));
        of_user.truncate(SUBSCRIPTIONS_PER_USER_MAX);
        of_user
    }

    pub(super) fn remove_subscription(&mut self, id: SubscriptionId) {
        if let Some(gone) = self.subscriptions.remove(&id) {
            self.of_cohorts.is_stale = true;
            let key = TokenKey::unkeyed(gone.set.provider(), &gone.token);
            self.by_token.remove(&key);
            self.suspects.remove(&key);
            self.fetched.remove(&id);
            self.of_cohorts.unsealing.remove(&id);
        }
    }

    /// Registers a device, or refreshes its registration.
    pub(super) fn put(
        &mut self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> Put {
        let key = TokenKey::unkeyed(new.set.provider(), &new.token);
        let (mut estate, mut moved) = (Estate::default(), false);
        if let Some(id) = self.by_token.get(&key).copied() {
            estate = self.estate(id);
            if self.subscriptions.get(&id).is_some_and(|known| known.user == new.user) {
                return Put::Refreshed(self.refresh_known(key, new, now));
            }
            self.remove_subscription(id);
            moved = true;
        }
        // An app that registers its token is alive.
        self.release_one(key, now);
        self.take_back_deaths(key);
        let subscription = new.into_subscription(fresh, now);
        self.by_token.insert(key, fresh);
        self.subscriptions.insert(fresh, subscription.clone());
        self.of_cohorts.is_stale = true;
        self.take_over(estate, &subscription.user);
        let evicted = self.evict(&subscription.user, fresh, per_user_max);
        Put::Created { subscription, evicted, moved }
    }

    /// Refreshes a registration that is there, and its user's.
    pub(super) fn refresh_known(
        &mut self,
        key: TokenKey,
        new: NewSubscription,
        now: Timestamp,
    ) -> Subscription {
        self.release_one(key, now);
        self.take_back_deaths(key);
        self.of_cohorts.is_stale = true;
        let known = self.by_token.get(&key).and_then(|id| self.subscriptions.get_mut(id));
        match known {
            Some(known) => {
                known.refresh(new, now);
                known.clone()
            }
            None => unreachable!("whoever calls has looked"),
        }
    }

    fn import(
        &mut self,
        new: NewSubscription,
        (fresh, at): (SubscriptionId, Timestamp),
        per_user_max: usize,
    ) -> Imported {
        let key = TokenKey::unkeyed(new.set.provider(), &new.token);
        let known = self.by_token.get(&key).and_then(|id| self.subscriptions.get(id));
        match known.map(|known| &known.user) {
            Some(owner) if *owner == new.user => return Imported::Known,
            Some(owner) if !owner.is_unnamed() => return Imported::Elsewhere,
            _ => {}
        }
        if self.is_told_dead(key) {
            return Imported::Dead;
        }
        let newer = self.subscriptions.values();
        let newer = newer.filter(|each| each.user == new.user && each.refreshed_at >= at).count();
        if newer >= per_user_max.max(1) {
            return Imported::NoRoom;
        }
        match self.put(new, fresh, per_user_max, at) {
            Put::Created { evicted, .. } => Imported::Created { evicted },
            Put::Refreshed(_) => unreachable!("it was looked for"),
        }
    }

    fn evict(&mut self, user: &User, keep: SubscriptionId, per_user_max: usize) -> usize {
        let mut of_user: Vec<(Timestamp, SubscriptionId)> = self
            .subscriptions
            .values()
            .filter(|each| each.user == *user && each.id != keep)
            .map(|each| (each.refreshed_at, each.id))
            .collect();
        of_user.sort_unstable();
        let evicted = (of_user.len() + 1).saturating_sub(per_user_max.max(1));
        for (_, id) in of_user.into_iter().take(evicted) {
            self.remove_subscription(id);
        }
        evicted
    }
}

#[async_trait]
impl Subscriptions for MemoryStore {
    async fn put(
        &self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        Ok(self.lock().put(new, fresh, per_user_max, now))
    }

    async fn list(&self, user: &User) -> Result<Vec<Subscription>, StoreError> {
        Ok(self.lock().subscriptions_of(user))
    }

    async fn get(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        Ok(self.lock().subscriptions.get(&id).filter(|known| known.user == *user).cloned())
    }

    async fn change(
        &self,
        user: &User,
        id: SubscriptionId,
        change: SubscriptionChange,
        now: Timestamp,
    ) -> Result<Option<Subscription>, StoreError> {
        let mut state = self.lock();
        let known = state.subscriptions.get(&id).filter(|known| known.user == *user);
        let Some(mut known) = known.cloned() else { return Ok(None) };
        let mut estate = Estate::default();
        if let Some((set, token)) = &change.device {
            let before = TokenKey::unkeyed(known.set.provider(), &known.token);
            let key = TokenKey::unkeyed(set.provider(), token);
            // What was held with the old token may try the new one.
            state.release_one(before, now);
            state.release_one(key, now);
            state.take_back_deaths(key);
            if let Some(other) = state.by_token.get(&key).copied().filter(|other| *other != id) {
                estate = state.estate(other);
                state.remove_subscription(other);
            }
            state.by_token.remove(&before);
            state.by_token.insert(key, id);
        }
        if known.sealed && change.sealed == Some(false) {
            // What happened since the last beat is not to wait for ever.
            state.of_cohorts.unsealing.insert(id);
        }
        known.change(change, now);
        state.of_cohorts.is_stale = true;
        state.subscriptions.insert(id, known.clone());
        state.take_over(estate, user);
        Ok(Some(known))
    }

    async fn delete(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Provider>, StoreError> {
        let mut state = self.lock();
        let known = state.subscriptions.get(&id).filter(|known| known.user == *user);
        let provider = known.map(|known| known.set.provider());
        if provider.is_some() {
            state.remove_subscription(id);
        }
        Ok(provider)
    }

    async fn delete_all(&self, user: &User) -> Result<Vec<Provider>, StoreError> {
        let mut state = self.lock();
        let of_user = state.subscriptions.values().filter(|known| known.user == *user);
        let gone: Vec<(SubscriptionId, Provider)> =
            of_user.map(|known| (known.id, known.set.provider())).collect();
        for (id, _) in &gone {
            state.remove_subscription(*id);
        }
        Ok(gone.into_iter().map(|(_, provider)| provider).collect())
    }

    async fn delete_tokens(
        &self,
        of: Option<&User>,
        tokens: Vec<(Provider, Token)>,
    ) -> Result<Vec<Provider>, StoreError> {
        let mut state = self.lock();
        let mut deleted = Vec::new();
        for (provider, token) in tokens {
            let id = state.by_token.get(&TokenKey::unkeyed(provider, &token)).copied();
            let known = id.and_then(|id| state.subscriptions.get(&id));
            let known = known.filter(|known| of.is_none_or(|user| known.user == *user));
            if let Some(id) = known.map(|known| known.id) {
                state.remove_subscription(id);
                deleted.push(provider);
            }
        }
        Ok(deleted)
    }

    async fn import(
        &self,
        devices: Vec<(NewSubscription, SubscriptionId, Timestamp)>,
        per_user_max: usize,
    ) -> Result<Vec<Imported>, StoreError> {
        let mut state = self.lock();
        let import = |(new, fresh, at)| state.import(new, (fresh, at), per_user_max);
        Ok(devices.into_iter().map(import).collect())
    }

    async fn all(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Subscription>, StoreError> {
        let state = self.lock();
        let mut all: Vec<&Subscription> = state
            .subscriptions
            .values()
            .filter(|each| after.is_none_or(|after| each.id > after) && !each.user.is_unnamed())
            .collect();
        all.sort_by_key(|each| each.id);
        Ok(all.into_iter().take(limit).cloned().collect())
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        let state = self.lock();
        let suspect = state.subscriptions.values().filter(|each| each.suspect_since.is_some());
        Ok((state.subscriptions.len() as u64, suspect.count() as u64))
    }

    async fn refresh_days(&self) -> Result<Vec<(i64, u64)>, StoreError> {
        let mut days = BTreeMap::new();
        for each in self.lock().subscriptions.values() {
            *days.entry(each.refreshed_at.day()).or_default() += 1;
        }
        Ok(days.into_iter().collect())
    }

    async fn kinds(&self) -> Result<Vec<(CredentialSet, Option<Topic>, u64)>, StoreError> {
        let mut kinds = BTreeMap::new();
        for each in self.lock().subscriptions.values() {
            *kinds.entry((each.set.clone(), each.topic.clone())).or_default() += 1;
        }
        Ok(kinds.into_iter().map(|((set, topic), count)| (set, topic, count)).collect())
    }
}
