//! What was to be seen from outside, and what is asked of it.

use std::collections::{BTreeMap, BTreeSet};

use reveille_lab::{Event as LabEvent, Owner, Push as LabPush};

use crate::rig::{Device, LATER, USERS, devices, is_equipped_later};

/// Something happened to a user.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) round: usize,
    /// Its place among those of the round.
    pub(crate) order: usize,
    /// The window it joined, by its end.
    pub(crate) window: String,
    pub(crate) user: usize,
}

/// A push, in the order in which they arrived.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) round: usize,
    pub(crate) provider: &'static str,
    pub(crate) token: String,
    /// What it looks like.
    pub(crate) shape: String,
}

/// A user whose devices at a provider are woken with a cohort.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) cohort: i64,
    pub(crate) user: usize,
    pub(crate) provider: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) events: Vec<Event>,
    pub(crate) pushes: Vec<Push>,
    /// Who lives in which cohort at the end.
    pub(crate) members: Vec<Member>,
    /// The owner and the provider of each device that is there at the end.
    pub(crate) living: BTreeSet<(usize, &'static str)>,
    /// The smallest cohort there was.
    pub(crate) smallest: f64,
}

impl Observed {
    /// The device of a token.
    fn devices_by_token(&self) -> BTreeMap<String, Device> {
        let users = self.members.iter().map(|member| member.user);
        let users: BTreeSet<usize> =
            users.chain(self.events.iter().map(|event| event.user)).collect();
        let devices = users.into_iter().flat_map(devices);
        devices.map(|device| (device.token.clone(), device)).collect()
    }

    /// What one provider could give to whoever asks, and who owns which device. Times are those of rounds: whoever has them sees which
    /// pushes belong to which events however slow the machine was, and that is more than real records tell.
    pub(crate) fn logs(&self, provider: &str) -> (Vec<LabEvent>, Vec<LabPush>, Vec<Owner>) {
        let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let of_provider = self.pushes.iter().filter(|push| push.provider == provider);
        let pushes: Vec<LabPush> = of_provider
            .filter(|push| seen.insert((push.round, &push.token)))
            .map(|push| {
                let next = i64::try_from(numbers.len()).unwrap();
                let device = *numbers.entry(&push.token).or_insert(next);
                LabPush { at: at(push.round) + ROUND / 2, device }
            })
            .collect();
        let account = |user: usize| i64::try_from(user).unwrap();
        // What happened before a device was there is nothing it could be known by.
        let is_there = |event: &&Event| {
            let mut devices = devices(event.user).into_iter();
            devices.all(|device| device.provider != provider || device.since <= event.round)
        };
        let events = self.events.iter().filter(is_there);
        let events =
            events.map(|event| LabEvent { at: at(event.round), account: account(event.user) });
        let events = events.collect();
        let meant: BTreeSet<usize> = self.events.iter().map(|event| event.user).collect();
        let mut truth = Vec::new();
        for user in meant {
            for device in devices(user).into_iter().filter(|device| device.provider == provider) {
                if let Some(device) = numbers.get(device.token.as_str()) {
                    truth.push(Owner { account: account(user), device: *device });
                }
            }
        }
        (events, pushes, truth)
    }

    /// The cohort of each user at each provider.
    fn cohorts(&self) -> BTreeMap<(usize, &'static str), i64> {
        let members = self.members.iter();
        members.map(|member| ((member.user, member.provider), member.cohort)).collect()
    }

    /// As a server would that does not shuffle.
    pub(crate) fn send_in_order(&mut self) {
        let mut pushes = std::mem::take(&mut self.pushes);
        let (devices, arrivals) = (self.devices_by_token(), Arrivals::new(self));
        let order = |push: &Push| {
            let arrival =
                devices.get(&push.token).and_then(|device| arrivals.of(push.round, device));
            arrival.map_or(usize::MAX, |arrival| arrival.order)
        };
        pushes.sort_by_key(|push| (push.round, order(push)));
        self.pushes = pushes;
    }

    /// As a server would that forgets one of a cohort once.
    pub(crate) fn lose_one(&mut self) {
        let (devices, cohorts) = (self.devices_by_token(), self.cohorts());
        let lives = |device: &Device| {
            let place = (device.user, device.provider);
            self.living.contains(&place) && cohorts.contains_key(&place)
        };
        let last = self.pushes.iter().rfind(|push| devices.get(&push.token).is_some_and(lives));
        let last = last.unwrap().clone();
        self.pushes.retain(|push| push.round != last.round || push.token != last.token);
    }

    /// As a server would that loses a window.
    pub(crate) fn lose_a_round(&mut self) {
        self.pushes.retain(|push| push.round != 4);
    }

    /// How many kinds of pushes a provider could tell apart.
    pub(crate) fn shapes(&self, provider: &str) -> BTreeSet<&str> {
        let of_provider = self.pushes.iter().filter(|push| push.provider == provider);
        of_provider.map(|push| push.shape.as_str()).collect()
    }

    /// As a server would that moves whoever gets another device to a cohort of such users: their phones leave with that from then on.
    pub(crate) fn move_the_equipped(&mut self) {
        let moved: Vec<usize> = (0..USERS).filter(|user| is_equipped_later(*user)).collect();
        let phones: BTreeMap<usize, String> = moved
            .iter()
            .flat_map(|user| devices(*user))
            .filter(|device| device.provider == "fcm")
            .map(|device| (device.user, device.token))
            .collect();
        let all: BTreeSet<&String> = phones.values().collect();
        let like = self.pushes.iter().find(|push| push.provider == "fcm").unwrap().clone();
        self.pushes.retain(|push| push.round < LATER || !all.contains(&push.token));
        for cohort in moved.chunks(16) {
            let events = self.events.iter().filter(|event| cohort.contains(&event.user));
            let rounds: BTreeSet<usize> = events.map(|event| event.round).collect();
            for round in rounds.into_iter().filter(|round| *round >= LATER) {
                let tokens = cohort.iter().map(|user| phones[user].clone());
                self.pushes.extend(tokens.map(|token| Push { round, token, ..like.clone() }));
            }
        }
    }

    /// As a server would that has no cohorts.
    pub(crate) fn send_to_the_meant_alone(&mut self) {
        let devices = self.devices_by_token();
        let meant: BTreeSet<(usize, usize)> =
            self.events.iter().map(|event| (event.round, event.user)).collect();
        self.pushes.retain(|push| {
            let device = devices.get(&push.token);
            device.is_some_and(|device| meant.contains(&(push.round, device.user)))
        });
    }
}

/// When something came first for each cohort, in rounds in which all of it came in one window.
struct Arrivals<'a> {
    cohorts: BTreeMap<(usize, &'static str), i64>,
    first: BTreeMap<(usize, i64), Option<Arrival<'a>>>,
}

/// A place among a window's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival<'a> {
    window: &'a str,
    order: usize,
}

impl<'a> Arrivals<'a> {
    fn new(observed: &'a Observed) -> Self {
        let cohorts = observed.cohorts();
        let mut first: BTreeMap<(usize, i64), Option<Arrival<'_>>> = BTreeMap::new();
        for Event { round, order, window, user } in &observed.events {
            let of_user = observed.members.iter().filter(|member| member.user == *user);
            for cohort in of_user.map(|member| member.cohort).collect::<BTreeSet<_>>() {
                let arrival = Arrival { window, order: *order };
                let known = first.entry((*round, cohort)).or_insert(Some(arrival));
                *known = match *known {
                    Some(known) if known.window == window => Some(known.min(arrival)),
                    // What came in two windows left twice.
                    _ => None,
                };
            }
        }
        Self { cohorts, first }
    }

    fn of(&self, round: usize, device: &Device) -> Option<Arrival<'a>> {
        *self.first.get(&(round, *self.cohorts.get(&(device.user, device.provider))?))?
    }
}

/// How long a round is to the observer.
pub(crate) const ROUND: i64 = 1_000;

fn at(round: usize) -> i64 {
    i64::try_from(round).unwrap() * ROUND
}

/// How departure follows arrival.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) rho: f64,
    pub(crate) pushes: usize,
}

/// Spearman's rho of when something came for a push's cohort, and the push's place among those of its window and provider. Of each device the first
/// push in a round; padding has no arrival.
pub(crate) fn rho(observed: &Observed) -> Order {
    let (devices, arrivals) = (observed.devices_by_token(), Arrivals::new(observed));
    let mut batches: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for push in &observed.pushes {
        let Some(device) = devices.get(&push.token) else { continue };
        if let Some(arrival) = arrivals.of(push.round, device)
            && seen.insert((push.round, &push.token))
        {
            batches.entry((push.provider, arrival.window)).or_default().push(arrival.order);
        }
    }
    let (mut sum, mut weight, mut pushes) = (0.0, 0.0, 0);
    for arrivals in batches.values() {
        if let Some(rho) = spearman(arrivals) {
            let tells = f64::from(u32::try_from(arrivals.len() - 1).unwrap());
            sum += rho * tells;
            weight += tells;
            pushes += arrivals.len();
        }
    }
    Order { rho: sum / weight, pushes }
}

/// Of values and their places; equal values share a rank.
fn spearman(values: &[usize]) -> Option<f64> {
    let float = |place: usize| f64::from(u32::try_from(place).unwrap());
    let mut sorted: Vec<usize> = values.to_vec();
    sorted.sort_unstable();
    let middle = float(values.len() - 1) / 2.0;
    let (mut both, mut of_values, mut of_places) = (0.0, 0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let below = sorted.partition_point(|each| each < value);
        let upto = sorted.partition_point(|each| each <= value);
        let rank = float(below + upto - 1) / 2.0 - middle;
        let place = float(place) - middle;
        both += rank * place;
        of_values += rank * rank;
        of_places += place * place;
    }
    (of_values > 0.0).then(|| both / (of_values * of_places).sqrt())
}

/// Events of users, and which of their devices that are there to the end were not attempted in the round of the event.
pub(crate) fn missed(observed: &Observed) -> Vec<String> {
    let mut attempted: BTreeSet<(usize, &str)> = BTreeSet::new();
    for push in &observed.pushes {
        attempted.insert((push.round, &push.token));
    }
    let mut missed = Vec::new();
    for Event { round, user, .. } in &observed.events {
        for Device { provider, token, since, .. } in devices(*user) {
            let is_there = since <= *round && observed.living.contains(&(*user, provider));
            if is_there && !attempted.contains(&(*round, token.as_str())) {
                missed.push(format!("user {user} at {provider} in round {round}"));
            }
        }
    }
    missed
}

/// Rounds in which not all who live in a cohort to the end were attempted, or only some were not.
pub(crate) fn partial(observed: &Observed) -> Vec<String> {
    let devices = observed.devices_by_token();
    let mut attempted: BTreeSet<(usize, &str)> = BTreeSet::new();
    for push in &observed.pushes {
        attempted.insert((push.round, &push.token));
    }
    let mut of_cohort: BTreeMap<(i64, &str), Vec<&str>> = BTreeMap::new();
    let cohorts = observed.cohorts();
    for (token, device) in &devices {
        let place = (device.user, device.provider);
        if let (Some(cohort), true) = (cohorts.get(&place), observed.living.contains(&place)) {
            of_cohort.entry((*cohort, device.provider)).or_default().push(token);
        }
    }
    let rounds = 1 + observed.events.iter().map(|event| event.round).max().unwrap_or_default();
    let mut partial = Vec::new();
    for ((cohort, provider), tokens) in of_cohort {
        for round in 0..rounds {
            let count = tokens.iter().filter(|token| attempted.contains(&(round, token))).count();
            if count != 0 && count != tokens.len() {
                let of = tokens.len();
                partial
                    .push(format!("cohort {cohort} at {provider}, round {round}: {count} of {of}"));
            }
        }
    }
    partial
}
