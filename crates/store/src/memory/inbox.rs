//! Inbox and users in memory.

use async_trait::async_trait;
use reveille_model::limits::INBOX_PER_USER_MAX;
use reveille_model::{
    Audience, Content, EventType, MessageType, Mixed, NotificationId, Settled, SubscriptionId,
    Timestamp, User,
};

use super::MemoryStore;
use super::state::{Meant, State, Target};
use crate::{Inbox, InboxItem, ReadWhich, Section, Seen, StoreError, Users};

impl State {
    /// Puts content into the inbox of each user an audience names.
    pub(super) fn deliver(
        &mut self,
        audience: &Audience,
        (id, at): (NotificationId, Timestamp),
        event_type: &EventType,
        content: &Content,
    ) {
        let mut users: Vec<User> = match audience {
            Audience::Users(users) => users.clone(),
            Audience::Subscriptions(ids) => {
                let known = ids.iter().filter_map(|id| self.subscriptions.get(id));
                known.map(|each| each.user.clone()).collect()
            }
        };
        users.sort_unstable();
        users.dedup();
        for user in users {
            let items = self.inbox.entry(user).or_default();
            let (event_type, content) = (event_type.clone(), content.clone());
            items.push(InboxItem { id, event_type, at, is_read: false, content });
            let beyond = items.len().saturating_sub(INBOX_PER_USER_MAX);
            items.drain(..beyond);
        }
    }

    /// Cancels what waits for some devices.
    fn cancel(&mut self, devices: &[SubscriptionId]) -> u64 {
        for id in devices {
            self.fetched.insert(*id, self.gathered_next);
        }
        let is_meant = |target: &Target| match target {
            Target::Subscription(id) => devices.contains(id),
            Target::Token { .. } => false,
        };
        let waiting: Vec<i64> = self
            .wakeups
            .iter()
            .filter(|(_, row)| row.lease.is_none() && is_meant(&row.target))
            .map(|(id, _)| *id)
            .collect();
        for id in &waiting {
            self.end(*id, Settled::Cancelled);
        }
        waiting.len() as u64
    }

    fn devices_of(&self, user: &User) -> Vec<SubscriptionId> {
        let of_user = self.subscriptions.values().filter(|each| each.user == *user);
        of_user.map(|each| each.id).collect()
    }

    /// Those that are woken for their user alone. Nothing else is ever cancelled: it would tell who has looked.
    fn batch_devices_of(&self, user: &User) -> Vec<SubscriptionId> {
        let of_user = self.subscriptions.values().filter(|each| each.user == *user);
        of_user.filter(|each| self.mixed(each) == Mixed::Batch).map(|each| each.id).collect()
    }
}

#[async_trait]
impl Inbox for MemoryStore {
    async fn items(
        &self,
        user: &User,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<Vec<InboxItem>, StoreError> {
        let state = self.lock();
        let items = state.inbox.get(user).map_or(&[][..], Vec::as_slice);
        let end = match before {
            None => items.len(),
            Some(before) => items.iter().position(|item| item.id == before).unwrap_or_default(),
        };
        Ok(items.iter().take(end).rev().take(limit).cloned().collect())
    }

    async fn read(&self, user: &User, which: ReadWhich) -> Result<(), StoreError> {
        for item in self.lock().inbox.get_mut(user).into_iter().flatten() {
            item.is_read |= match &which {
                ReadWhich::All => true,
                ReadWhich::Ids(ids) => ids.contains(&item.id),
            };
        }
        Ok(())
    }

    async fn unread(&self, user: &User, ids: Vec<NotificationId>) -> Result<(), StoreError> {
        for item in self.lock().inbox.get_mut(user).into_iter().flatten() {
            item.is_read &= !ids.contains(&item.id);
        }
        Ok(())
    }

    async fn seen(&self, user: &User) -> Result<Seen, StoreError> {
        Ok(self.lock().seen.get(user).copied().unwrap_or_default())
    }

    async fn see(
        &self,
        user: &User,
        sections: Vec<Section>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let seen = state.seen.entry(user.clone()).or_default();
        for section in sections {
            seen.see(section, now);
        }
        Ok(())
    }
}

#[async_trait]
impl Users for MemoryStore {
    async fn fetched(
        &self,
        user: &User,
        _message_types: Vec<MessageType>,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let devices = state.batch_devices_of(user);
        Ok(state.cancel(&devices))
    }

    async fn erase(&self, user: &User, _message_types: Vec<MessageType>) -> Result<(), StoreError> {
        let mut state = self.lock();
        let batch = state.batch_devices_of(user);
        state.cancel(&batch);
        for id in state.devices_of(user) {
            state.remove_subscription(id);
        }
        let of_user = state.unproven.iter().filter(|(_, each)| each.new.user == *user);
        for id in of_user.map(|(id, _)| *id).collect::<Vec<_>>() {
            state.unproven.remove(&id);
            state.end_proof(id);
        }
        state.preferences.remove(user);
        state.counters.retain(|(owner, _), _| owner != user);
        state.inbox.remove(user);
        state.seen.remove(user);
        state.deaths.retain(|_, untold| {
            untold.death.owner.as_ref().is_none_or(|owner| owner.user != *user)
        });
        for scheduled in state.scheduled.values_mut() {
            if let Meant::Named(Audience::Users(users)) = &mut scheduled.meant {
                users.retain(|each| each != user);
            }
        }
        state.scheduled.retain(|_, scheduled| scheduled.meant.len() > 0);
        state.forget_ghosts(user);
        Ok(())
    }
}
