//! What is kept, as small traits; the in-memory store; the contract every store passes.
//!
//! No driver is named here. A store is any type that implements [`Outbox`], [`Cohorts`], [`Trails`], [`Subscriptions`], [`Proofs`], [`Preferences`], [`Inbox`], [`Users`],
//! [`Quarantine`], [`Feedback`] and [`Keys`]; it is a Reveille store once it passes `contract`. The session store is one trait of its own, [`Sessions`], with a
//! contract of its own. Times are arguments: a store reads no clock.

mod cohorts;
mod error;
mod feedback;
mod inbox;
mod keys;
pub mod moving;
mod outbox;
mod preferences;
mod proofs;
mod quarantine;
mod sessions;
mod subscriptions;
pub mod tables;
mod trails;

#[cfg(feature = "contract")]
pub mod contract;
pub mod memory;

pub use cohorts::{Census, Cohorts, Group, Leaving, Mix, Nursery};
pub use error::StoreError;
pub use feedback::{Death, DeathId, Destination, Feedback, Owner};
pub use inbox::{Inbox, InboxItem, ReadWhich, Section, Seen, Users};
pub use keys::Keys;
pub use outbox::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Depth, Device, End, Expanded, Halt,
    Idempotency, Item, Next, Outbox, SettleBatch, SettleReport, Settlement, Suspicion, Sweep,
    Swept, TokenMessage, WakeupKey,
};
pub use preferences::{Preferences, Wakes};
pub use proofs::{AskProof, Asked, Proofs, Proved};
pub use quarantine::{Quarantine, QuarantineId, Quarantined, Which};
pub use sessions::{Condition, Entry, Etag, Quota, Refused, Sessions, Usage, Write};
pub use subscriptions::{Imported, Put, Subscriptions, TokenKey};
pub use trails::{TakeBack, Trail, Trails};

/// Everything a push server keeps. Implemented by whatever implements its parts.
pub trait Store:
    Outbox
    + Cohorts
    + Trails
    + Subscriptions
    + Proofs
    + Preferences
    + Inbox
    + Users
    + Quarantine
    + Feedback
    + Keys
{
}

impl<T> Store for T where
    T: Outbox
        + Cohorts
        + Trails
        + Subscriptions
        + Proofs
        + Preferences
        + Inbox
        + Users
        + Quarantine
        + Feedback
        + Keys
{
}
