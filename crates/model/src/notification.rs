//! What `POST /v1/notifications` accepts.

use crate::{
    DryRun, Duration, EventType, MessageType, NotificationId, SubscriptionId, Timestamp, User,
};

/// Who is to be woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// All devices of these users.
    Users(Vec<User>),
    /// These devices.
    Subscriptions(Vec<SubscriptionId>),
}

impl Audience {
    /// How many users or subscriptions are named.
    pub fn len(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::Subscriptions(ids) => ids.len(),
        }
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One notification, valid and not yet stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its random id.
    pub id: NotificationId,
    /// What happened.
    pub event_type: EventType,
    /// What the app is told.
    pub message_type: MessageType,
    /// Who is woken.
    pub audience: Audience,
    /// How long the wake-up is worth sending, counted from the end of its window.
    pub ttl: Duration,
    /// Whether the provider only checks the message.
    pub dry_run: DryRun,
    /// It joins the window in which this falls.
    pub deliver_after: Option<Timestamp>,
}
