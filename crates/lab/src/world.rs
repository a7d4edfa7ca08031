//! A design put to work: who sends, who watches, what it costs.

use crate::cohorts::{Cohorts, settings};
use crate::cost::{Capped, DAY_S, Wakeups, capped};
use crate::delay::{Delays, delays};
use crate::design::Design;
use crate::population::Population;
use crate::posterior::Prior;
use crate::sender::{
    Company, Comparison, Sender, Timer, WindowSender, decoys_per_minute, longest_timer, per_second,
};
use crate::setting::{Setting, Streams};
use crate::statistics::as_float;
use crate::table::{COHORTS, DELAYS};
use crate::watcher::{Departure, Evidence, Watcher, chance_in_batch, presence};

/// How long each push takes where nothing delays it, in seconds.
const JITTER_S: f64 = 1.0;
/// Timers over which costs are averaged.
const TIMERS: u32 = 32;

/// A design at work.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sender: Sender,
    pub(crate) watcher: Watcher,
    pub(crate) cost: Cost,
}

/// What a design costs.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) pushes_per_event: f64,
    pub(crate) wakeups: Wakeups,
    pub(crate) capped: Option<Capped>,
    pub(crate) delays: Option<Delays>,
}

/// What worlds are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) population: &'a Population,
    pub(crate) streams: Streams,
    /// Wake-ups of a device in a day, for what is said of capped cohorts.
    pub(crate) per_day: u32,
}

impl World {
    pub(crate) fn new(design: Design, ground: Ground<'_>) -> Self {
        match design {
            Design::None => ground.exponential(JITTER_S),
            Design::Exponential => ground.exponential(ground.setting.mean_delay_s()),
            Design::Wikimedia => ground.timer(Departure::Arrival),
            Design::WikimediaShuffled => ground.timer(Departure::Shuffled),
            Design::Grid => ground.windows(Company::Nobody, 0.0),
            Design::Decoys(factor) => {
                let per_minute = decoys_per_minute(ground.setting, factor);
                ground.windows(Company::Decoys(per_minute), per_second(per_minute))
            }
            Design::Redrawn(size) => {
                let schedule = ground.setting.schedule();
                let world =
                    ground.windows(Company::Nobody, ground.setting.rate * f64::from(size - 1));
                Self { sender: Sender::Comparison(Comparison::Redrawn { schedule, size }), ..world }
            }
            Design::Cohort(size) => ground.cohorts(size),
            Design::Sealed => {
                let devices = ground.population.devices();
                ground.grid(Company::Everybody, &vec![1.0; devices], Prior::uniform(devices))
            }
        }
    }
}

impl Ground<'_> {
    /// A grid on which devices leave alone or among random others, which come at this rate a second.
    fn windows(&self, company: Company, others: f64) -> World {
        let each = others / as_float(self.population.devices());
        let chance = |rate: &f64| chance_in_window(rate + each, self.setting);
        let chances: Vec<f64> = self.population.rates.iter().map(chance).collect();
        self.grid(company, &chances, Prior::new(self.population.prior()))
    }

    fn cohorts(&self, size: u32) -> World {
        let size_of = usize::try_from(size).unwrap_or(usize::MAX);
        let mut rng = self.streams.of(COHORTS, size);
        let cohorts = Cohorts::form(self.population.devices(), size_of, &mut rng);
        let rates = cohorts.rates(self.population);
        let chances: Vec<f64> =
            rates.iter().map(|rate| chance_in_window(*rate, self.setting)).collect();
        let (chances, prior) = (cohorts.spread(&chances), cohorts.prior(self.population));
        let capped = capped(self.setting, &rates, self.per_day, &mut rng);
        let mut world = self.grid(Company::Cohorts(cohorts), &chances, Prior::new(prior));
        world.cost.capped = Some(capped);
        let mut rng = self.streams.of(DELAYS, size);
        let (schedule, budget) = (self.setting.schedule(), settings(self.per_day));
        world.cost.delays = Some(delays(&schedule, &budget, &rates, &mut rng));
        world
    }

    /// A grid, where each device has this chance of being in a batch without the event.
    fn grid(&self, company: Company, chances: &[f64], prior: Prior) -> World {
        let sender = Sender::Window(WindowSender { schedule: self.setting.schedule(), company });
        let watcher = Watcher { prior, evidence: presence(chances) };
        let window_s = self.setting.window_s();
        let pushes: f64 = chances.iter().sum();
        let per_day = chances.iter().map(|chance| chance * DAY_S / window_s).collect();
        let cost = Cost {
            pushes_per_event: pushes / (self.population.rate * window_s),
            wakeups: Wakeups::of(per_day),
            capped: None,
            delays: None,
        };
        World { sender, watcher, cost }
    }

    fn exponential(&self, mean_s: f64) -> World {
        let rates = self.population.rates.clone();
        let per_day = rates.iter().map(|rate| rate * DAY_S).collect();
        World {
            sender: Sender::Comparison(Comparison::Exponential { mean_s }),
            watcher: Watcher {
                prior: Prior::new(self.population.prior()),
                evidence: Evidence::Delay { mean_s, rates },
            },
            cost: Cost {
                pushes_per_event: 1.0,
                wakeups: Wakeups::of(per_day),
                capped: None,
                delays: None,
            },
        }
    }

    fn timer(&self, departure: Departure) -> World {
        let rate = self.population.rate;
        let longest_s = longest_timer(self.setting.mean_delay_s(), rate);
        let rates = self.population.rates.clone();
        let (mut pushes_per_event, mut per_day) = (0.0, vec![0.0; rates.len()]);
        for number in 0..TIMERS {
            let length_s = longest_s * (f64::from(number) + 0.5) / f64::from(TIMERS);
            let timer = Timer { length_s, passed: 0.0 };
            let batches = DAY_S / (length_s + 1.0 / rate) / f64::from(TIMERS);
            for (woken, of_device) in per_day.iter_mut().zip(&rates) {
                let chance = chance_in_batch(*of_device, rate, timer);
                *woken += chance * batches;
                pushes_per_event += chance / (1.0 + rate * length_s) / f64::from(TIMERS);
            }
        }
        World {
            sender: Sender::Comparison(Comparison::Timer { longest_s }),
            watcher: Watcher {
                prior: Prior::new(self.population.prior()),
                evidence: Evidence::Timer { rates, rate, departure },
            },
            cost: Cost {
                pushes_per_event,
                wakeups: Wakeups::of(per_day),
                capped: None,
                delays: None,
            },
        }
    }
}

/// The chance that something of this rate falls into a window.
fn chance_in_window(rate: f64, setting: &Setting) -> f64 {
    -(-rate * setting.window_s()).exp_m1()
}
