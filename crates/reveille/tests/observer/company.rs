//! An observer who looks who is always woken together, and who came from where: it finds the device that was in two companies of one account.

use std::collections::{BTreeMap, BTreeSet};

use crate::ROUNDS;
use crate::observed::Observed;
use crate::rig::{LATER, devices};

/// After so many events of an account since some have other devices.
const EVENTS_MIN: usize = 8;

/// Rounds in which a device was woken.
type History = Vec<usize>;

/// How likely the device of each account is guessed, of those that count.
pub(crate) fn guesses(
    observed: &Observed,
    provider: &str,
    counts: impl Fn(usize) -> bool,
) -> Vec<f64> {
    let mut histories: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for push in observed.pushes.iter().filter(|push| push.provider == provider) {
        histories.entry(&push.token).or_default().insert(push.round);
    }
    let (mut before, mut companies): (BTreeMap<&str, History>, BTreeMap<History, Vec<&str>>) =
        (BTreeMap::new(), BTreeMap::new());
    for (token, rounds) in &histories {
        let (earlier, later) = rounds.iter().partition(|round| **round < LATER);
        before.insert(token, earlier);
        companies.entry(later).or_default().push(token);
    }
    let mut events: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for event in observed.events.iter().filter(|event| event.round >= LATER) {
        events.entry(event.user).or_default().insert(event.round);
    }
    let companies: Vec<(History, Vec<&str>)> = companies.into_iter().collect();
    let mut guesses = Vec::new();
    for (user, rounds) in &events {
        let owned = devices(*user).into_iter().find(|device| {
            device.provider == provider && observed.living.contains(&(*user, device.provider))
        });
        let Some(device) = owned.filter(|_| counts(*user) && rounds.len() >= EVENTS_MIN) else {
            continue;
        };
        let tells: Vec<Option<f64>> =
            companies.iter().map(|(history, _)| tells(history, rounds)).collect();
        let mut scores: BTreeMap<&str, f64> = BTreeMap::new();
        for token in histories.keys() {
            let came_with =
                |tokens: &[&str]| tokens.iter().all(|other| before.get(other) == before.get(token));
            let mut known = companies.iter().zip(&tells);
            let Some(((_, company), Some(own))) =
                known.find(|((_, tokens), _)| tokens.contains(token))
            else {
                continue;
            };
            // What is left of the company it has come from, if it has.
            let left = companies.iter().zip(&tells).filter(|((_, tokens), _)| came_with(tokens));
            let left = left.filter_map(|(_, tells)| *tells).fold(0.0, f64::max);
            scores.insert(token, if came_with(company) { *own } else { own + left });
        }
        let best = scores.values().copied().fold(0.0, f64::max);
        let suspects: Vec<&str> =
            scores.into_iter().filter(|(_, score)| best - score < 1e-9).map(|(id, _)| id).collect();
        let count = f64::from(u32::try_from(suspects.len()).unwrap());
        guesses.push(if suspects.contains(&device.token.as_str()) { 1.0 / count } else { 0.0 });
    }
    guesses
}

/// How much it tells that a company was woken in all of these rounds, if it was: the logarithm of how unlikely that is by chance.
fn tells(history: &History, rounds: &BTreeSet<usize>) -> Option<f64> {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap());
    let others = (LATER..ROUNDS).filter(|round| !rounds.contains(round));
    let by_chance = others.clone().filter(|round| history.contains(round)).count();
    let chance = (float(by_chance) + 1.0) / (float(others.count()) + 2.0);
    let all = rounds.iter().all(|round| history.contains(round));
    all.then(|| -float(rounds.len()) * chance.ln())
}
