//! What must hold of users who are woken together.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{Cohort, CohortId, Duration, Marked, SubscriptionId, Timestamp, User};
use reveille_store::memory::{CohortFacts, MemoryStore};

use super::scenery::{BEAT, LENGTH, PER_DAY, SETTINGS, SIZES, devices, is_there, sealed};

const DAY: Duration = Duration::from_s(86_400);

/// The cohorts and the marks there are.
pub(super) type Before = (BTreeMap<CohortId, CohortFacts>, BTreeSet<(CohortId, Timestamp)>);

#[derive(Debug, Default)]
pub(super) struct Checks {
    /// When each device was last sent to.
    attempted: BTreeMap<SubscriptionId, Timestamp>,
    /// Devices that were to be woken with the window that ended then.
    woken: BTreeMap<SubscriptionId, Timestamp>,
    /// When each cohort left.
    left: BTreeMap<CohortId, Vec<Timestamp>>,
    /// In which company each device was last, once that was formed.
    company: BTreeMap<SubscriptionId, CohortId>,
    /// Since when each device is sealed, as far as was seen.
    sealed_since: BTreeMap<SubscriptionId, Timestamp>,
}

impl Checks {
    pub(super) fn attempted(&mut self, id: SubscriptionId, now: Timestamp) {
        self.attempted.insert(id, now);
    }

    /// Something was accepted for a user: their devices are to be woken, those that are there now.
    pub(super) fn promised(&mut self, store: &MemoryStore, user: &User, window_end: Timestamp) {
        for device in store.cohort_devices_of(user) {
            self.woken.insert(device, window_end);
        }
    }

    /// A cohort was decided to leave by itself.
    pub(super) fn leaves(marked: &Marked, until: Timestamp) -> Result<(), String> {
        let waited = until.since(marked.since.minus(LENGTH));
        if !marked.is_provisional || marked.is_leaving {
            return Ok(());
        }
        // Nobody decides while the process is down, or for longer than a window.
        if waited.as_ms() > SETTINGS.nursery_deadline.as_ms() + 300_000 {
            return Err(format!("a nursery waited too long: {waited:?}"));
        }
        if waited.as_ms() + LENGTH.as_ms() <= SETTINGS.nursery_deadline.as_ms() {
            return Err(format!("a nursery did not wait for others: {waited:?}"));
        }
        Ok(())
    }

    /// These leave, and these with them.
    pub(super) fn led(
        &mut self,
        leaving: &[Cohort],
        padding: &[CohortId],
        (others, until): (&[Cohort], Timestamp),
    ) -> Result<(), String> {
        let all: BTreeSet<CohortId> =
            leaving.iter().map(|each| each.id).chain(padding.iter().copied()).collect();
        for stratum in leaving.iter().map(|each| each.stratum).collect::<BTreeSet<_>>() {
            let of_it = others.iter().filter(|each| each.stratum == stratum);
            let staying = of_it
                .filter(|each| !all.contains(&each.id))
                .filter(|each| SETTINGS.budget.allows(each.paid_at, until))
                .count();
            let known = leaving.iter().chain(others.iter());
            let members: BTreeMap<CohortId, usize> = known
                .filter(|each| each.stratum == stratum && all.contains(&each.id))
                .map(|each| (each.id, each.users))
                .collect();
            let devices: usize = members.values().sum();
            if staying > 0 && (members.len() < 2 || devices < SETTINGS.devices_min) {
                return Err(format!("a batch of {devices} devices leaves alone"));
            }
        }
        for id in all {
            self.left.entry(id).or_default().push(until);
        }
        Ok(())
    }

    /// After one transaction of expansion: whatever cohort it woke it woke whole.
    pub(super) fn expanded(
        &mut self,
        store: &MemoryStore,
        (cohorts, marks): Before,
        until: Timestamp,
    ) -> Result<(), String> {
        let (left, waiting) = (store.marks(), store.waiting_devices());
        let gone = marks.difference(&left).filter(|(_, window)| *window <= until);
        for id in gone.map(|(id, _)| *id).collect::<BTreeSet<_>>() {
            let Some(facts) = cohorts.get(&id) else { continue };
            if !self.left.get(&id).is_some_and(|times| times.contains(&until)) {
                return Err("a cohort is woken that nobody has mustered".to_owned());
            }
            if !facts.is_provisional && facts.live < SIZES.floor {
                return Err(format!("a cohort of {} is woken below its floor", facts.live));
            }
            for device in devices(store, facts) {
                if !waiting.contains(&device) {
                    return Err("a cohort is woken in part".to_owned());
                }
                self.woken.insert(device, until);
            }
            self.budget(id, until)?;
        }
        Ok(())
    }

    /// No device is in two cohorts, and none comes to another one while the one it was in is woken: it would be the only one in both.
    pub(super) fn company(
        &mut self,
        store: &MemoryStore,
        cohorts: &BTreeMap<CohortId, CohortFacts>,
    ) -> Result<(), String> {
        let mut now: BTreeMap<SubscriptionId, CohortId> = BTreeMap::new();
        for (id, facts) in cohorts {
            for device in devices(store, facts) {
                if now.insert(device, *id).is_some() {
                    return Err("a device is in two cohorts".to_owned());
                }
                if facts.is_provisional {
                    continue;
                }
                let before = self.company.insert(device, *id);
                if before.is_some_and(|before| before != *id && cohorts.contains_key(&before)) {
                    return Err("a device has changed company".to_owned());
                }
            }
        }
        Ok(())
    }

    fn budget(&self, id: CohortId, until: Timestamp) -> Result<(), String> {
        let times = self.left.get(&id).map_or(&[][..], Vec::as_slice);
        let mut within: Vec<Timestamp> =
            times.iter().copied().filter(|at| until.since(*at) < DAY).collect();
        within.dedup();
        // What was decided twice because of a crash left once, and was paid for twice.
        if is_dense(&within) {
            return Err(format!("woken {} times, beyond the budget", within.len()));
        }
        Ok(())
    }

    /// Sealed devices are woken at each beat, whatever happens, as long as there is somebody to do it.
    pub(super) fn beats(&mut self, store: &MemoryStore, now: Timestamp) -> Result<(), String> {
        let sealed = sealed(store);
        self.sealed_since.retain(|id, _| sealed.contains(id));
        for id in sealed {
            let since = *self.sealed_since.entry(id).or_insert(now);
            let last = self.attempted.get(&id).copied().unwrap_or(since).max(since);
            // Crashes and long pauses hold up everything for a while.
            if now.since(last).as_ms() > BEAT.as_ms() + 900_000 {
                return Err("a sealed device has missed a beat".to_owned());
            }
        }
        Ok(())
    }

    /// At the end: whoever was to be woken was, unless they are gone.
    pub(super) fn everything_arrived(
        &self,
        store: &MemoryStore,
        now: Timestamp,
    ) -> Result<(), String> {
        for (device, window_end) in &self.woken {
            let arrived = self.attempted.get(device).is_some_and(|at| at >= window_end);
            let is_due = *window_end <= now && is_there(store, *device);
            if is_due && !arrived && !sealed(store).contains(device) {
                return Err(format!("{device} was not woken with its cohort at {window_end:?}"));
            }
        }
        Ok(())
    }
}

/// Whether more left than a quarter of the budget at once and the rest evenly allow.
fn is_dense(times: &[Timestamp]) -> bool {
    let per_day = u64::from(PER_DAY);
    let (at_once, apart) = (per_day / 4, 86_400_000 / (per_day - per_day / 4));
    times.iter().enumerate().any(|(place, first)| {
        let later = times.get(place..).unwrap_or_default();
        let allowed = |last: &Timestamp| at_once + last.since(*first).as_ms() / apart + 1;
        later.last().is_some_and(|last| later.len() as u64 > allowed(last))
    })
}
