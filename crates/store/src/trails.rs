//! The content-free history of notifications.

use async_trait::async_trait;
use reveille_model::{Ledger, NotificationId, Timestamp};

use crate::StoreError;

/// Keeps trails for a while.
#[async_trait]
pub trait Trails: Send + Sync {
    /// The trail of a notification, while it is kept.
    async fn find(&self, id: NotificationId) -> Result<Option<Trail>, StoreError>;

    /// Takes back a notification whose `deliver_after` has not come and whose window has not ended.
    async fn take_back(&self, id: NotificationId) -> Result<TakeBack, StoreError>;
}

/// What became of one notification: counts, never a user or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The notification.
    pub id: NotificationId,
    /// The end of the window it joined; nothing while it is scheduled.
    pub window_end: Option<Timestamp>,
    /// When it joins a window, if it asked for a time.
    pub deliver_after: Option<Timestamp>,
    /// Whether it was taken back in time.
    pub taken_back: bool,
    /// How many cohorts it wakes. Which devices of them were meant is not kept anywhere, so that no more is known of these than whether the window
    /// has left.
    pub cohorts: u64,
    /// Whether its window has left. A cohort that has spent its budget, or whose users still wait for others, leaves in a longer one.
    pub has_left: bool,
    /// Its other wake-ups, by where they are.
    pub ledger: Ledger,
}

/// What taking back did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeBack {
    /// It will never leave.
    Taken,
    /// It has joined a window already.
    TooLate,
    /// There is no such notification, or its trail is no longer kept.
    Unknown,
}
