//! An observer who also counts: it knows how many events the account had in 90 days, all of them public, and how often each device was
//! pushed in that time, before anything was coalesced. Cohorts hide one member's count among the others'.

use reveille_model::Rng;

use crate::cohorts::Cohorts;
use crate::population::{Population, WATCHED_S};
use crate::posterior::{Prior, Verdict, verdict};
use crate::sender::{Company, Sender, per_second};
use crate::statistics::as_float;
use crate::trials::Desk;
use crate::weighted::{ln_factorial, poisson_fast};
use crate::world::World;

/// So many members stand for all that may be watched of cohorts of one kind: each is a term of a sum for each cohort of each trial.
const SHARES_MAX: usize = 64;

/// What an observer can count. Whoever is pushed together has one count: a unit is a device, or a cohort.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The unit of each device.
    of: Vec<usize>,
    /// Pushes of each unit in the time of the records, on average.
    expected: Vec<f64>,
    /// What the account's unit is pushed for besides the account.
    beside: Beside,
}

/// What the account's unit is pushed for besides the account.
#[derive(Debug)]
enum Beside {
    /// So many decoys on average; none on a bare grid.
    Decoys(f64),
    /// The other members. For each kind of cohorts: which they are, and the shares that those who may be watched have of theirs.
    Members(Vec<Kind>),
}

/// Cohorts that are alike.
#[derive(Debug)]
struct Kind {
    cohorts: Vec<usize>,
    /// Logarithms of a member's share, and of what the others have.
    shares: Vec<(f64, f64)>,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    /// Events of the account.
    own: usize,
    /// Pushes of each unit.
    pushes: Vec<usize>,
}

impl Ledger {
    /// Nothing for designs that are not counted.
    pub(crate) fn new(world: &World, population: &Population) -> Option<Self> {
        let Sender::Window(sender) = &world.sender else { return None };
        match &sender.company {
            Company::Nobody => Some(Self::of_devices(population, 0.0)),
            Company::Decoys(per_minute) => {
                let each = per_second(*per_minute) / as_float(population.devices());
                Some(Self::of_devices(population, each * WATCHED_S))
            }
            Company::Cohorts(cohorts) => Some(Self::of_cohorts(population, cohorts)),
            Company::Everybody => None,
        }
    }

    fn of_devices(population: &Population, decoys: f64) -> Self {
        Self {
            of: (0..population.devices()).collect(),
            expected: population.rates.iter().map(|rate| rate * WATCHED_S + decoys).collect(),
            beside: Beside::Decoys(decoys),
        }
    }

    fn of_cohorts(population: &Population, cohorts: &Cohorts) -> Self {
        let rates = cohorts.rates(population);
        let kinds = cohorts.kinds(population).into_iter();
        let kinds = kinds.map(|alike| Kind::new(alike, population, cohorts, &rates)).collect();
        Self {
            of: cohorts.of.clone(),
            expected: rates.iter().map(|rate| rate * WATCHED_S).collect(),
            beside: Beside::Members(kinds),
        }
    }

    /// What is counted where this device is the account's. The account had an event: the one that is watched.
    fn draw(&self, population: &Population, target: usize, rng: &mut Rng) -> Counts {
        let expected = population.rates.get(target).copied().unwrap_or_default() * WATCHED_S;
        let own = poisson_fast(expected, rng).max(1);
        let mut pushes: Vec<usize> =
            self.expected.iter().map(|expected| poisson_fast(*expected, rng)).collect();
        let unit = self.of.get(target).copied().unwrap_or_default();
        let all = self.expected.get(unit).copied().unwrap_or_default();
        let beside = match &self.beside {
            Beside::Decoys(decoys) => *decoys,
            Beside::Members(_) => (all - expected).max(0.0),
        };
        if let Some(pushes) = pushes.get_mut(unit) {
            *pushes = own + poisson_fast(beside, rng);
        }
        Counts { own, pushes }
    }

    /// The logarithm of how likely what was counted is if the account's device is in this unit, over how likely if not.
    ///
    /// Among decoys X pushes are c events and X-c decoys: Poisson(X-c; decoys), over how frequent such a count is in the population, which
    /// hardly changes over the width of the former. So c pushes, no more and no less, where there are no decoys. The account's own rate is not
    /// compared with c once more, which comes nearest to the study (a grid 88 %, EAS 1.2; decoys-8 2.0 %, EAS 158).
    /// Of cohorts the rate is known, and nothing of single members: of X pushes c are one member's with Binomial(c; X, s), where s is any share that a member who may be watched has in a
    /// cohort of this kind. That is the Bayes-optimal observer, who is somewhat better than the study's (0.33 %, EAS 734).
    fn evidence(&self, counts: &Counts) -> Vec<f64> {
        let of_device = |pushes: &usize, decoys: f64| {
            let others = pushes.checked_sub(counts.own);
            others.map_or(f64::NEG_INFINITY, |others| ln_poisson(others, decoys))
        };
        match &self.beside {
            Beside::Decoys(decoys) => {
                counts.pushes.iter().map(|pushes| of_device(pushes, *decoys)).collect()
            }
            Beside::Members(kinds) => {
                let mut logs = vec![f64::NEG_INFINITY; counts.pushes.len()];
                for kind in kinds {
                    for cohort in &kind.cohorts {
                        let pushes = counts.pushes.get(*cohort).copied().unwrap_or_default();
                        if let Some(log) = logs.get_mut(*cohort) {
                            *log = kind.ln_mean(counts.own, pushes);
                        }
                    }
                }
                logs
            }
        }
    }

    /// What is believed once all is counted.
    fn prior(&self, before: &Prior, counts: &Counts) -> Prior {
        let logs = self.evidence(counts);
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let chances = self.of.iter().enumerate().map(|(device, unit)| {
            let log = logs.get(*unit).copied().unwrap_or(f64::NEG_INFINITY);
            before.chance(device) * (log - highest).exp()
        });
        let chances: Vec<f64> = chances.collect();
        let total: f64 = chances.iter().sum();
        Prior::new(chances.iter().map(|chance| chance / total).collect())
    }
}

impl Kind {
    fn new(alike: Vec<usize>, population: &Population, cohorts: &Cohorts, rates: &[f64]) -> Self {
        let mut shares = Vec::new();
        for cohort in &alike {
            let members = cohorts.members.get(*cohort).map(Vec::as_slice).unwrap_or_default();
            let all = rates.get(*cohort).copied().unwrap_or_default();
            for member in members {
                if population.is_target(*member) {
                    let share = population.rates.get(*member).copied().unwrap_or_default() / all;
                    shares.push(share.min(1.0));
                }
            }
        }
        shares.sort_unstable_by(f64::total_cmp);
        let count = shares.len().min(SHARES_MAX);
        let chosen =
            (0..count).filter_map(|place| shares.get((2 * place + 1) * shares.len() / (2 * count)));
        Self {
            shares: chosen.map(|share| (share.ln(), (-share).ln_1p())).collect(),
            cohorts: alike,
        }
    }

    /// The logarithm of the chance that one member has so many of a cohort's pushes, on average over members.
    fn ln_mean(&self, own: usize, pushes: usize) -> f64 {
        let Some(others) = pushes.checked_sub(own) else { return f64::NEG_INFINITY };
        let choose = ln_factorial(pushes) - ln_factorial(own) - ln_factorial(others);
        let (own, others) = (as_float(own), as_float(others));
        let sum: f64 = self
            .shares
            .iter()
            .map(|(one, rest)| {
                let rest = if others > 0.0 { others * rest } else { 0.0 };
                (choose + own * one + rest).exp()
            })
            .sum();
        (sum / as_float(self.shares.len().max(1))).ln()
    }
}

/// The logarithm of the chance of so many where `mean` are expected.
fn ln_poisson(count: usize, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if count == 0 { 0.0 } else { f64::NEG_INFINITY };
    }
    let power = if count == 0 { 0.0 } else { as_float(count) * mean.ln() };
    power - mean - ln_factorial(count)
}

/// Watches one event of one target, and counts.
pub(crate) fn counted(
    world: &World,
    ledger: &Ledger,
    population: &Population,
    desk: &mut Desk,
    rng: Rng,
) -> Verdict {
    let Desk { bench, transcript, tally } = desk;
    bench.begin(rng);
    tally.clear();
    let target = population.draw_target(&mut bench.rng);
    let counts = ledger.draw(population, target, &mut bench.rng);
    world.sender.snapshot(population, target, bench, transcript);
    world.watcher.observe(transcript, tally);
    verdict(&ledger.prior(&world.watcher.prior, &counts), tally, &[target])
}

#[cfg(test)]
mod tests {
    use super::{Beside, Counts, Kind, Ledger, counted, ln_poisson};
    use crate::check::judge;
    use crate::design::Design;
    use crate::population::Population;
    use crate::posterior::Prior;
    use crate::setting::{Setting, Streams};
    use crate::statistics::mean;
    use crate::table::{Plan, table};
    use crate::trials::Desk;
    use crate::world::{Ground, World};

    #[test]
    fn on_a_grid_a_device_whose_count_differs_by_one_is_excluded() {
        let population = Population::of(vec![1e-5; 4]);
        let ledger = Ledger::of_devices(&population, 0.0);
        let counts = Counts { own: 70, pushes: vec![70, 71, 69, 70] };
        let prior = ledger.prior(&Prior::uniform(4), &counts);
        let chances: Vec<f64> = (0..4).map(|device| prior.chance(device)).collect();
        for (chance, expected) in chances.iter().zip([0.5, 0.0, 0.0, 0.5]) {
            assert!((chance - expected).abs() < 1e-12, "{chances:?}");
        }
    }

    #[test]
    fn decoys_are_poisson_and_members_binomial() {
        // Poisson(2; 3) = 4.5·e^-3.
        assert!((ln_poisson(2, 3.0) - (4.5_f64.ln() - 3.0)).abs() < 1e-12);
        let population = Population::of(vec![1e-5; 3]);
        let counts = Counts { own: 5, pushes: vec![7, 8, 4] };
        let prior = Ledger::of_devices(&population, 3.0).prior(&Prior::uniform(3), &counts);
        // Poisson(2; 3) and Poisson(3; 3) are alike.
        assert!((prior.chance(0) - 0.5).abs() < 1e-9 && prior.chance(2) <= 0.0);
        let shares = [0.25_f64, 0.5].map(|share| (share.ln(), (-share).ln_1p())).to_vec();
        let kind = Kind { cohorts: vec![0], shares };
        // Binomial(1; 3, 1/4) = 27/64 and Binomial(1; 3, 1/2) = 24/64.
        assert!((kind.ln_mean(1, 3).exp() - 25.5 / 64.0).abs() < 1e-12);
        assert!(kind.ln_mean(4, 3).exp() <= 0.0);
    }

    #[test]
    fn an_observer_who_counts_is_as_often_right_as_it_believes() {
        let setting = Setting { devices: 3_000, rate: 0.1, ..Setting::REFERENCE };
        let streams = Streams::new(1);
        let population = Population::draw(&setting, &mut streams.of(1, 0));
        let ground = Ground { setting: &setting, population: &population, streams, per_day: 48 };
        for design in [Design::Grid, Design::Cohort(8)] {
            let world = World::new(design, ground);
            let ledger = Ledger::new(&world, &population).unwrap();
            let mut desk = Desk::new(3_000);
            let verdicts: Vec<_> = (0..600)
                .map(|number| {
                    counted(&world, &ledger, &population, &mut desk, streams.of(99, number))
                })
                .collect();
            let top1 = mean(verdicts.iter().map(|verdict| verdict.top1));
            let hit = mean(verdicts.iter().map(|verdict| verdict.hit));
            let error = top1.error.hypot(hit.error);
            assert!((top1.value - hit.value).abs() < 4.0 * error, "{design} {top1:?} {hit:?}");
        }
    }

    #[test]
    fn the_check_fails_where_a_cohort_is_woken_for_its_busiest_member_only() {
        let setting = Setting::REFERENCE;
        let streams = Streams::new(1);
        let mut population = Population::draw(&setting, &mut streams.of(1, 0));
        let ground = Ground { setting: &setting, population: &population, streams, per_day: 48 };
        let world = World::new(Design::Cohort(8), ground);
        let mut ledger = Ledger::new(&world, &population).unwrap();
        // The planted bug: the others' events wake nobody, so that a cohort's count is that of one account.
        let rates = population.rates.clone();
        ledger.expected.fill(0.0);
        for (device, unit) in ledger.of.iter().enumerate() {
            ledger.expected[*unit] = ledger.expected[*unit].max(rates[device] * super::WATCHED_S);
        }
        ledger.beside = Beside::Decoys(0.0);
        population.targets.retain(|device| {
            rates[*device] * super::WATCHED_S >= ledger.expected[ledger.of[*device]]
        });
        let mut desk = Desk::new(setting.devices);
        let top1 = mean(
            (0..20_u32)
                .map(|number| {
                    counted(&world, &ledger, &population, &mut desk, streams.of(99, number)).top1
                })
                .collect::<Vec<_>>()
                .into_iter(),
        );
        let plan = Plan {
            setting: Setting { devices: 1_000, ..setting },
            designs: vec![Design::Cohort(8)],
            events: vec![1],
            trials: 2,
            seed: 1,
            threads: 2,
            per_day: 48,
            counted: vec![Design::Cohort(8)],
        };
        let mut rows = table(&plan, &|_, _| ()).unwrap();
        let is_ok = |top1: f64, rows: &mut Vec<_>| {
            let row: &mut crate::table::Row = &mut rows[0];
            row.counted = row.counted.map(|point| crate::table::Point { top1, ..point });
            let figures = judge(rows);
            figures.iter().find(|figure| figure.what.starts_with("G3")).unwrap().is_ok()
        };
        assert!(!is_ok(top1.value, &mut rows), "{top1:?}");
        assert!(is_ok(0.003, &mut rows));
    }
}
