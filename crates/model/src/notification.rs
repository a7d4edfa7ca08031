//! What `POST /v1/notifications` accepts.

use std::fmt;

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
    /// What is asked before it wakes somebody.
    pub policy: Policy,
    /// What its users find in their inboxes.
    pub content: Option<Content>,
}

/// What a caller has to say to a user, as JSON. A secret: printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Box<str>);

impl Content {
    /// From the text of a JSON value.
    pub fn from_json(json: impl Into<Box<str>>) -> Self {
        Self(json.into())
    }

    /// The text of the value. Not for logs, metrics or errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

/// What the configuration says about an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether it wakes users who have not said whether it shall.
    pub wakes: bool,
    /// How many of it one user gets.
    pub limit: Option<Limit>,
}

impl Policy {
    /// Everybody, as often as it happens.
    pub const OPEN: Self = Self { wakes: true, limit: None };
}

/// How many notifications of one event type one user gets in a period. Periods are fixed: the n-th begins n times its length after the Unix
/// epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many, at least one.
    pub count: u32,
    /// In so long, at least a millisecond.
    pub per: Duration,
}

impl Limit {
    /// When the period ends that a moment is in.
    pub const fn period_end(&self, moment: Timestamp) -> Timestamp {
        let per_ms = self.per.as_ms().cast_signed();
        let per_ms = if per_ms < 1 { 1 } else { per_ms };
        Timestamp::from_ms((moment.as_ms().div_euclid(per_ms) + 1).saturating_mul(per_ms))
    }
}
