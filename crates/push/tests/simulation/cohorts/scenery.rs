//! Mistakes that are planted, and what the checks ask of a store.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{SubscriptionId, User};
use reveille_store::Subscriptions as _;
use reveille_store::memory::MemoryStore;

use crate::scenery::done;

pub(super) const USERS: u64 = 14;

/// Mistakes that are planted, each to prove one checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    LosesOneOfACohort,
    ForgetsOneInFlight,
    WakesTheSpent,
    HoldsTheNursery,
    WakesTheNursery,
    ForgetsMarks,
    NeverPads,
    SpendsWithoutEnd,
    SealsNobody,
    NotesWhoWasMeant,
}

pub(super) fn user(number: u64) -> User {
    User::parse(&format!("user-{number}")).unwrap()
}

/// Who has how many devices: for the checks.
pub(super) fn devices(store: &MemoryStore) -> BTreeMap<User, BTreeSet<SubscriptionId>> {
    (0..USERS).map(|number| (user(number), store.cohort_devices_of(&user(number)))).collect()
}

/// The sealed devices there are.
pub(super) fn sealed(store: &MemoryStore) -> BTreeSet<SubscriptionId> {
    let all = (0..USERS).flat_map(|number| done(store.list(&user(number))).unwrap());
    all.filter(|each| each.sealed).map(|each| each.id).collect()
}

/// Whether a device is still there.
pub(super) fn is_there(store: &MemoryStore, id: SubscriptionId) -> bool {
    (0..USERS).any(|number| done(store.get(&user(number), id)).unwrap().is_some())
}
