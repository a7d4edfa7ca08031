//! Which cohorts a budget of wake-ups buys.

use reveille_mixer::Budget;

use crate::cohorts::Cohorts;
use crate::cost::{Capped, DAY_S, Wakeups, capped};
use crate::population::Population;
use crate::setting::{Setting, SettingError, Streams};
use crate::statistics::{mean, quantile};
use crate::table::{POPULATION, PROPOSAL};

/// Largest cohort that is proposed.
const SIZE_MAX: usize = 10_000;
/// Smallest: one device alone is no cohort.
const SIZE_MIN: usize = 2;
/// So many devices stay within the budget.
const WITHIN: f64 = 0.95;

/// What a budget of wake-ups buys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The budget: wake-ups of a device in a day.
    pub per_day: u32,
    /// What of it comes back evenly, so that it can be spent day after day: all but what may be spent at once.
    pub usable: f64,
    /// Proposed: the largest cohorts with 95 % of devices woken no more often than that. Nothing where pairs are.
    pub calm: Option<Choice>,
    /// The most there is: the largest cohorts whose devices are woken no more often than that on average. Busy ones wait for their budget.
    /// Nothing where pairs are woken more often: then a constant beat is the cheaper one.
    pub most: Option<Choice>,
}

/// Cohorts of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The size.
    pub size: usize,
    /// How often their devices are woken, without the budget.
    pub wakeups: Wakeups,
    /// What the budget does to them.
    pub capped: Capped,
}

/// The largest cohorts that a budget of wake-ups buys.
pub fn propose(setting: &Setting, per_day: u32, seed: u64) -> Result<Proposal, SettingError> {
    setting.check()?;
    let streams = Streams::new(seed);
    let population = Population::draw(setting, &mut streams.of(POPULATION, 0));
    let usable = DAY_S / Budget::per_day(per_day).longer_window().to_std().as_secs_f64();
    let mut rng = streams.of(PROPOSAL, 0);
    let mut shuffled = population.rates.clone();
    rng.shuffle(&mut shuffled);
    // As the mixer deals: at random, and as even as can be. A sketch for the search; what is proposed was dealt by the mixer.
    let woken = |size: usize| -> Vec<f64> {
        let cohorts = shuffled.chunks_exact(size);
        cohorts.map(|members| per_day_of(setting, members.iter().sum())).collect()
    };
    let calm = largest(setting, |size| quantile(woken(size), WITHIN) <= usable);
    let most = largest(setting, |size| mean(woken(size).into_iter()).value <= usable);
    let mut dealt = |size: Option<usize>, fits: &dyn Fn(&Wakeups) -> bool| {
        (SIZE_MIN..=size?).rev().find_map(|size| {
            let cohorts = Cohorts::form(population.devices(), size, &mut rng);
            let rates = cohorts.rates(&population);
            let woken: Vec<f64> = rates.iter().map(|rate| per_day_of(setting, *rate)).collect();
            let wakeups = Wakeups::of(cohorts.spread(&woken));
            let capped = || capped(setting, &rates, per_day, &mut rng);
            fits(&wakeups).then(capped).map(|capped| Choice { size, wakeups, capped })
        })
    };
    let calm = dealt(calm, &|wakeups| wakeups.p95 <= usable);
    let most = dealt(most, &|wakeups| wakeups.mean <= usable);
    Ok(Proposal { per_day, usable, calm, most })
}

/// How often a cohort of this rate is woken a day: one wake-up for each window with at least one event.
fn per_day_of(setting: &Setting, rate: f64) -> f64 {
    -(-rate * setting.window_s()).exp_m1() * DAY_S / setting.window_s()
}

/// The largest size that fits, of those that do: a larger cohort is woken more often.
fn largest(setting: &Setting, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut good, mut bad) = (SIZE_MIN, (setting.devices / 2).min(SIZE_MAX) + 1);
    if bad <= good || !fits(good) {
        return None;
    }
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Some(good)
}

#[cfg(test)]
mod tests {
    use super::propose;
    use crate::setting::Setting;

    #[test]
    fn a_budget_buys_what_it_pays_for() {
        // Devices with 0.086 events a day each: privacy.md §5.1 has 11.0 wake-ups a day for cohorts of 128.
        let setting = Setting { devices: 100_000, rate: 0.1, ..Setting::REFERENCE };
        let proposal = propose(&setting, 15, 1).unwrap();
        assert!((11.9..12.1).contains(&proposal.usable), "{proposal:?}");
        let (calm, most) = (proposal.calm.unwrap(), proposal.most.unwrap());
        assert!((130..150).contains(&most.size), "{proposal:?}");
        assert!(most.wakeups.mean <= proposal.usable && calm.wakeups.p95 <= proposal.usable);
        assert!(calm.size < most.size);
        assert!(calm.capped.events < most.capped.events, "{proposal:?}");
        // Devices with hundreds of events a day each: no pair fits into 48.
        let busy = Setting { devices: 1_000, rate: 10.0, ..Setting::REFERENCE };
        let proposal = propose(&busy, 48, 1).unwrap();
        assert_eq!((proposal.calm, proposal.most), (None, None));
    }
}
