//! Cohorts in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use reveille_model::limits::{EXPAND_MAX, GROUPS_MAX};
use reveille_model::{
    Cohort, CohortId, DryRun, Marked, Mixed, Providers, Settled, Shuffle, Spread, Subscription,
    SubscriptionId, Timestamp, User,
};

use super::MemoryStore;
use super::members::{Member, Row, Standing};
use super::state::{Shape, State, Target, Targets};
use crate::{Census, Cohorts, Group, Leaving, Mix, Nursery, StoreError};

impl State {
    /// Something was accepted for a cohort. Whether it is the first in its window shows in the ledger only.
    pub(super) fn mark(&mut self, id: CohortId, window_end: Timestamp) {
        let is_new = !self.of_cohorts.marks.contains_key(&(id, window_end));
        // Where there are no cohorts any more nobody decides what leaves.
        let is_leaving = !self.are_cohorts_on();
        self.of_cohorts.marks.entry((id, window_end)).or_insert(is_leaving);
        self.ledger.accepted += 1;
        if is_new {
            self.ledger.waiting += 1;
        } else {
            self.ledger.collapsed += 1;
        }
    }

    /// The cohorts that stand for a user: those they are in, and those they have left as a ghost.
    pub(super) fn cohorts_for(&self, user: &User) -> BTreeSet<CohortId> {
        if !self.are_cohorts_on() {
            return BTreeSet::new();
        }
        self.cohorts_of(user).into_iter().map(|(id, _)| id).collect()
    }

    /// Cohorts, and those that users of theirs went to since that window was closed.
    pub(super) fn with_successors(
        &self,
        ids: BTreeSet<CohortId>,
        since: Option<Timestamp>,
    ) -> BTreeSet<CohortId> {
        let (mut all, mut look) = (BTreeSet::new(), ids.into_iter().collect::<Vec<_>>());
        while let Some(id) = look.pop() {
            if all.insert(id) {
                let went = self.of_cohorts.successors.get(&id).into_iter().flatten();
                look.extend(went.filter(|(_, at)| **at >= since).map(|(id, _)| *id));
            }
        }
        all
    }

    /// Marks cohorts; returns how many there still are.
    pub(super) fn mark_all(
        &mut self,
        ids: &BTreeSet<CohortId>,
        (spread, window_end): (&Spread, Timestamp),
    ) -> u64 {
        let there = ids.iter().filter(|id| self.of_cohorts.cohorts.contains_key(id));
        let there: Vec<CohortId> = there.copied().collect();
        for id in &there {
            self.mark(*id, spread.of_cohort(*id, window_end));
        }
        there.len() as u64
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
        let covers = self.covers(id);
        let members = self.members_of(id);
        let devices = members.iter().flat_map(|(user, _)| self.cohort_devices(user));
        let devices: Vec<SubscriptionId> = devices
            .filter(|each| covers.contains(each.set.provider()))
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
        Cohort { id, stratum: row.stratum.id, users: self.live(id), paid_at: row.paid_at }
    }

    /// Lets devices join a window though nothing has happened to their users.
    pub(super) fn gather_company(&mut self, window_end: Timestamp, ids: Vec<SubscriptionId>) {
        let Some(shape) = self.company() else { return };
        self.ledger.accepted += ids.len() as u64;
        self.ledger.waiting += ids.len() as u64;
        if !ids.is_empty() {
            self.gather(window_end, None, shape, Targets::Subscriptions(ids));
        }
    }
}

/// What is so of a cohort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortFacts {
    /// Whether its users wait for others.
    pub is_provisional: bool,
    /// At which providers they are woken with it.
    pub covers: Providers,
    /// How many of them have a device at each of these.
    pub live: usize,
    /// Who is woken with it.
    pub users: BTreeSet<User>,
}

/// For whoever checks a store from outside: what no interface tells.
impl MemoryStore {
    /// Each cohort as it is.
    pub fn cohort_facts(&self) -> BTreeMap<CohortId, CohortFacts> {
        let state = self.lock();
        let of = |(id, row): (&CohortId, &Row)| {
            let users = state.members_of(*id).into_iter().map(|(user, _)| user).collect();
            let facts = CohortFacts {
                is_provisional: row.standing == Standing::Provisional,
                covers: row.stratum.providers,
                live: state.live(*id),
                users,
            };
            (*id, facts)
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

    /// The devices of a user that are woken with a cohort of theirs.
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
            let groups = nurseries.entry(row.stratum.id).or_default();
            match row.standing {
                Standing::Active => {}
                Standing::Survivors => groups.insert(0, (Group::Survivors(*id), state.live(*id))),
                Standing::Provisional => {
                    let members = state.members_of(*id);
                    groups.extend(members.iter().map(|(_, member)| (Group::One(member.number), 1)));
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
        let strata = state.of_cohorts.strata.values();
        let Some(stratum) = strata.copied().find(|each| each.id == stratum) else {
            return Ok(false);
        };
        let pool = state.provisional(stratum);
        // Who each group is now, and where from.
        let mut dealt: Vec<Vec<(User, CohortId, Member)>> = Vec::new();
        for groups in cohorts {
            let mut users = Vec::new();
            for group in groups {
                let (from, number) = match group {
                    Group::One(number) => (pool, Some(number)),
                    Group::Survivors(id) => (id, None),
                };
                let found: Vec<_> = state
                    .members_of(from)
                    .into_iter()
                    .filter(|(_, member)| number.is_none_or(|number| member.number == number))
                    .map(|(user, member)| (user, from, member))
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
            let formed = users.iter().filter(|(_, _, member)| member.lacks.is_empty()).count();
            let id = state.new_cohort(stratum, Standing::Active, formed);
            for (user, from, member) in users {
                state.of_cohorts.members.remove(&(user.clone(), from));
                state.join(&user, id, member.lacks);
                let of_from = successors.entry(from).or_default();
                if !of_from.contains(&id) {
                    of_from.push(id);
                }
            }
        }
        for (from, to) in successors {
            if state.members_of(from).is_empty() {
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

    async fn lead(&self, until: Timestamp, leaving: Vec<Leaving>) -> Result<bool, StoreError> {
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
        Ok(true)
    }

    async fn mustered(&self, until: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.lock();
        state.of_cohorts.mustered_until = state.of_cohorts.mustered_until.max(Some(until));
        Ok(true)
    }

    async fn beat(&self, beat: Timestamp, window_end: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.lock();
        if state.of_cohorts.last_beat >= Some(beat) || state.closed_until >= Some(window_end) {
            return Ok(true);
        }
        let under_way = state.of_cohorts.beat_after.filter(|(of, _)| *of == beat);
        let after = under_way.map(|(_, id)| id);
        let due: Vec<SubscriptionId> = state
            .subscriptions
            .values()
            .filter(|each| after.is_none_or(|after| each.id > after))
            .filter(|each| state.mixed(each) == Mixed::Sealed)
            .map(|each| each.id)
            .take(EXPAND_MAX)
            .collect();
        state.of_cohorts.beat_after = due.last().map(|id| (beat, *id));
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
            let live = state.live(*id) as u64;
            if row.standing != Standing::Provisional {
                *sizes.entry(live).or_default() += 1;
            } else if live > 0 {
                *provisional.entry(live).or_default() += 1;
            }
            census.paying += u64::from(row.paid_at.is_some_and(|paid_at| paid_at > now));
            let of_members = state.members_of(*id);
            let astray = of_members.iter().filter(|(user, member)| {
                row.stratum.providers.and(state.providers_of(user))
                    != row.stratum.providers.but(member.lacks)
            });
            census.partial += astray.count() as u64;
        }
        (census.sizes, census.provisional) =
            (sizes.into_iter().collect(), provisional.into_iter().collect());
        census.ghosts =
            state.of_cohorts.members.values().filter(|member| member.is_ghost).count() as u64;
        census.devices = state.subscriptions.len() as u64;
        let silent = state.subscriptions.values().filter(|each| state.is_silent(&each.set));
        census.silent = silent.count() as u64;
        let sealed = |each: &&Subscription| state.mixed(each) == Mixed::Sealed;
        census.sealed = state.subscriptions.values().filter(sealed).count() as u64;
        Ok(census)
    }
}
