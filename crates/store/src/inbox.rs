//! What users find when they have been woken, and what happens when they have looked.

use async_trait::async_trait;
use reveille_model::{Content, EventType, MessageType, NotificationId, Timestamp, User};

use crate::StoreError;

/// Keeps the content of notifications for their users. [`crate::Outbox::accept`] puts it there; at most
/// [`reveille_model::limits::INBOX_PER_USER_MAX`] items of one user are kept, the newest.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// A user's items, newest first: at most `limit` of those that are older than the item `before`.
    async fn items(
        &self,
        user: &User,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<Vec<InboxItem>, StoreError>;

    /// Marks some of a user's items as read, or all. Ids the user has no item of are passed over.
    async fn read(&self, user: &User, which: ReadWhich) -> Result<(), StoreError>;

    /// Marks some of a user's items as not read. Ids the user has no item of are passed over.
    async fn unread(&self, user: &User, ids: Vec<NotificationId>) -> Result<(), StoreError>;

    /// Up to when a user has seen what is there.
    async fn seen(&self, user: &User) -> Result<Seen, StoreError>;

    /// The user has seen what is there of these kinds.
    async fn see(
        &self,
        user: &User,
        sections: Vec<Section>,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

/// The two kinds of what is in an inbox, as `MediaWiki`'s apps show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What wants to be looked at.
    Alert,
    /// What can wait.
    Message,
}

/// Up to when a user has seen each kind, whether they have read it or not. Seeing a second time goes forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Of [`Section::Alert`]; never, if nothing.
    pub alerts: Option<Timestamp>,
    /// Of [`Section::Message`].
    pub messages: Option<Timestamp>,
}

impl Seen {
    /// Up to when one kind was seen.
    pub const fn of(&self, section: Section) -> Option<Timestamp> {
        match section {
            Section::Alert => self.alerts,
            Section::Message => self.messages,
        }
    }

    /// One kind was seen.
    pub fn see(&mut self, section: Section, at: Timestamp) {
        let place = match section {
            Section::Alert => &mut self.alerts,
            Section::Message => &mut self.messages,
        };
        *place = (*place).max(Some(at));
    }
}

/// One notification as its user finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxItem {
    /// The notification.
    pub id: NotificationId,
    /// What happened.
    pub event_type: EventType,
    /// When it was accepted, or fell due.
    pub at: Timestamp,
    /// Whether the user has read it.
    pub is_read: bool,
    /// What the caller had to say.
    pub content: Content,
}

/// What a user has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadWhich {
    /// These.
    Ids(Vec<NotificationId>),
    /// Everything.
    All,
}

/// What concerns a user as a whole.
#[async_trait]
pub trait Users: Send + Sync {
    /// The user has looked: what waits for their devices now, and is in a window that is open or of one of these message types, is cancelled.
    /// What is in flight is not. Returns how many wake-ups were cancelled at once; those of an open window are when it ends.
    async fn fetched(
        &self,
        user: &User,
        message_types: Vec<MessageType>,
    ) -> Result<u64, StoreError>;

    /// Removes every trace of a user: devices and what waits for them, preferences, counters, inbox, what is scheduled for them, and deaths of
    /// their devices that nobody was told of. Afterwards no file of the store holds their name or content.
    async fn erase(&self, user: &User, message_types: Vec<MessageType>) -> Result<(), StoreError>;
}
