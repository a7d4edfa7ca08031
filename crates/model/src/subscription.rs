//! One device of one user at one provider.

use crate::{CredentialSet, SubscriptionId, Timestamp, Token, Topic, User};

/// What an app or a caller registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// Whose device it is.
    pub user: User,
    /// Which credentials reach it.
    pub set: CredentialSet,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// The device's token.
    pub token: Token,
}

/// A registered device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its random id.
    pub id: SubscriptionId,
    /// Whose device it is.
    pub user: User,
    /// Which credentials reach it.
    pub set: CredentialSet,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// The device's token.
    pub token: Token,
    /// Whether it is to be woken on a constant beat (privacy mode `sealed`).
    pub sealed: bool,
    /// Grows each time the device is registered again. A verdict counts only for the generation the push was sent to.
    pub generation: u32,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last registered.
    pub refreshed_at: Timestamp,
    /// Since when guarded verdicts call its token dead, if they do.
    pub suspect_since: Option<Timestamp>,
}

/// What of a registered device is to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionChange {
    /// Another token, and the credentials that reach it: its provider has rotated it. Counts as a refresh.
    pub device: Option<(CredentialSet, Token)>,
    /// Whether it is to be woken on a constant beat.
    pub sealed: Option<bool>,
}

impl Subscription {
    /// Its device was registered again.
    pub fn refresh(&mut self, new: NewSubscription, now: Timestamp) {
        self.topic = new.topic;
        self.change(SubscriptionChange { device: Some((new.set, new.token)), sealed: None }, now);
    }

    /// Its device or its user asks for a change.
    pub fn change(&mut self, change: SubscriptionChange, now: Timestamp) {
        if let Some((set, token)) = change.device {
            self.set = set;
            self.token = token;
            self.generation += 1;
            self.refreshed_at = now;
            self.suspect_since = None;
        }
        self.sealed = change.sealed.unwrap_or(self.sealed);
    }
}

impl NewSubscription {
    /// The subscription it becomes when it is stored for the first time.
    pub fn into_subscription(self, id: SubscriptionId, now: Timestamp) -> Subscription {
        let Self { user, set, topic, token } = self;
        Subscription {
            id,
            user,
            set,
            topic,
            token,
            sealed: false,
            generation: 1,
            created_at: now,
            refreshed_at: now,
            suspect_since: None,
        }
    }
}
