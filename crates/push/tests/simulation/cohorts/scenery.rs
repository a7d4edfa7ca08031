//! Mistakes that are planted, and what the checks ask of a store.

use std::collections::BTreeSet;

use reveille_mixer::{Budget, MusterSettings};
use reveille_model::{
    CohortSizes, CredentialSet, Duration, Provider, SubscriptionId, Timestamp, User,
};
use reveille_store::Subscriptions as _;
use reveille_store::memory::{CohortFacts, MemoryStore};

use crate::scenery::done;

pub(super) const USERS: u64 = 14;
pub(super) const LENGTH: Duration = Duration::from_s(10);
pub(super) const BEAT: Duration = Duration::from_s(120);
pub(super) const SIZES: CohortSizes = CohortSizes { form: 4, floor: 2 };
/// Wake-ups of a device a day.
pub(super) const PER_DAY: u32 = 40;
pub(super) const SETTINGS: MusterSettings = MusterSettings {
    budget: Budget::per_day(PER_DAY),
    devices_min: 6,
    nursery_deadline: Duration::from_s(60),
};

/// The providers at which users have devices.
pub(super) const KINDS: [Provider; 2] = [Provider::Fcm, Provider::Apns];

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
    MovesTheEquipped,
    WakesBeforeTheMuster,
}

/// How it is decided what leaves.
pub(super) const fn settings(bug: Option<Bug>) -> MusterSettings {
    match bug {
        Some(Bug::HoldsTheNursery) => {
            MusterSettings { nursery_deadline: Duration::from_s(600), ..SETTINGS }
        }
        Some(Bug::WakesTheNursery) => {
            MusterSettings { nursery_deadline: Duration::ZERO, ..SETTINGS }
        }
        Some(Bug::SpendsWithoutEnd) => {
            MusterSettings { budget: Budget::per_day(1_000_000), ..SETTINGS }
        }
        _ => SETTINGS,
    }
}

pub(super) fn set_of(provider: Provider) -> CredentialSet {
    CredentialSet::new(provider, "default").unwrap()
}

pub(super) fn user(number: u64) -> User {
    User::parse(&format!("user-{number}")).unwrap()
}

/// The devices that are woken with a cohort.
pub(super) fn devices(store: &MemoryStore, facts: &CohortFacts) -> BTreeSet<SubscriptionId> {
    let of_users = facts.users.iter().flat_map(|user| done(store.list(user)).unwrap());
    let covered = of_users.filter(|each| facts.covers.contains(each.set.provider()));
    let ids = covered.map(|each| (each.user, each.id));
    ids.filter(|(user, id)| store.cohort_devices_of(user).contains(id)).map(|(_, id)| id).collect()
}

/// Users of the same cohorts: whose event it is makes no difference. What is scheduled is kept for their sealed devices, too, and counted, should they not be sealed by then.
pub(super) fn like(store: &MemoryStore, user: &User, scheduled: Option<Timestamp>) -> Vec<User> {
    let cohorts = store.cohorts_of(user);
    // Until its beat a device that is sealed no longer is woken as if it were.
    let is_open =
        |user: &User| done(store.list(user)).unwrap().len() == store.cohort_devices_of(user).len();
    if cohorts.is_empty() || scheduled.is_some() && !is_open(user) {
        return Vec::new();
    }
    let all = (0..USERS).map(self::user).filter(|each| store.cohorts_of(each) == cohorts);
    all.filter(|each| scheduled.is_none() || is_open(each)).collect()
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
