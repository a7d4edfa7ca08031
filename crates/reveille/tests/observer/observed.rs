//! What was to be seen from outside, and what is asked of it.

use std::collections::{BTreeMap, BTreeSet};

use reveille_lab::{Event as LabEvent, Owner, Push as LabPush};

use crate::rig::devices;

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

#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) events: Vec<Event>,
    pub(crate) pushes: Vec<Push>,
    /// Cohorts and the users who live in them at the end.
    pub(crate) members: Vec<(i64, usize)>,
    /// The owner of each device that is there at the end.
    pub(crate) living: Vec<usize>,
    /// The smallest cohort there was.
    pub(crate) smallest: f64,
}

impl Observed {
    /// The user of a token.
    fn users_by_token(&self) -> BTreeMap<String, usize> {
        let users = self.members.iter().map(|(_, user)| *user);
        let users: BTreeSet<usize> =
            users.chain(self.events.iter().map(|event| event.user)).collect();
        users
            .into_iter()
            .flat_map(|user| devices(user).into_iter().map(move |(_, token)| (token, user)))
            .collect()
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
        let events = self.events.iter();
        let events =
            events.map(|event| LabEvent { at: at(event.round), account: account(event.user) });
        let events = events.collect();
        let meant: BTreeSet<usize> = self.events.iter().map(|event| event.user).collect();
        let mut truth = Vec::new();
        for user in meant {
            for (of, token) in devices(user) {
                if of == provider
                    && let Some(device) = numbers.get(token.as_str())
                {
                    truth.push(Owner { account: account(user), device: *device });
                }
            }
        }
        (events, pushes, truth)
    }

    /// The cohort of each user.
    fn cohorts(&self) -> BTreeMap<usize, i64> {
        self.members.iter().map(|(cohort, user)| (*user, *cohort)).collect()
    }

    /// As a server would that does not shuffle.
    pub(crate) fn send_in_order(&mut self) {
        let mut pushes = std::mem::take(&mut self.pushes);
        let (users, arrivals) = (self.users_by_token(), Arrivals::new(self));
        let order = |push: &Push| {
            let user = users.get(&push.token).copied().unwrap_or_default();
            arrivals.of(push.round, user).map_or(usize::MAX, |arrival| arrival.order)
        };
        pushes.sort_by_key(|push| (push.round, order(push)));
        self.pushes = pushes;
    }

    /// As a server would that forgets one of a cohort once.
    pub(crate) fn lose_one(&mut self) {
        let (users, cohorts) = (self.users_by_token(), self.cohorts());
        let last = self
            .pushes
            .iter()
            .rfind(|push| users.get(&push.token).is_some_and(|user| cohorts.contains_key(user)));
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

    /// As a server would that has no cohorts.
    pub(crate) fn send_to_the_meant_alone(&mut self) {
        let users = self.users_by_token();
        let meant: BTreeSet<(usize, usize)> =
            self.events.iter().map(|event| (event.round, event.user)).collect();
        self.pushes.retain(|push| {
            users.get(&push.token).is_some_and(|user| meant.contains(&(push.round, *user)))
        });
    }
}

/// When something came first for each cohort, in rounds in which all of it came in one window.
struct Arrivals<'a> {
    cohorts: BTreeMap<usize, i64>,
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
            let Some(cohort) = cohorts.get(user) else { continue };
            let arrival = Arrival { window, order: *order };
            let known = first.entry((*round, *cohort)).or_insert(Some(arrival));
            *known = match *known {
                Some(known) if known.window == window => Some(known.min(arrival)),
                // What came in two windows left twice.
                _ => None,
            };
        }
        Self { cohorts, first }
    }

    fn of(&self, round: usize, user: usize) -> Option<Arrival<'a>> {
        *self.first.get(&(round, *self.cohorts.get(&user)?))?
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
    let (users, arrivals) = (observed.users_by_token(), Arrivals::new(observed));
    let mut batches: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for push in &observed.pushes {
        let Some(user) = users.get(&push.token) else { continue };
        if let Some(arrival) = arrivals.of(push.round, *user)
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

/// Events of users with all of their devices to the end, and which of these were not attempted in the round of the event.
pub(crate) fn missed(observed: &Observed) -> Vec<String> {
    let mut attempted: BTreeSet<(usize, &str)> = BTreeSet::new();
    for push in &observed.pushes {
        attempted.insert((push.round, &push.token));
    }
    let mut missed = Vec::new();
    for Event { round, user, .. } in &observed.events {
        let living = observed.living.iter().filter(|owner| *owner == user).count();
        for (provider, token) in devices(*user) {
            let is_whole = living == devices(*user).len();
            if is_whole && !attempted.contains(&(*round, token.as_str())) {
                missed.push(format!("user {user} at {provider} in round {round}"));
            }
        }
    }
    missed
}

/// Rounds in which not all who live in a cohort to the end were attempted, or only some were not.
pub(crate) fn partial(observed: &Observed) -> Vec<String> {
    let users = observed.users_by_token();
    let mut attempted: BTreeSet<(usize, &str)> = BTreeSet::new();
    for push in &observed.pushes {
        attempted.insert((push.round, &push.token));
    }
    let mut alive: BTreeMap<usize, usize> = BTreeMap::new();
    for user in &observed.living {
        *alive.entry(*user).or_default() += 1;
    }
    let mut of_cohort: BTreeMap<(i64, &str), Vec<&str>> = BTreeMap::new();
    let cohorts = observed.cohorts();
    let tokens: Vec<(String, usize)> = users.into_iter().collect();
    for (token, user) in &tokens {
        // Whoever has lost one of two devices is somewhere else now.
        let is_whole = alive.get(user).is_some_and(|count| *count == devices(*user).len());
        if let (Some(cohort), true) = (cohorts.get(user), is_whole) {
            let provider = if token.len() == 32 { "apns" } else { "fcm" };
            of_cohort.entry((*cohort, provider)).or_default().push(token);
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
