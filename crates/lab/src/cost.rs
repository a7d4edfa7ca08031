//! What a design costs: pushes for each event, wake-ups of each device, and how long busy cohorts wait for their budget.

use reveille_mixer::{MusterSettings, leaves};
use reveille_model::{Cohort, CohortId, Marked, Rng, Timestamp};

use crate::cohorts::settings;
use crate::setting::Setting;
use crate::statistics::{as_float, floor, mean, quantile};
use crate::weighted::poisson;

/// Seconds of a day.
pub(crate) const DAY_S: f64 = 86_400.0;
/// How long cohorts are watched before anything is counted, and then: they begin with a whole budget.
const DAYS: (f64, f64) = (1.0, 3.0);
/// Most cohorts that are watched, and most windows of all of them.
const COHORTS_MAX: usize = 2_000;
const WINDOWS_MAX: f64 = 6_000_000.0;
/// Where more events of one cohort are expected in a window, their number is taken to be what is expected.
const DRAWN_MAX: f64 = 30.0;

/// How often devices are woken, a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wakeups {
    /// On average.
    pub mean: f64,
    /// 95 % of devices are woken no more often.
    pub p95: f64,
    /// 99 % are not.
    pub p99: f64,
}

impl Wakeups {
    pub(crate) fn of(per_day: Vec<f64>) -> Self {
        Self {
            mean: mean(per_day.iter().copied()).value,
            p95: quantile(per_day.clone(), 0.95),
            p99: quantile(per_day, 0.99),
        }
    }
}

/// What a budget does to cohorts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capped {
    /// The budget: wake-ups a day.
    pub per_day: u32,
    /// Which share of events came to a cohort that had spent its budget.
    pub events: f64,
    /// How long a wake-up waits on average, in seconds.
    pub mean_delay_s: f64,
    /// The longest it waited, in seconds.
    pub longest_delay_s: f64,
    /// How often devices are woken.
    pub wakeups: Wakeups,
}

/// Watches cohorts of these rates for some days under a budget, as the mixer paces them.
pub(crate) fn capped(setting: &Setting, rates: &[f64], per_day: u32, rng: &mut Rng) -> Capped {
    let settings = settings(per_day);
    let windows = (DAYS.0 + DAYS.1) * DAY_S / setting.window_s();
    let sample = floor(WINDOWS_MAX / windows).clamp(20, COHORTS_MAX).min(rates.len());
    let mut order: Vec<f64> = rates.to_vec();
    order.sort_unstable_by(f64::total_cmp);
    let mut sum = Watched::default();
    let mut per_cohort = Vec::with_capacity(sample);
    for number in 0..sample {
        // From quiet to busy, as far apart from one another as can be.
        let place = (2 * number + 1) * order.len() / (2 * sample);
        let rate = order.get(place).copied().unwrap_or_default();
        let watched = watch(setting, rate, &settings, rng);
        per_cohort.push(as_float(watched.left) / DAYS.1);
        sum.add(&watched);
    }
    let events = as_float(sum.events.max(1));
    Capped {
        per_day,
        events: as_float(sum.late) / events,
        mean_delay_s: setting.mean_delay_s() + sum.waited_windows / events * setting.window_s(),
        longest_delay_s: as_float(sum.longest_windows + 1) * setting.window_s(),
        wakeups: Wakeups::of(per_cohort),
    }
}

/// What happened to one cohort.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Events.
    events: usize,
    /// Those that did not leave with their window.
    late: usize,
    /// How many windows they waited beyond it, in all.
    waited_windows: f64,
    longest_windows: usize,
    /// How often the cohort left.
    left: usize,
}

impl Watched {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.late += other.late;
        self.waited_windows += other.waited_windows;
        self.longest_windows = self.longest_windows.max(other.longest_windows);
        self.left += other.left;
    }

    fn leave(&mut self, number: usize, waiting: &[(usize, usize)]) {
        self.left += 1;
        for (since, count) in waiting {
            let windows = number - since;
            self.events += count;
            self.late += if windows > 0 { *count } else { 0 };
            self.waited_windows += as_float(windows) * as_float(*count);
            self.longest_windows = self.longest_windows.max(windows);
        }
    }
}

fn watch(setting: &Setting, rate: f64, settings: &MusterSettings, rng: &mut Rng) -> Watched {
    let window_s = setting.window_s();
    let begin = floor(DAYS.0 * DAY_S / window_s);
    let end = begin + floor(DAYS.1 * DAY_S / window_s);
    let mut cohort = Cohort { id: CohortId(0), stratum: 0, users: 1, paid_at: None };
    let (mut watched, mut waiting) = (Watched::default(), Vec::new());
    let mut window = setting.schedule().window(Timestamp::EPOCH);
    let mut since = window.end;
    for number in 0..end {
        let count = events(rate * window_s, rng);
        if count > 0 {
            if waiting.is_empty() {
                since = window.end;
            }
            waiting.push((number, count));
        }
        if !waiting.is_empty() {
            let marked = Marked { cohort, is_provisional: false, is_leaving: false, since };
            if leaves(&marked, window, settings).is_ok() {
                cohort.paid_at = Some(settings.budget.spend(cohort.paid_at, window.end));
                if number >= begin {
                    watched.leave(number, &waiting);
                }
                waiting.clear();
            }
        }
        window = setting.schedule().window(window.end);
    }
    watched
}

fn events(expected: f64, rng: &mut Rng) -> usize {
    if expected > DRAWN_MAX { floor(expected) } else { poisson(expected, rng) }
}

#[cfg(test)]
mod tests {
    use super::capped;
    use crate::setting::Setting;
    use reveille_model::Rng;

    #[test]
    fn quiet_cohorts_never_meet_the_budget_and_busy_ones_wait() {
        let setting = Setting::REFERENCE;
        let mut rng = Rng::from_number(1);
        let quiet = capped(&setting, &[10.0 / 86_400.0; 40], 48, &mut rng);
        assert!(quiet.events < 0.001 && (quiet.mean_delay_s - 60.0).abs() < 1.0, "{quiet:?}");
        assert!((9.0..11.0).contains(&quiet.wakeups.mean), "{quiet:?}");
        // 500 events a day: 36 wake-ups come back evenly, one every 40 minutes.
        let busy = capped(&setting, &[500.0 / 86_400.0; 40], 48, &mut rng);
        assert!(busy.events > 0.9 && busy.longest_delay_s <= 2_400.0 + 120.0, "{busy:?}");
        assert!((35.0..37.0).contains(&busy.wakeups.mean), "{busy:?}");
    }
}
