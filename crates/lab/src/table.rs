//! The comparison of designs: what an observer can tell after some events, and what each design costs.

use crate::cost::{Capped, Wakeups};
use crate::counts::{Ledger, counted};
use crate::delay::Delays;
use crate::design::Design;
use crate::population::Population;
use crate::sender::{decoys_per_minute, per_second};
use crate::setting::{Setting, SettingError, Streams};
use crate::statistics::{as_float, mean, quantile};
use crate::trials::{Desk, Progress, Trial, parallel, trial};
use crate::world::{Ground, World};

/// What streams of random numbers are for; those of trials are [`Design::purpose`].
pub(crate) const POPULATION: u32 = 1;
pub(crate) const COHORTS: u32 = 2;
pub(crate) const PROPOSAL: u32 = 3;
pub(crate) const DELAYS: u32 = 4;
/// Added to a design's purpose.
const COUNTED: u32 = 1 << 24;

/// Most events of one account.
const EVENTS_MAX: usize = 1_000;
/// Most trials of a design.
const TRIALS_MAX: usize = 100_000;
/// A beat wakes everybody: nothing is drawn, and one trial is like the other.
const TRIALS_SEALED: usize = 4;
/// Trials of an observer who counts: everybody has a count, in each of them.
const TRIALS_COUNTED: usize = 100;

/// What a table shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// For whom.
    pub setting: Setting,
    /// Its rows.
    pub designs: Vec<Design>,
    /// After how many events to look.
    pub events: Vec<usize>,
    /// How many targets are watched in each row.
    pub trials: usize,
    /// Names everything that is drawn.
    pub seed: u64,
    /// On how many threads. It changes nothing but the time it takes.
    pub threads: usize,
    /// Wake-ups of a device in a day, for what is said of capped cohorts; the observer's row has no budget.
    pub per_day: u32,
    /// Of which rows the observer also counts pushes, after one event: of a grid, of decoys, of cohorts.
    pub counted: Vec<Design>,
}

/// One design.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub design: Design,
    /// Pushes for each event, on average.
    pub pushes_per_event: f64,
    /// How often devices are woken.
    pub wakeups: Wakeups,
    /// What a budget does to cohorts; nothing where there are none.
    pub capped: Option<Capped>,
    /// How long wake-ups of cohorts wait; nothing where there are none.
    pub delays: Option<Delays>,
    /// How the order of departure follows that of arrival (Spearman's rho, on average), where the mixer shuffled.
    pub order_rho: Option<f64>,
    /// After each number of events.
    pub points: Vec<Point>,
    /// After one event, if the observer also knows how many the account had, and how often each device was pushed. Nothing unless asked for.
    pub counted: Option<Point>,
}

/// What an observer can tell after some events. Chances are shares of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// After so many events.
    pub events: usize,
    /// So many targets were watched.
    pub trials: usize,
    /// The chance of the best guess, as far as the observer can tell: the mean of the largest posterior.
    pub top1: f64,
    /// Its standard error.
    pub top1_error: f64,
    /// The standard deviation of a single trial.
    pub top1_deviation: f64,
    /// How often the best guess was right. It is the same as `top1` but for chance.
    pub hit: f64,
    /// Its standard error.
    pub hit_error: f64,
    /// Among how many devices the target is hidden: 2 to the power of the entropy, as a geometric mean.
    pub eas: f64,
    /// Where the target is among the candidates: the median over trials.
    pub rank: f64,
}

impl Plan {
    fn check(&self) -> Result<(), SettingError> {
        self.setting.check()?;
        if self.events.is_empty()
            || self.events.iter().any(|count| !(1..=EVENTS_MAX).contains(count))
        {
            return Err(SettingError::Events);
        }
        if !(2..=TRIALS_MAX).contains(&self.trials) {
            return Err(SettingError::Trials);
        }
        self.designs.iter().try_for_each(|design| self.check_design(*design))
    }

    fn check_design(&self, design: Design) -> Result<(), SettingError> {
        let name = || design.to_string();
        let more = match design {
            Design::Decoys(factor) => {
                let per_minute = decoys_per_minute(&self.setting, factor);
                if per_minute == 0 {
                    return Err(SettingError::NoDecoys(name()));
                }
                per_second(per_minute)
            }
            Design::Redrawn(size) => self.setting.rate * f64::from(size),
            Design::Cohort(size) if as_float(self.setting.devices) < f64::from(size) => {
                return Err(SettingError::Cohort(name()));
            }
            _ => 0.0,
        };
        if self.setting.has_room_for(more) { Ok(()) } else { Err(SettingError::Decoys(name())) }
    }

    fn trials_of(&self, design: Design) -> usize {
        if design == Design::Sealed { self.trials.min(TRIALS_SEALED) } else { self.trials }
    }

    fn steps_of(&self, design: Design) -> usize {
        let counted = if self.counted.contains(&design) { TRIALS_COUNTED } else { 0 };
        self.trials_of(design) + counted
    }
}

/// Makes the table. Equal plans give equal tables.
pub fn table(plan: &Plan, progress: &Progress<'_>) -> Result<Vec<Row>, SettingError> {
    plan.check()?;
    let streams = Streams::new(plan.seed);
    let population = Population::draw(&plan.setting, &mut streams.of(POPULATION, 0));
    let ground =
        Ground { setting: &plan.setting, population: &population, streams, per_day: plan.per_day };
    let total = plan.designs.iter().map(|design| plan.steps_of(*design)).sum();
    let mut before = 0;
    let rows = plan.designs.iter().map(|design| {
        let world = World::new(*design, ground);
        let done = std::sync::atomic::AtomicUsize::new(before);
        before += plan.steps_of(*design);
        row(plan, *design, &world, ground, &|| {
            progress(1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed), total);
        })
    });
    Ok(rows.collect())
}

/// One row: a design's name and trials, whatever world they are made in.
pub(crate) fn row(
    plan: &Plan,
    design: Design,
    world: &World,
    ground: Ground<'_>,
    step: &(dyn Fn() + Sync),
) -> Row {
    let mut events = plan.events.clone();
    events.sort_unstable();
    events.dedup();
    let devices = ground.population.devices();
    let trials = parallel(
        plan.trials_of(design),
        plan.threads,
        || Desk::new(devices),
        |desk, number| {
            let rng =
                ground.streams.of(design.purpose(), u32::try_from(number).unwrap_or(u32::MAX));
            let trial = trial(world, ground.population, &events, desk, rng);
            step();
            trial
        },
    );
    let rhos: Vec<f64> = trials.iter().filter_map(|trial| trial.rho).collect();
    Row {
        design,
        pushes_per_event: world.cost.pushes_per_event,
        wakeups: world.cost.wakeups,
        capped: world.cost.capped,
        delays: world.cost.delays,
        order_rho: (!rhos.is_empty()).then(|| mean(rhos.iter().copied()).value),
        points: events
            .iter()
            .enumerate()
            .map(|(place, count)| point(*count, place, &trials))
            .collect(),
        counted: counted_row(plan, design, world, ground, step),
    }
}

/// What an observer who counts can tell.
fn counted_row(
    plan: &Plan,
    design: Design,
    world: &World,
    ground: Ground<'_>,
    step: &(dyn Fn() + Sync),
) -> Option<Point> {
    let ledger =
        plan.counted.contains(&design).then(|| Ledger::new(world, ground.population)).flatten()?;
    let purpose = COUNTED + design.purpose();
    let devices = ground.population.devices();
    let trials = parallel(
        TRIALS_COUNTED,
        plan.threads,
        || Desk::new(devices),
        |desk, number| {
            let rng = ground.streams.of(purpose, u32::try_from(number).unwrap_or(u32::MAX));
            let verdict = counted(world, &ledger, ground.population, desk, rng);
            step();
            Trial { verdicts: vec![verdict], rho: None }
        },
    );
    Some(point(1, 0, &trials))
}

fn point(events: usize, place: usize, trials: &[Trial]) -> Point {
    let verdicts = || trials.iter().filter_map(|trial| trial.verdicts.get(place));
    let top1 = mean(verdicts().map(|verdict| verdict.top1));
    let hit = mean(verdicts().map(|verdict| verdict.hit));
    Point {
        events,
        trials: trials.len(),
        top1: top1.value,
        top1_error: top1.error,
        top1_deviation: top1.deviation,
        hit: hit.value,
        hit_error: hit.error,
        eas: mean(verdicts().map(|verdict| verdict.bits)).value.exp2(),
        rank: quantile(verdicts().map(|verdict| verdict.rank).collect(), 0.5),
    }
}
