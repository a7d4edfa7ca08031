//! Who is in which cohort, and how each device is mixed, in memory.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{
    CohortId, CohortSizes, CredentialSet, Mixed, Providers, Settled, Spread, Subscription,
    SubscriptionId, Timestamp, User,
};

use super::state::State;
use crate::Mix;

/// What is kept of cohorts.
#[derive(Debug, Default)]
pub(super) struct CohortState {
    pub(super) mix: Option<Mix>,
    /// Whether devices have changed.
    pub(super) is_stale: bool,
    pub(super) strata: BTreeMap<String, Stratum>,
    pub(super) cohorts: BTreeMap<CohortId, Row>,
    pub(super) members: BTreeMap<(User, CohortId), Member>,
    /// Of each cohort and window whether it was decided that it leaves.
    pub(super) marks: BTreeMap<(CohortId, Timestamp), bool>,
    /// Where users of a cohort went, and which window was closed then.
    pub(super) successors: BTreeMap<CohortId, BTreeMap<CohortId, Option<Timestamp>>>,
    pub(super) last_id: i64,
    pub(super) last_beat: Option<Timestamp>,
    /// Up to here it is decided which cohorts leave.
    pub(super) mustered_until: Option<Timestamp>,
    /// Wake-ups that ended before they were tried, though nobody knows whose news they were.
    pub(super) untried: u64,
    /// The beat under way, and up to which device it came.
    pub(super) beat_after: Option<(Timestamp, SubscriptionId)>,
    /// Sealed no longer, and woken once more at the next beat.
    pub(super) unsealing: BTreeSet<SubscriptionId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its users wait for others.
    Provisional,
    Active,
    /// It was retired; they wait for others together.
    Survivors,
}

/// Users whose devices whoever sees them cannot tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stratum {
    pub(super) id: i64,
    pub(super) providers: Providers,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) stratum: Stratum,
    pub(super) standing: Standing,
    pub(super) formed: usize,
    pub(super) paid_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) number: i64,
    pub(super) is_ghost: bool,
    /// Where the cohort covers and they have no device any more.
    pub(super) lacks: Providers,
}

/// What there is of a device that nobody has registered.
#[derive(Debug, Default)]
pub(super) struct Estate {
    /// The windows for which something may have been accepted for it.
    windows: Vec<Timestamp>,
    /// Where it is woken, unless it waits.
    cohort: Option<CohortId>,
}

impl State {
    pub(super) fn sizes(&self) -> Option<CohortSizes> {
        self.of_cohorts.mix.as_ref().and_then(|mix| mix.sizes)
    }

    pub(super) fn are_cohorts_on(&self) -> bool {
        self.sizes().is_some()
    }

    pub(super) fn is_silent(&self, set: &CredentialSet) -> bool {
        self.of_cohorts.mix.as_ref().is_some_and(|mix| mix.silent.contains(set))
    }

    pub(super) fn mixed(&self, device: &Subscription) -> Mixed {
        let is_unsealing = self.of_cohorts.unsealing.contains(&device.id);
        match &self.of_cohorts.mix {
            Some(mix) if is_unsealing && mix.silent.contains(&device.set) => Mixed::Sealed,
            Some(mix) => mix.of(device),
            None => Mixed::Batch,
        }
    }

    /// The devices that are woken with their user's cohort.
    pub(super) fn cohort_devices(&self, user: &User) -> Vec<&Subscription> {
        self.subscriptions
            .values()
            .filter(|each| each.user == *user && self.mixed(each) != Mixed::Sealed)
            // What was marked leaves though there are no cohorts any more, and nobody silent.
            .filter(|each| !self.are_cohorts_on() || self.is_silent(&each.set))
            .collect()
    }

    /// At which providers a user has devices that are woken with a cohort.
    pub(super) fn providers_of(&self, user: &User) -> Providers {
        self.cohort_devices(user).iter().map(|each| each.set.provider()).collect()
    }

    /// What tells a user's devices at these providers apart from others, in the eyes of those who see them.
    fn stratum_of(&mut self, user: &User, providers: Providers) -> Option<Stratum> {
        let kinds: BTreeSet<String> = self
            .cohort_devices(user)
            .iter()
            .filter(|each| providers.contains(each.set.provider()))
            .map(|each| match &each.topic {
                Some(topic) => format!("{} {}", each.set, topic.as_str()),
                None => each.set.to_string(),
            })
            .collect();
        let name = kinds.into_iter().collect::<Vec<_>>().join("|");
        let id = (self.of_cohorts.strata.len() as u64 + 1).cast_signed();
        let strata = &mut self.of_cohorts.strata;
        (!name.is_empty()).then(|| *strata.entry(name).or_insert(Stratum { id, providers }))
    }

    /// Brings every user's membership up to date. Simple before fast: a store that keeps more looks at those only whose devices have changed.
    pub(super) fn enrol(&mut self) {
        if self.sizes().is_none() {
            return;
        }
        let of_devices = self.subscriptions.values().map(|each| each.user.clone());
        let of_members = self.of_cohorts.members.keys().map(|(user, _)| user.clone());
        let users: BTreeSet<User> = of_devices.chain(of_members).collect();
        for user in users {
            self.enrol_one(&user);
        }
        for id in self.of_cohorts.cohorts.keys().copied().collect::<Vec<_>>() {
            self.look_after(id);
        }
    }

    /// Whoever is in a cohort that was formed stays there as long as they have a device where it covers. What no such cohort covers waits.
    fn enrol_one(&mut self, user: &User) {
        let has = self.providers_of(user);
        let before = self.lives_of(user);
        let mut covered = Providers::default();
        let mut memberships = self.cohorts_of(user);
        memberships.retain(|(id, _)| self.standing(*id) != Some(Standing::Provisional));
        memberships.sort_by_key(|(_, member)| member.is_ghost);
        for (id, member) in memberships {
            let covers = self.covers(id);
            let is_open = !member.is_ghost || covers.and(covered).is_empty();
            if !covers.and(has).is_empty() && is_open {
                // Whoever comes back takes the place of their ghost.
                let member = Member { is_ghost: false, lacks: covers.but(has), ..member };
                self.of_cohorts.members.insert((user.clone(), id), member);
                covered = covered.or(covers);
            } else if !member.is_ghost {
                self.leave(user, id);
            }
        }
        self.wait(user, has.but(covered));
        let after = self.lives_of(user);
        let went = |from: &[(CohortId, Providers)], to: &[(CohortId, Providers)]| {
            let ids = from.iter().map(|(id, _)| *id);
            ids.filter(|id| to.iter().all(|(other, _)| other != id)).collect::<Vec<_>>()
        };
        let came = went(&after, &before);
        for left in went(&before, &after) {
            // It may have been they who were meant, now or later.
            self.hand_on(left, &came);
        }
        let all = |of: &[(CohortId, Providers)]| {
            of.iter().fold(Providers::default(), |all, (_, providers)| all.or(*providers))
        };
        for (id, providers) in &before {
            self.wake_alone(user, *id, providers.but(all(&after)));
        }
    }

    /// A user's devices at these providers, and at no others, wait for others.
    fn wait(&mut self, user: &User, providers: Providers) {
        let stratum = self.stratum_of(user, providers);
        let mut cohorts = self.cohorts_of(user).into_iter().map(|(id, _)| id);
        let waits = cohorts.find(|id| self.standing(*id) == Some(Standing::Provisional));
        if let Some(id) = waits {
            if self.of_cohorts.cohorts.get(&id).map(|row| row.stratum) == stratum {
                return;
            }
            self.leave(user, id);
        }
        if let Some(stratum) = stratum {
            let id = self.provisional(stratum);
            self.join(user, id, Providers::default());
        }
    }

    pub(super) fn join(&mut self, user: &User, id: CohortId, lacks: Providers) {
        self.of_cohorts.last_id += 1;
        let member = Member { number: self.of_cohorts.last_id, is_ghost: false, lacks };
        self.of_cohorts.members.insert((user.clone(), id), member);
    }

    /// A user's devices at these providers belong to no cohort any more, though they are there: what was accepted for the one they were in is for
    /// them alone.
    fn wake_alone(&mut self, user: &User, before: CohortId, providers: Providers) {
        let windows = self.windows_of(before);
        let devices = self.subscriptions.values().filter(|each| each.user == *user);
        let ids: Vec<SubscriptionId> = devices
            .filter(|each| providers.contains(each.set.provider()))
            .filter(|each| self.mixed(each) == Mixed::Batch)
            .map(|each| each.id)
            .collect();
        if let Some(window) = windows.first() {
            self.gather_company(*window, ids);
        }
    }

    /// A user has no device any more where a cohort covers.
    fn leave(&mut self, user: &User, id: CohortId) {
        let key = (user.clone(), id);
        if self.standing(id) == Some(Standing::Active) && !user.is_unnamed() {
            if let Some(member) = self.of_cohorts.members.get_mut(&key) {
                member.is_ghost = true;
            }
        } else {
            self.of_cohorts.members.remove(&key);
        }
    }

    /// What a device has that nobody has registered.
    pub(super) fn estate(&self, id: SubscriptionId) -> Estate {
        let owner = self.subscriptions.get(&id).map(|each| &each.user);
        let Some(owner) = owner.filter(|owner| owner.is_unnamed()) else {
            return Estate::default();
        };
        let cohorts = self.cohorts_for(owner);
        let formed = |id: &CohortId| self.standing(*id) != Some(Standing::Provisional);
        Estate {
            windows: cohorts.iter().flat_map(|id| self.windows_of(*id)).collect(),
            cohort: cohorts.iter().copied().find(formed),
        }
    }

    /// A user has registered such a device: what was accepted for it is theirs, and so is its place.
    pub(super) fn take_over(&mut self, estate: Estate, user: &User) {
        let free = estate.cohort.filter(|id| {
            let others = self.cohorts_of(user).into_iter();
            let mut others = others.map(|(other, _)| self.covers(other));
            others.all(|covers| covers.and(self.covers(*id)).is_empty())
        });
        if let Some(id) = free {
            // Whoever watches sees the same devices in the same company as before.
            return self.join(user, id, Providers::default());
        }
        if estate.windows.is_empty() {
            return;
        }
        self.enrol();
        let cohorts = self.cohorts_for(user);
        for window in estate.windows {
            self.mark_all(&cohorts, (&Spread::default(), window));
        }
    }

    /// A user who was erased is to leave nothing.
    pub(super) fn forget_ghosts(&mut self, user: &User) {
        self.enrol_one(user);
        if self.of_cohorts.mix.as_ref().is_some_and(|mix| !mix.ghost_after_erasure) {
            self.of_cohorts.members.retain(|(owner, _), _| owner != user);
        }
    }

    /// The cohorts a user is in, as a member or a ghost.
    pub(super) fn cohorts_of(&self, user: &User) -> Vec<(CohortId, Member)> {
        self.of_cohorts
            .members
            .iter()
            .filter(|((owner, _), _)| owner == user)
            .map(|((_, id), member)| (*id, *member))
            .collect()
    }

    /// Where a user lives: the cohorts, and the providers at which each wakes devices of theirs.
    fn lives_of(&self, user: &User) -> Vec<(CohortId, Providers)> {
        let lives = self.cohorts_of(user).into_iter().filter(|(_, member)| !member.is_ghost);
        lives.map(|(id, member)| (id, self.covers(id).but(member.lacks))).collect()
    }

    fn standing(&self, id: CohortId) -> Option<Standing> {
        self.of_cohorts.cohorts.get(&id).map(|row| row.standing)
    }

    /// At which providers a cohort's users are woken.
    pub(super) fn covers(&self, id: CohortId) -> Providers {
        let row = self.of_cohorts.cohorts.get(&id);
        row.map(|row| row.stratum.providers).unwrap_or_default()
    }

    /// The users who are woken with a cohort.
    pub(super) fn members_of(&self, id: CohortId) -> Vec<(User, Member)> {
        self.of_cohorts
            .members
            .iter()
            .filter(|((_, of), member)| *of == id && !member.is_ghost)
            .map(|((user, _), member)| (user.clone(), *member))
            .collect()
    }

    /// How many of them have a device wherever it covers.
    pub(super) fn live(&self, id: CohortId) -> usize {
        self.members_of(id).iter().filter(|(_, member)| member.lacks.is_empty()).count()
    }

    pub(super) fn new_cohort(
        &mut self,
        stratum: Stratum,
        standing: Standing,
        formed: usize,
    ) -> CohortId {
        self.of_cohorts.last_id += 1;
        let id = CohortId(self.of_cohorts.last_id);
        self.of_cohorts.cohorts.insert(id, Row { stratum, standing, formed, paid_at: None });
        id
    }

    /// Where users of a stratum wait.
    pub(super) fn provisional(&mut self, stratum: Stratum) -> CohortId {
        let known = self
            .of_cohorts
            .cohorts
            .iter()
            .find(|(_, row)| row.stratum == stratum && row.standing == Standing::Provisional);
        match known {
            Some((id, _)) => *id,
            None => self.new_cohort(stratum, Standing::Provisional, 0),
        }
    }

    /// Retires a cohort that is spent, and dissolves survivors who are too few.
    fn look_after(&mut self, id: CohortId) {
        let Some(row) = self.of_cohorts.cohorts.get(&id).copied() else { return };
        let Some(sizes) = self.sizes() else { return };
        let live = self.live(id);
        match row.standing {
            Standing::Provisional => return,
            Standing::Active if !sizes.is_spent(row.formed, live) => return,
            Standing::Survivors if live >= sizes.floor => return,
            Standing::Active | Standing::Survivors => {}
        }
        let members = self.members_of(id);
        if live >= sizes.floor {
            self.of_cohorts.members.retain(|(_, of), member| *of != id || !member.is_ghost);
            let survivors = Row { standing: Standing::Survivors, formed: live, ..row };
            self.of_cohorts.cohorts.insert(id, survivors);
            return;
        }
        self.of_cohorts.members.retain(|(_, of), _| *of != id);
        let mut to = BTreeSet::new();
        for (user, _) in members {
            self.enrol_one(&user);
            let cohorts = self.lives_of(&user).into_iter().map(|(id, _)| id);
            to.extend(cohorts.filter(|id| self.standing(*id) == Some(Standing::Provisional)));
        }
        self.end_cohort(id, &to.into_iter().collect::<Vec<_>>());
    }

    /// Users of a cohort are in others now. Whatever it has, or is scheduled for it, may be theirs.
    pub(super) fn hand_on(&mut self, id: CohortId, successors: &[CohortId]) {
        for window in self.windows_of(id) {
            for successor in successors {
                self.mark(*successor, window);
            }
        }
        let at = self.closed_until;
        let of_cohort = self.of_cohorts.successors.entry(id).or_default();
        of_cohort.extend(successors.iter().map(|successor| (*successor, at)));
    }

    /// A cohort is no more. Its users are in others, and its marks go there.
    pub(super) fn end_cohort(&mut self, id: CohortId, successors: &[CohortId]) {
        self.hand_on(id, successors);
        for window in self.windows_of(id) {
            self.of_cohorts.marks.remove(&(id, window));
            self.ledger.waiting -= 1;
            if successors.is_empty() {
                self.ledger.settle(Settled::Cancelled, 1);
            } else {
                self.ledger.collapsed += 1;
            }
        }
        self.of_cohorts.members.retain(|(_, of), _| *of != id);
        self.of_cohorts.cohorts.remove(&id);
    }

    pub(super) fn windows_of(&self, id: CohortId) -> Vec<Timestamp> {
        let marks = self.of_cohorts.marks.keys();
        marks.filter(|(of, _)| *of == id).map(|(_, window)| *window).collect()
    }
}
