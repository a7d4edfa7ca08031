//! Proofs in memory.

use async_trait::async_trait;
use reveille_model::limits::{PROOF_INTERVAL_S, PROOFS_WRONG_MAX};
use reveille_model::{
    DryRun, Duration, MessageType, NewSubscription, Nonce, Settled, SubscriptionId, Timestamp, User,
};

use super::MemoryStore;
use super::state::{Row, State, Target, Unproven};
use crate::{AskProof, Asked, Proofs, Proved, StoreError, TokenKey, WakeupKey};

impl State {
    /// A device is not asked any more.
    pub(super) fn end_proof(&mut self, id: SubscriptionId) {
        let key = WakeupKey::for_subscription(id, &MessageType::verify(), DryRun::No);
        if let Some(waiting) = self.waiting_with(key) {
            self.end(waiting, Settled::Cancelled);
        }
    }
}

#[async_trait]
impl Proofs for MemoryStore {
    async fn ask_proof(&self, ask: AskProof) -> Result<Asked, StoreError> {
        let mut state = self.lock();
        let AskProof { new, fresh, nonce, message_type, ttl, sort_key, .. } = ask;
        let AskProof { waiting_max, per_user_max, now, .. } = ask;
        let key = TokenKey::unkeyed(new.set.provider(), &new.token);
        let registered = state.by_token.get(&key).and_then(|id| state.subscriptions.get(id));
        if registered.is_some_and(|known| known.user == new.user) {
            return Ok(Asked::Refreshed(state.refresh_known(key, new, now)));
        }
        let is_same = |each: &Unproven| {
            each.new.user == new.user
                && TokenKey::unkeyed(each.new.set.provider(), &each.new.token) == key
        };
        let known = state.unproven.iter().find(|(_, each)| is_same(each)).map(|(id, _)| *id);
        let id = known.unwrap_or(fresh);
        let interval = Duration::from_s(PROOF_INTERVAL_S);
        if state.unproven.get(&id).is_some_and(|known| now.since(known.asked_at) < interval) {
            return Ok(Asked::Waiting(new.into_subscription(id, now)));
        }
        let scheduled: u64 = state.scheduled.values().map(|each| each.meant.len()).sum();
        if state.ledger.waiting + scheduled >= waiting_max {
            return Err(StoreError::Busy);
        }
        let waiting = Unproven { new: new.clone(), nonce, wrong: 0, asked_at: now };
        state.unproven.insert(id, waiting);
        let mut of_user: Vec<(Timestamp, SubscriptionId)> = state
            .unproven
            .iter()
            .filter(|(each, unproven)| unproven.new.user == new.user && **each != id)
            .map(|(id, each)| (each.asked_at, *id))
            .collect();
        of_user.sort_unstable();
        let beyond = (of_user.len() + 1).saturating_sub(per_user_max.max(1));
        for (_, oldest) in of_user.into_iter().take(beyond) {
            state.unproven.remove(&oldest);
            state.end_proof(oldest);
        }
        let key = WakeupKey::for_subscription(id, &message_type, DryRun::No);
        state.ledger.accepted += 1;
        let waiting = state.waiting_with(key).and_then(|id| state.wakeups.get_mut(&id));
        if let Some(waiting) = waiting {
            waiting.nonce = Some(nonce);
            waiting.expires_at = now.plus(ttl);
            waiting.set = new.set.clone();
            waiting.due_at = now;
            waiting.target = Target::Token { token: new.token.clone(), topic: new.topic.clone() };
            state.ledger.collapsed += 1;
        } else {
            state.next_id += 1;
            let number = state.next_id;
            let target = Target::Token { token: new.token.clone(), topic: new.topic.clone() };
            let row = Row {
                key,
                set: new.set.clone(),
                target,
                message_type,
                dry_run: DryRun::No,
                nonce: Some(nonce),
                notification: None,
                window_end: now,
                expires_at: now.plus(ttl),
                due_at: now,
                sort_key,
                attempts: 0,
                lease: None,
                held: None,
            };
            state.wakeups.insert(number, row);
            state.ledger.waiting += 1;
        }
        Ok(Asked::Waiting(new.into_subscription(id, now)))
    }

    async fn prove(
        &self,
        user: &User,
        shown: (SubscriptionId, Nonce),
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Proved, StoreError> {
        let mut state = self.lock();
        let (id, nonce) = shown;
        let known = state.unproven.get_mut(&id).filter(|known| known.new.user == *user);
        let Some(known) = known else { return Ok(Proved::Unknown) };
        if known.nonce != nonce {
            known.wrong += 1;
            if known.wrong >= PROOFS_WRONG_MAX {
                state.unproven.remove(&id);
            }
            return Ok(Proved::Wrong);
        }
        let new: NewSubscription = known.new.clone();
        state.unproven.remove(&id);
        Ok(Proved::Registered(state.put(new, id, per_user_max, now)))
    }
}
