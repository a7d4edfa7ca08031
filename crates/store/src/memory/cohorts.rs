//! Cohorts in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use reveille_model::limits::{EXPAND_MAX, GROUPS_MAX};
use reveille_model::{
    Cohort, CohortId, CohortSizes, CredentialSet, DryRun, Marked, Settled, Shuffle, Subscription,
    SubscriptionId, Timestamp, User,
};

use super::MemoryStore;
use super::state::{Shape, State, Target, Targets};
use crate::{Census, Cohorts, Group, Leaving, Mix, Nursery, StoreError};

/// What is kept of cohorts.
#[derive(Debug, Default)]
pub(super) struct CohortState {
    pub(super) mix: Option<Mix>,
    /// Whether devices have changed.
    pub(super) is_stale: bool,
    strata: BTreeMap<String, i64>,
    cohorts: BTreeMap<CohortId, Row>,
    members: BTreeMap<(User, CohortId), Member>,
    /// Of each cohort and window whether it was decided that it leaves.
    pub(super) marks: BTreeMap<(CohortId, Timestamp), bool>,
    /// Where the users of a cohort are that is no more.
    successors: BTreeMap<CohortId, BTreeSet<CohortId>>,
    last_id: i64,
    last_beat: Option<Timestamp>,
    /// Wake-ups that ended before they were tried, though nobody knows whose news they were.
    pub(super) untried: u64,
    beat_after: Option<SubscriptionId>,
    /// Sealed no longer, and woken once more at the next beat.
    pub(super) unsealing: BTreeSet<SubscriptionId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its users wait for others.
    Provisional,
    Active,
    /// It was retired; they wait for others together.
    Survivors,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    stratum: i64,
    standing: Standing,
    formed: usize,
    paid_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    number: i64,
    is_ghost: bool,
}

/// How one device is mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mixed {
    Batch,
    Cohort,
    Sealed,
}

impl State {
    fn sizes(&self) -> Option<CohortSizes> {
        self.of_cohorts.mix.as_ref().and_then(|mix| mix.sizes)
    }

    pub(super) fn are_cohorts_on(&self) -> bool {
        self.sizes().is_some()
    }

    /// Whether devices of a credential set are woken in cohorts.
    pub(super) fn is_in_cohorts(&self, set: &CredentialSet) -> bool {
        self.are_cohorts_on() && self.is_silent(set)
    }

    pub(super) fn is_silent(&self, set: &CredentialSet) -> bool {
        self.of_cohorts.mix.as_ref().is_some_and(|mix| mix.silent.contains(set))
    }

    pub(super) fn mixed(&self, device: &Subscription) -> Mixed {
        let is_unsealing = self.of_cohorts.unsealing.contains(&device.id);
        if !self.is_silent(&device.set) {
            Mixed::Batch
        } else if device.sealed || is_unsealing {
            Mixed::Sealed
        } else if self.sizes().is_some() {
            Mixed::Cohort
        } else {
            Mixed::Batch
        }
    }

    /// The devices that are woken with their user's cohort.
    fn cohort_devices(&self, user: &User) -> Vec<&Subscription> {
        self.subscriptions
            .values()
            .filter(|each| each.user == *user && self.is_silent(&each.set))
            .filter(|each| self.mixed(each) != Mixed::Sealed)
            .collect()
    }

    /// What tells whose devices these are apart from others, in the eyes of those who see them.
    fn stratum_name(devices: &[&Subscription]) -> Option<String> {
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
        let Some(stratum) = stratum else { return };
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
            for window in self.windows_of(before) {
                self.mark(id, window);
            }
        }
    }

    fn join(&mut self, user: &User, id: CohortId) {
        self.of_cohorts.last_id += 1;
        let member = Member { number: self.of_cohorts.last_id, is_ghost: false };
        self.of_cohorts.members.insert((user.clone(), id), member);
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

    /// A user who was erased is to leave nothing.
    pub(super) fn forget_ghosts(&mut self, user: &User) {
        self.enrol_one(user);
        if self.of_cohorts.mix.as_ref().is_some_and(|mix| !mix.ghost_after_erasure) {
            self.of_cohorts.members.retain(|(owner, _), _| owner != user);
        }
    }

    /// The cohorts a user is in, as a member or a ghost.
    fn cohorts_of(&self, user: &User) -> Vec<(CohortId, Member)> {
        self.of_cohorts
            .members
            .iter()
            .filter(|((owner, _), _)| owner == user)
            .map(|((_, id), member)| (*id, *member))
            .collect()
    }

    fn live(&self, id: CohortId) -> Vec<(User, Member)> {
        self.of_cohorts
            .members
            .iter()
            .filter(|((_, of), member)| *of == id && !member.is_ghost)
            .map(|((user, _), member)| (user.clone(), *member))
            .collect()
    }

    fn new_cohort(&mut self, stratum: i64, standing: Standing, formed: usize) -> CohortId {
        self.of_cohorts.last_id += 1;
        let id = CohortId(self.of_cohorts.last_id);
        self.of_cohorts.cohorts.insert(id, Row { stratum, standing, formed, paid_at: None });
        id
    }

    /// Where users of a stratum wait.
    fn provisional(&mut self, stratum: i64) -> CohortId {
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
    fn hand_on(&mut self, id: CohortId, successors: &[CohortId]) {
        for window in self.windows_of(id) {
            for successor in successors {
                self.mark(*successor, window);
            }
        }
        self.of_cohorts.successors.entry(id).or_default().extend(successors);
    }

    /// A cohort is no more. Its users are in others, and its marks go there.
    fn end_cohort(&mut self, id: CohortId, successors: &[CohortId]) {
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

    fn windows_of(&self, id: CohortId) -> Vec<Timestamp> {
        let marks = self.of_cohorts.marks.keys();
        marks.filter(|(of, _)| *of == id).map(|(_, window)| *window).collect()
    }

    /// Something was accepted for a cohort. Whether it is the first in its window shows in the ledger only.
    fn mark(&mut self, id: CohortId, window_end: Timestamp) {
        let is_new = !self.of_cohorts.marks.contains_key(&(id, window_end));
        self.of_cohorts.marks.entry((id, window_end)).or_insert(false);
        self.ledger.accepted += 1;
        if is_new {
            self.ledger.waiting += 1;
        } else {
            self.ledger.collapsed += 1;
        }
    }

    /// The cohorts that stand for a user: those they are in, and those they have left as a ghost.
    pub(super) fn cohorts_for(&self, user: &User) -> BTreeSet<CohortId> {
        self.cohorts_of(user).into_iter().map(|(id, _)| id).collect()
    }

    /// Marks cohorts, and those that came after them.
    pub(super) fn mark_all(&mut self, ids: &BTreeSet<CohortId>, window_end: Timestamp) -> u64 {
        let (mut now, mut look) = (BTreeSet::new(), ids.iter().copied().collect::<Vec<_>>());
        while let Some(id) = look.pop() {
            if now.insert(id) {
                look.extend(self.of_cohorts.successors.get(&id).into_iter().flatten());
            }
        }
        now.retain(|id| self.of_cohorts.cohorts.contains_key(id));
        for id in &now {
            self.mark(*id, window_end);
        }
        now.len() as u64
    }

    /// Wakes one cohort that is to leave. Returns how many wake-ups were made and how many joined others; nothing where none is left.
    pub(super) fn wake_cohort(&mut self, until: Timestamp, shuffle: Shuffle) -> Option<(u64, u64)> {
        let (id, _) = *self
            .of_cohorts
            .marks
            .iter()
            .find(|((_, window), is_leaving)| **is_leaving && *window <= until)?
            .0;
        let shape = self.company()?;
        let windows: Vec<Timestamp> =
            self.windows_of(id).into_iter().filter(|window| *window <= until).collect();
        let devices: Vec<SubscriptionId> = self
            .live(id)
            .iter()
            .flat_map(|(user, _)| self.cohort_devices(user))
            .map(|each| each.id)
            .collect();
        for window in windows {
            self.of_cohorts.marks.remove(&(id, window));
            self.ledger.waiting -= 1;
            if devices.is_empty() {
                self.ledger.settle(Settled::Cancelled, 1);
            } else {
                self.ledger.collapsed += 1;
            }
        }
        let (mut made, mut collapsed) = (0, 0);
        for (device, key) in devices.into_iter().zip(shuffle.keys()) {
            let Some(set) = self.subscriptions.get(&device).map(|each| each.set.clone()) else {
                continue;
            };
            self.ledger.accepted += 1;
            let target = Target::Subscription(device);
            if self.make_wakeup((None, until, &shape), set, target, key) {
                self.ledger.waiting += 1;
                made += 1;
            } else {
                self.ledger.collapsed += 1;
                collapsed += 1;
            }
        }
        Some((made, collapsed))
    }

    /// What every wake-up is like that is not only its device's own.
    fn company(&self) -> Option<Shape> {
        let mix = self.of_cohorts.mix.as_ref()?;
        Some(Shape { message_type: mix.message_type.clone(), ttl: mix.ttl, dry_run: DryRun::No })
    }

    fn as_cohort(&self, id: CohortId, row: &Row) -> Cohort {
        let devices = self.live(id).len();
        Cohort { id, stratum: row.stratum, devices, paid_at: row.paid_at }
    }

    /// Lets devices join a window though nothing has happened to their users.
    fn gather_company(&mut self, window_end: Timestamp, ids: Vec<SubscriptionId>) {
        let Some(shape) = self.company() else { return };
        self.ledger.accepted += ids.len() as u64;
        self.ledger.waiting += ids.len() as u64;
        if !ids.is_empty() {
            self.gather(window_end, None, shape, Targets::Subscriptions(ids));
        }
    }
}

/// For whoever checks a store from outside: what no interface tells.
impl MemoryStore {
    /// The users who live in each cohort, and whether it is provisional.
    pub fn cohort_members(&self) -> BTreeMap<CohortId, (bool, BTreeSet<User>)> {
        let state = self.lock();
        let of = |(id, row): (&CohortId, &Row)| {
            let users = state.live(*id).into_iter().map(|(user, _)| user).collect();
            (*id, (row.standing == Standing::Provisional, users))
        };
        state.of_cohorts.cohorts.iter().map(of).collect()
    }

    /// The cohorts something is accepted for when it is for this user.
    pub fn cohorts_of(&self, user: &User) -> BTreeSet<CohortId> {
        self.lock().cohorts_for(user)
    }

    /// The marks there are: cohorts and the ends of windows.
    pub fn marks(&self) -> BTreeSet<(CohortId, Timestamp)> {
        self.lock().of_cohorts.marks.keys().copied().collect()
    }

    /// The devices of a user that are woken with their cohort.
    pub fn cohort_devices_of(&self, user: &User) -> BTreeSet<SubscriptionId> {
        let state = self.lock();
        state.cohort_devices(user).into_iter().map(|each| each.id).collect()
    }

    /// The devices for which a wake-up waits that nobody holds.
    pub fn waiting_devices(&self) -> BTreeSet<SubscriptionId> {
        let state = self.lock();
        let waiting = state.wakeups.values().filter(|row| row.lease.is_none());
        waiting
            .filter_map(|row| match row.target {
                Target::Subscription(id) => Some(id),
                Target::Token { .. } => None,
            })
            .collect()
    }
}

#[async_trait]
impl Cohorts for MemoryStore {
    async fn mix(&self, mix: Mix) -> Result<(), StoreError> {
        let mut state = self.lock();
        if mix.sizes.is_none() {
            // Nobody decides any more, and nothing accepted may be lost.
            state.of_cohorts.marks.values_mut().for_each(|is_leaving| *is_leaving = true);
        }
        (state.of_cohorts.mix, state.of_cohorts.is_stale) = (Some(mix), true);
        Ok(())
    }

    async fn nurseries(&self) -> Result<Vec<Nursery>, StoreError> {
        let state = self.lock();
        let Some(sizes) = state.sizes() else { return Ok(Vec::new()) };
        let mut nurseries: BTreeMap<i64, Vec<(Group, usize)>> = BTreeMap::new();
        for (id, row) in &state.of_cohorts.cohorts {
            let live = state.live(*id);
            let groups = nurseries.entry(row.stratum).or_default();
            match row.standing {
                Standing::Active => {}
                Standing::Survivors => groups.insert(0, (Group::Survivors(*id), live.len())),
                Standing::Provisional => {
                    groups.extend(live.iter().map(|(_, member)| (Group::One(member.number), 1)));
                }
            }
        }
        let is_enough = |groups: &[(Group, usize)]| {
            groups.iter().map(|(_, size)| size).sum::<usize>() >= sizes.form
        };
        Ok(nurseries
            .into_iter()
            .filter(|(_, groups)| is_enough(groups))
            .map(|(stratum, mut groups)| {
                groups.truncate(GROUPS_MAX);
                Nursery { stratum, groups }
            })
            .collect())
    }

    async fn found(&self, stratum: i64, cohorts: Vec<Vec<Group>>) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let pool = state.provisional(stratum);
        // Who each group is now, and where from.
        let mut dealt: Vec<Vec<(User, CohortId)>> = Vec::new();
        for groups in cohorts {
            let mut users = Vec::new();
            for group in groups {
                let (from, number) = match group {
                    Group::One(number) => (pool, Some(number)),
                    Group::Survivors(id) => (id, None),
                };
                let found: Vec<(User, CohortId)> = state
                    .live(from)
                    .into_iter()
                    .filter(|(_, member)| number.is_none_or(|number| member.number == number))
                    .map(|(user, _)| (user, from))
                    .collect();
                if found.is_empty() {
                    return Ok(false);
                }
                users.extend(found);
            }
            dealt.push(users);
        }
        let mut successors: BTreeMap<CohortId, Vec<CohortId>> = BTreeMap::new();
        for users in dealt {
            let id = state.new_cohort(stratum, Standing::Active, users.len());
            for (user, from) in users {
                state.of_cohorts.members.remove(&(user.clone(), from));
                state.join(&user, id);
                let of_from = successors.entry(from).or_default();
                if !of_from.contains(&id) {
                    of_from.push(id);
                }
            }
        }
        for (from, to) in successors {
            if state.live(from).is_empty() {
                state.end_cohort(from, &to);
            } else {
                state.hand_on(from, &to);
            }
        }
        Ok(true)
    }

    async fn marked(&self, until: Timestamp) -> Result<Vec<Marked>, StoreError> {
        let state = self.lock();
        let mut marked: BTreeMap<CohortId, Marked> = BTreeMap::new();
        for ((id, window), is_leaving) in &state.of_cohorts.marks {
            let Some(row) = state.of_cohorts.cohorts.get(id) else { continue };
            if *window > until {
                continue;
            }
            let entry = marked.entry(*id).or_insert_with(|| Marked {
                cohort: state.as_cohort(*id, row),
                live: state.live(*id).len(),
                is_provisional: row.standing == Standing::Provisional,
                is_leaving: false,
                since: *window,
            });
            entry.is_leaving |= is_leaving;
        }
        Ok(marked.into_values().collect())
    }

    async fn cohorts(&self) -> Result<Vec<Cohort>, StoreError> {
        let state = self.lock();
        let cohorts = state.of_cohorts.cohorts.iter();
        Ok(cohorts
            .filter(|(_, row)| row.standing != Standing::Provisional)
            .map(|(id, row)| state.as_cohort(*id, row))
            .collect())
    }

    async fn lead(&self, until: Timestamp, leaving: Vec<Leaving>) -> Result<(), StoreError> {
        let mut state = self.lock();
        for Leaving { id, paid_at } in leaving {
            let Some(row) = state.of_cohorts.cohorts.get_mut(&id) else { continue };
            row.paid_at = Some(paid_at);
            if !state.windows_of(id).iter().any(|window| *window <= until) {
                state.mark(id, until);
            }
            for window in state.windows_of(id) {
                if window <= until {
                    state.of_cohorts.marks.insert((id, window), true);
                }
            }
        }
        Ok(())
    }

    async fn beat(&self, beat: Timestamp, window_end: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.lock();
        if state.of_cohorts.last_beat >= Some(beat) || state.closed_until >= Some(window_end) {
            return Ok(true);
        }
        let after = state.of_cohorts.beat_after;
        let due: Vec<SubscriptionId> = state
            .subscriptions
            .values()
            .filter(|each| after.is_none_or(|after| each.id > after))
            .filter(|each| state.mixed(each) == Mixed::Sealed)
            .map(|each| each.id)
            .take(EXPAND_MAX)
            .collect();
        state.of_cohorts.beat_after = due.last().copied();
        if due.len() < EXPAND_MAX {
            (state.of_cohorts.last_beat, state.of_cohorts.beat_after) = (Some(beat), None);
        }
        for id in &due {
            state.of_cohorts.unsealing.remove(id);
        }
        state.of_cohorts.is_stale = true;
        let is_over = due.len() < EXPAND_MAX;
        state.gather_company(window_end, due);
        Ok(is_over)
    }

    async fn noops(&self, window_end: Timestamp, draws: Vec<u64>) -> Result<u64, StoreError> {
        let mut state = self.lock();
        if state.closed_until >= Some(window_end) {
            return Ok(0);
        }
        let silent: Vec<SubscriptionId> = state
            .subscriptions
            .values()
            .filter(|each| state.is_silent(&each.set) && state.mixed(each) == Mixed::Batch)
            .map(|each| each.id)
            .collect();
        let count = silent.len() as u64;
        let place = |draw: &u64| usize::try_from(draw.checked_rem(count)?).ok();
        let ids: Vec<SubscriptionId> =
            draws.iter().filter_map(|draw| silent.get(place(draw)?).copied()).collect();
        let drawn = ids.len() as u64;
        state.gather_company(window_end, ids);
        Ok(drawn)
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        let mut state = self.lock();
        let (mut sizes, mut provisional) = (BTreeMap::new(), BTreeMap::new());
        let mut census =
            Census { partial: std::mem::take(&mut state.of_cohorts.untried), ..Census::default() };
        for (id, row) in &state.of_cohorts.cohorts {
            let live = state.live(*id).len() as u64;
            if row.standing != Standing::Provisional {
                *sizes.entry(live).or_default() += 1;
            } else if live > 0 {
                *provisional.entry(live).or_default() += 1;
            }
            census.paying += u64::from(row.paid_at.is_some_and(|paid_at| paid_at > now));
            let is_whole = state.live(*id).iter().all(|(user, _)| {
                let name = State::stratum_name(&state.cohort_devices(user));
                name.and_then(|name| state.of_cohorts.strata.get(&name)) == Some(&row.stratum)
            });
            census.partial += u64::from(!is_whole);
        }
        (census.sizes, census.provisional) =
            (sizes.into_iter().collect(), provisional.into_iter().collect());
        census.ghosts =
            state.of_cohorts.members.values().filter(|member| member.is_ghost).count() as u64;
        census.devices = state.subscriptions.len() as u64;
        let sealed = |each: &&Subscription| state.mixed(each) == Mixed::Sealed;
        census.sealed = state.subscriptions.values().filter(sealed).count() as u64;
        Ok(census)
    }
}
