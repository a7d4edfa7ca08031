//! Who is in which cohort, and how each device is mixed, in memory.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{
    CohortId, CohortSizes, CredentialSet, Mixed, Settled, Subscription, SubscriptionId, Timestamp,
    User,
};

use super::state::State;
use crate::Mix;

/// What is kept of cohorts.
#[derive(Debug, Default)]
pub(super) struct CohortState {
    pub(super) mix: Option<Mix>,
    /// Whether devices have changed.
    pub(super) is_stale: bool,
    pub(super) strata: BTreeMap<String, i64>,
    pub(super) cohorts: BTreeMap<CohortId, Row>,
    pub(super) members: BTreeMap<(User, CohortId), Member>,
    /// Of each cohort and window whether it was decided that it leaves.
    pub(super) marks: BTreeMap<(CohortId, Timestamp), bool>,
    /// Where users of a cohort went, and which window was closed then.
    pub(super) successors: BTreeMap<CohortId, BTreeMap<CohortId, Option<Timestamp>>>,
    pub(super) last_id: i64,
    pub(super) last_beat: Option<Timestamp>,
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

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) stratum: i64,
    pub(super) standing: Standing,
    pub(super) formed: usize,
    pub(super) paid_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) number: i64,
    pub(super) is_ghost: bool,
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

    /// What tells whose devices these are apart from others, in the eyes of those who see them.
    pub(super) fn stratum_name(devices: &[&Subscription]) -> Option<String> {
        let kinds: BTreeSet<String> = devices
            .iter()
            .map(|each| match &each.topic {
                Some(topic) => format!("{} {}", each.set, topic.as_str()),
                None => each.set.to_string(),
            })
            .collect();
        (!kinds.is_empty()).then(|| kinds.into_iter().collect::<Vec<_>>().join("|"))
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

    fn enrol_one(&mut self, user: &User) {
        let stratum = Self::stratum_name(&self.cohort_devices(user)).map(|name| {
            let next = self.of_cohorts.strata.len() as u64;
            *self.of_cohorts.strata.entry(name).or_insert(next.cast_signed() + 1)
        });
        let live = self.cohorts_of(user).into_iter().find(|(_, member)| !member.is_ghost);
        if let Some((id, _)) = live {
            if self.of_cohorts.cohorts.get(&id).map(|row| row.stratum) == stratum {
                return;
            }
            self.leave(user, id);
        }
        let Some(stratum) = stratum else {
            if let Some((before, _)) = live {
                self.wake_alone(user, before);
            }
            return;
        };
        // Whoever comes back takes the place of their ghost.
        let ghost = self.cohorts_of(user).into_iter().find(|(id, _)| {
            self.of_cohorts.cohorts.get(id).is_some_and(|row| row.stratum == stratum)
        });
        let id = match ghost {
            Some((id, _)) => id,
            None => self.provisional(stratum),
        };
        self.join(user, id);
        if let Some((before, _)) = live {
            // It may have been they who were meant, now or later.
            self.hand_on(before, &[id]);
        }
    }

    pub(super) fn join(&mut self, user: &User, id: CohortId) {
        self.of_cohorts.last_id += 1;
        let member = Member { number: self.of_cohorts.last_id, is_ghost: false };
        self.of_cohorts.members.insert((user.clone(), id), member);
    }

    /// A user's devices belong to no cohort any more, though they are there: what was accepted for the one they were in is for them alone.
    fn wake_alone(&mut self, user: &User, before: CohortId) {
        let windows = self.windows_of(before);
        let devices = self.subscriptions.values().filter(|each| each.user == *user);
        let devices = devices.filter(|each| self.mixed(each) == Mixed::Batch);
        let ids: Vec<SubscriptionId> = devices.map(|each| each.id).collect();
        if let Some(window) = windows.first() {
            self.gather_company(*window, ids);
        }
    }

    /// A user has no device any more that belongs to a cohort.
    fn leave(&mut self, user: &User, id: CohortId) {
        let standing = self.of_cohorts.cohorts.get(&id).map(|row| row.standing);
        let key = (user.clone(), id);
        if standing == Some(Standing::Active) && !user.is_unnamed() {
            if let Some(member) = self.of_cohorts.members.get_mut(&key) {
                member.is_ghost = true;
            }
        } else {
            self.of_cohorts.members.remove(&key);
        }
    }

    /// For which windows something may have been accepted for a device that nobody has registered.
    pub(super) fn marks_of_unnamed(&self, id: SubscriptionId) -> Vec<Timestamp> {
        let owner = self.subscriptions.get(&id).map(|each| &each.user);
        let Some(owner) = owner.filter(|owner| owner.is_unnamed()) else { return Vec::new() };
        let cohorts = self.cohorts_for(owner);
        cohorts.into_iter().flat_map(|id| self.windows_of(id)).collect()
    }

    /// A user has registered such a device: what was accepted for it is theirs.
    pub(super) fn take_over(&mut self, windows: Vec<Timestamp>, user: &User) {
        if windows.is_empty() {
            return;
        }
        self.enrol();
        let cohorts = self.cohorts_for(user);
        for window in windows {
            self.mark_all(&cohorts, window);
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

    pub(super) fn live(&self, id: CohortId) -> Vec<(User, Member)> {
        self.of_cohorts
            .members
            .iter()
            .filter(|((_, of), member)| *of == id && !member.is_ghost)
            .map(|((user, _), member)| (user.clone(), *member))
            .collect()
    }

    pub(super) fn new_cohort(
        &mut self,
        stratum: i64,
        standing: Standing,
        formed: usize,
    ) -> CohortId {
        self.of_cohorts.last_id += 1;
        let id = CohortId(self.of_cohorts.last_id);
        self.of_cohorts.cohorts.insert(id, Row { stratum, standing, formed, paid_at: None });
        id
    }

    /// Where users of a stratum wait.
    pub(super) fn provisional(&mut self, stratum: i64) -> CohortId {
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
            Standing::Active if !sizes.is_spent(row.formed, live.len()) => return,
            Standing::Survivors if live.len() >= sizes.floor => return,
            Standing::Active | Standing::Survivors => {}
        }
        self.of_cohorts.members.retain(|(_, of), member| *of != id || !member.is_ghost);
        if live.len() >= sizes.floor {
            let survivors = Row { standing: Standing::Survivors, formed: live.len(), ..row };
            self.of_cohorts.cohorts.insert(id, survivors);
            return;
        }
        let to = if live.is_empty() { Vec::new() } else { vec![self.provisional(row.stratum)] };
        for ((user, _), id) in live.iter().zip(to.iter().cycle()) {
            self.join(user, *id);
        }
        self.end_cohort(id, &to);
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
