//! Users who are woken together, so that what one of them is woken for is not told by when.
//!
//! A store knows of each user which cohorts they are in, and of each cohort only whether something was accepted for it in a window: a *mark*,
//! which is the same for every member and the same again for padding. What is decided about cohorts is decided elsewhere and handed in.

use std::collections::BTreeSet;

use async_trait::async_trait;
use reveille_model::{
    Cohort, CohortId, CohortSizes, CredentialSet, Duration, Marked, MessageType, Mixed,
    Subscription, Timestamp,
};

use crate::StoreError;

/// Keeps cohorts and their marks.
///
/// Who is in which cohort follows from subscriptions, in the transaction that changes them. A cohort *covers* the providers of its stratum, and a user
/// is in one cohort at each provider at the most: each provider sees devices in one company for good. A user's silent devices wait in the
/// provisional cohort of their stratum. Once that is a cohort, the user stays in it, whatever devices they have where it covers; it wakes all of them, also
/// those that come later. Devices at other providers wait by themselves. Whoever has no device any more at one of its providers *lacks* it and does not
/// count as live; whoever has none at any of them is gone from those who wait, and a ghost in any other cohort, whose events go on marking it. They come
/// back to where they were.
///
/// A cohort that is spent loses its ghosts; its survivors stay together, and once fewer than the floor are live all of them wait anew. Whoever comes to
/// another cohort takes the marks of the one before along: whose they are nobody knows. Whoever registers a device that was in a cohort as nobody's
/// joins that cohort.
#[async_trait]
pub trait Cohorts: Send + Sync {
    /// Says how devices are mixed from now on. Called before anything else is done with a store that was opened. Where users are not woken in
    /// cohorts any more, those leave with their windows that were marked.
    async fn mix(&self, mix: Mix) -> Result<(), StoreError>;

    /// Those who wait, in each stratum where they are enough to form a cohort. At most [`reveille_model::limits::GROUPS_MAX`] of a stratum,
    /// survivors first, the others in an order nobody knows.
    async fn nurseries(&self) -> Result<Vec<Nursery>, StoreError>;

    /// Forms cohorts of groups that wait in one stratum. Where one of them waits there no longer nothing happens at all, and the answer is no.
    async fn found(&self, stratum: i64, cohorts: Vec<Vec<Group>>) -> Result<bool, StoreError>;

    /// The cohorts with marks of windows that ended at or before `until`.
    async fn marked(&self, until: Timestamp) -> Result<Vec<Marked>, StoreError>;

    /// All cohorts that are not provisional.
    async fn cohorts(&self) -> Result<Vec<Cohort>, StoreError>;

    /// Lets cohorts leave with the windows that ended at or before `until`. Those that have no mark get one, which is padding. From then on
    /// [`crate::Outbox::expand`] wakes them whole. Nothing happens, and the answer is no, where another node decides.
    async fn lead(&self, until: Timestamp, leaving: Vec<Leaving>) -> Result<bool, StoreError>;

    /// All that leave with the windows that ended at or before `until` were let: they may be woken, and nobody decides that anew unless scheduled
    /// notifications come to these windows after all. Nothing happens, and the answer is no, where another node decides.
    async fn mustered(&self, until: Timestamp) -> Result<bool, StoreError>;

    /// Gathers sealed devices for the window that ends at `window_end`, a bounded number in each call. Returns whether all of them are that
    /// were due at `beat`, which is also said of a beat that is over.
    async fn beat(&self, beat: Timestamp, window_end: Timestamp) -> Result<bool, StoreError>;

    /// Gathers random silent devices for the window that ends at `window_end`: for each number one, every device as likely as any other. At most
    /// [`reveille_model::limits::EXPAND_MAX`] numbers at a time.
    /// Returns for how many there was one.
    async fn noops(&self, window_end: Timestamp, draws: Vec<u64>) -> Result<u64, StoreError>;

    /// How many there are of what.
    async fn census(&self, now: Timestamp) -> Result<Census, StoreError>;
}

/// How devices are mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// How large cohorts are; nothing where users are not woken in cohorts, but each device by itself.
    pub sizes: Option<CohortSizes>,
    /// The credential sets whose devices show nobody that they were woken.
    pub silent: BTreeSet<CredentialSet>,
    /// What apps are told whose devices are woken for others.
    pub message_type: MessageType,
    /// How long such wake-ups are worth sending.
    pub ttl: Duration,
    /// Whether a user who is erased leaves a ghost: a keyed hash of their name, until their cohort is retired.
    pub ghost_after_erasure: bool,
}

impl Mix {
    /// How a device is woken, as it is registered.
    pub fn of(&self, device: &Subscription) -> Mixed {
        match self.sizes {
            _ if !self.silent.contains(&device.set) => Mixed::Batch,
            _ if device.sealed => Mixed::Sealed,
            Some(_) => Mixed::Cohort,
            None => Mixed::Batch,
        }
    }
}

/// Who waits in one stratum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nursery {
    /// The stratum.
    pub stratum: i64,
    /// The groups, and how many users each has.
    pub groups: Vec<(Group, usize)>,
}

/// Users who wait and stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// One user, under a number of the store's own.
    One(i64),
    /// What is left of a cohort that was retired.
    Survivors(CohortId),
}

/// A cohort that is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// The cohort.
    pub id: CohortId,
    /// When it will have paid for this.
    pub paid_at: Timestamp,
}

/// How many there are of what. Nothing of it is about one user or device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// How many cohorts have so many live users, who have a device wherever it covers, as pairs of size and count in order of size; survivors count as a cohort.
    pub sizes: Vec<(u64, u64)>,
    /// The same of provisional cohorts that have users.
    pub provisional: Vec<(u64, u64)>,
    /// Users who are gone and whose events go on waking their cohort.
    pub ghosts: u64,
    /// Cohorts that have not paid yet for the wake-ups they had.
    pub paying: u64,
    /// Sealed devices.
    pub sealed: u64,
    /// All devices.
    pub devices: u64,
    /// Those of them that show nobody that they were woken, the sealed ones with them.
    pub silent: u64,
    /// Since this was asked last: users who were found to lack a device that they are thought to have when their cohort was woken, and wake-ups
    /// of cohorts that expired before they were tried, as they do while a provider cannot be reached for longer than they are worth. Else 0.
    pub partial: u64,
}
