//! Quarantine and feedback in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use reveille_model::limits::{FEEDBACK_MAX, QUARANTINE_PAGE_MAX, SUSPECTS_MAX};
use reveille_model::{Duration, Provider, Settled, Timestamp, Token};

use super::MemoryStore;
use super::state::{State, Suspect, Untold};
use crate::{
    Death, DeathId, Destination, Feedback, Owner, Quarantine, QuarantineId, Quarantined,
    StoreError, TokenKey, Which,
};

impl State {
    pub(super) fn has_room(&self, key: TokenKey) -> bool {
        (self.suspects.len() as u64) < SUSPECTS_MAX || self.suspects.contains_key(&key)
    }

    /// Whether a device is held back, and until when. If its time has come, the try that is made now is the one for a while.
    pub(super) fn try_held(
        &mut self,
        provider: Provider,
        token: &Token,
        (now, hold): (Timestamp, Duration),
    ) -> Option<(TokenKey, Timestamp)> {
        let key = TokenKey::unkeyed(provider, token);
        let next_try = self.suspects.get_mut(&key)?.next_try.as_mut()?;
        if *next_try > now {
            return Some((key, *next_try));
        }
        *next_try = now.plus(hold);
        None
    }

    /// Deletes what belongs to a dead device and tells it. Returns whether a subscription went.
    pub(super) fn bury(&mut self, dead: &Suspect, tell: &[Destination], now: Timestamp) -> bool {
        let key = TokenKey::unkeyed(dead.set.provider(), &dead.token);
        let known = dead.subscription.and_then(|id| self.subscriptions.get(&id));
        let is_known = known.is_some();
        let owner = known
            .filter(|known| !known.user.is_unnamed())
            .map(|known| Owner { subscription: known.id, user: known.user.clone() });
        for to in tell {
            if (self.deaths.len() as u64) < FEEDBACK_MAX {
                self.next_id += 1;
                let death = Death {
                    id: DeathId(self.next_id),
                    set: dead.set.clone(),
                    topic: dead.topic.clone(),
                    token: dead.token.clone(),
                    owner: owner.clone(),
                    reason: dead.reason.clone(),
                    at: now,
                    attempts: 0,
                };
                self.deaths.insert(self.next_id, Untold { to: *to, due_at: now, death });
            }
        }
        self.suspects.remove(&key);
        if let Some(id) = dead.subscription {
            self.remove_subscription(id);
        }
        is_known
    }

    /// The device lives: nobody is told otherwise any more.
    pub(super) fn take_back_deaths(&mut self, key: TokenKey) {
        self.deaths.retain(|_, untold| key_of(&untold.death) != key);
    }

    /// Whether others are still to be told that a token is dead.
    pub(super) fn is_told_dead(&self, key: TokenKey) -> bool {
        self.deaths.values().any(|untold| key_of(&untold.death) == key)
    }

    /// Ends a quarantine because the device lives. What waited with it is due now.
    pub(super) fn release_one(&mut self, key: TokenKey, now: Timestamp) {
        if let Some(suspect) = self.suspects.remove(&key)
            && let Some(known) = suspect.subscription.and_then(|id| self.subscriptions.get_mut(&id))
        {
            known.suspect_since = None;
        }
        for row in self.wakeups.values_mut() {
            if row.held == Some(key) && row.lease.is_none() {
                (row.held, row.due_at) = (None, now);
            }
        }
    }

    /// The oldest untold death of each token.
    fn first_untold(&self, to: Destination) -> impl Iterator<Item = &Untold> {
        let mut seen = BTreeSet::new();
        let of_it = self.deaths.values().filter(move |untold| untold.to == to);
        of_it.filter(move |untold| seen.insert(key_of(&untold.death)))
    }

    fn which(&self, which: &Which) -> Vec<TokenKey> {
        self.suspects
            .iter()
            .filter(|(key, each)| {
                each.next_try.is_some()
                    && match which {
                        Which::One(id) => id.0 == **key,
                        Which::Set(set) => each.set == *set,
                        Which::All => true,
                    }
            })
            .map(|(key, _)| *key)
            .take(QUARANTINE_PAGE_MAX)
            .collect()
    }
}

fn key_of(death: &Death) -> TokenKey {
    TokenKey::unkeyed(death.set.provider(), &death.token)
}

#[async_trait]
impl Quarantine for MemoryStore {
    async fn quarantined(
        &self,
        after: Option<QuarantineId>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        let state = self.lock();
        let held = state.suspects.iter().filter_map(|(key, each)| {
            Some(Quarantined {
                id: QuarantineId(*key),
                set: each.set.clone(),
                topic: each.topic.clone(),
                subscription: each.subscription,
                reason: each.reason.clone(),
                since: each.since,
                verdicts: each.verdicts,
                next_try: each.next_try?,
            })
        });
        Ok(held
            .filter(|each| after.is_none_or(|after| each.id > after))
            .take(limit.min(QUARANTINE_PAGE_MAX))
            .collect())
    }

    async fn quarantined_count(&self) -> Result<u64, StoreError> {
        let state = self.lock();
        Ok(state.suspects.values().filter(|each| each.next_try.is_some()).count() as u64)
    }

    async fn release(&self, which: Which, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let keys = state.which(&which);
        for key in &keys {
            state.release_one(*key, now);
        }
        Ok(keys.len() as u64)
    }

    async fn drop_quarantined(
        &self,
        which: Which,
        tell: Vec<Destination>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let keys = state.which(&which);
        for key in &keys {
            let Some(suspect) = state.suspects.get(key).cloned() else { continue };
            state.bury(&suspect, &tell, now);
            let held: Vec<i64> = state
                .wakeups
                .iter()
                .filter(|(_, row)| row.held == Some(*key) && row.lease.is_none())
                .map(|(id, _)| *id)
                .collect();
            for id in held {
                state.end(id, Settled::Dead);
            }
        }
        Ok(keys.len() as u64)
    }
}

#[async_trait]
impl Feedback for MemoryStore {
    async fn untold(
        &self,
        to: Destination,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Death>, StoreError> {
        let state = self.lock();
        let mut due: Vec<&Untold> =
            state.first_untold(to).filter(|each| each.due_at <= now).collect();
        due.sort_by_key(|each| (each.due_at, each.death.id));
        Ok(due.into_iter().take(limit).map(|each| each.death.clone()).collect())
    }

    async fn next_untold(&self, to: Destination) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().first_untold(to).map(|each| each.due_at).min())
    }

    async fn told(&self, ids: Vec<DeathId>) -> Result<(), StoreError> {
        let mut state = self.lock();
        for id in ids {
            state.deaths.remove(&id.0);
        }
        Ok(())
    }

    async fn tell_again(&self, id: DeathId, due_at: Timestamp) -> Result<(), StoreError> {
        if let Some(untold) = self.lock().deaths.get_mut(&id.0) {
            untold.death.attempts += 1;
            untold.due_at = due_at;
        }
        Ok(())
    }

    async fn untold_count(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        let state = self.lock();
        let oldest = state.deaths.values().map(|each| each.death.at).min();
        Ok((state.deaths.len() as u64, oldest))
    }
}
