//! Subscriptions in memory.

use async_trait::async_trait;
use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{NewSubscription, Subscription, SubscriptionId, Timestamp, User};

use super::MemoryStore;
use super::state::State;
use crate::{Put, StoreError, Subscriptions, TokenKey};

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
            let key = TokenKey::new(gone.set.provider(), &gone.token);
            self.by_token.remove(&key);
            self.suspects.remove(&key);
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
        let mut state = self.lock();
        let key = TokenKey::new(new.set.provider(), &new.token);
        // An app that registers its token is alive.
        state.release_one(key, now);
        state.take_back_deaths(key);
        if let Some(id) = state.by_token.get(&key).copied() {
            match state.subscriptions.get_mut(&id) {
                Some(known) if known.user == new.user => {
                    known.set = new.set;
                    known.topic = new.topic;
                    known.token = new.token;
                    known.generation += 1;
                    known.refreshed_at = now;
                    known.suspect_since = None;
                    return Ok(Put::Refreshed(known.clone()));
                }
                _ => state.remove_subscription(id),
            }
        }
        let subscription = new.into_subscription(fresh, now);
        state.by_token.insert(key, fresh);
        state.subscriptions.insert(fresh, subscription.clone());
        let evicted = state.evict(&subscription.user, fresh, per_user_max);
        Ok(Put::Created { subscription, evicted })
    }

    async fn list(&self, user: &User) -> Result<Vec<Subscription>, StoreError> {
        Ok(self.lock().subscriptions_of(user))
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        let state = self.lock();
        let suspect = state.subscriptions.values().filter(|each| each.suspect_since.is_some());
        Ok((state.subscriptions.len() as u64, suspect.count() as u64))
    }
}
