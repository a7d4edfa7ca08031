//! How long wake-ups wait for their window (goal G4): moments of events, the production schedule, and whether the mixer lets a cohort leave.

use reveille_mixer::{MusterSettings, Schedule, leaves};
use reveille_model::{Cohort, CohortId, Duration, Marked, Rng, Timestamp};

use crate::statistics::as_float;
use crate::weighted::poisson_fast;

/// How long cohorts are watched before anything is measured, and until when: they begin with a whole budget.
const DAYS: (Duration, Duration) = (Duration::from_s(86_400), Duration::from_s(4 * 86_400));
/// Most cohorts that are watched.
const COHORTS_MAX: usize = 500;

/// How long wake-ups waited, from the event until their window's end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Waits {
    /// In so many cohorts.
    pub cohorts: usize,
    /// On average, in seconds.
    pub mean_s: f64,
    /// At most, in seconds.
    pub longest_s: f64,
}

/// How long wake-ups of cohorts waited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// In cohorts that never met the end of their budget.
    pub within: Waits,
    /// In those that did.
    pub capped: Waits,
}

/// Watches cohorts of these rates (events a second) for some days.
pub(crate) fn delays(
    schedule: &Schedule,
    settings: &MusterSettings,
    rates: &[f64],
    rng: &mut Rng,
) -> Delays {
    let mut order: Vec<f64> = rates.to_vec();
    order.sort_unstable_by(f64::total_cmp);
    let sample = order.len().min(COHORTS_MAX);
    let (mut within, mut capped) = (Watched::default(), Watched::default());
    for number in 0..sample {
        // From quiet to busy, as far apart from one another as can be.
        let place = (2 * number + 1) * order.len() / (2 * sample);
        let rate = order.get(place).copied().unwrap_or_default();
        let watched = watch(schedule, settings, rate, rng);
        if watched.is_capped { capped.add(&watched) } else { within.add(&watched) }
    }
    Delays { within: within.waits(), capped: capped.waits() }
}

/// What happened to some cohorts.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    cohorts: usize,
    events: usize,
    waited_s: f64,
    longest_s: f64,
    is_capped: bool,
}

impl Watched {
    fn add(&mut self, other: &Self) {
        self.cohorts += 1;
        self.events += other.events;
        self.waited_s += other.waited_s;
        self.longest_s = self.longest_s.max(other.longest_s);
    }

    fn leave(&mut self, waiting: &[Timestamp], at: Timestamp) {
        for moment in waiting {
            let waited_s = at.since(*moment).to_std().as_secs_f64();
            self.events += 1;
            self.waited_s += waited_s;
            self.longest_s = self.longest_s.max(waited_s);
        }
    }

    fn waits(&self) -> Waits {
        Waits {
            cohorts: self.cohorts,
            mean_s: self.waited_s / as_float(self.events.max(1)),
            longest_s: self.longest_s,
        }
    }
}

fn watch(schedule: &Schedule, settings: &MusterSettings, rate: f64, rng: &mut Rng) -> Watched {
    let (begin, end) = (Timestamp::EPOCH.plus(DAYS.0), Timestamp::EPOCH.plus(DAYS.1));
    let mut cohort = Cohort { id: CohortId(0), stratum: 0, users: 1, paid_at: None };
    let (mut watched, mut waiting) = (Watched::default(), Vec::new());
    let mut window = schedule.window(Timestamp::EPOCH);
    let mut since = window.end;
    while window.end <= end {
        let length = window.end.since(window.start);
        let count = poisson_fast(rate * length.to_std().as_secs_f64(), rng);
        if count > 0 && waiting.is_empty() {
            since = window.end;
        }
        for _ in 0..count {
            waiting.push(window.start.plus(Duration::from_ms(rng.below(length.as_ms()))));
        }
        if !waiting.is_empty() {
            let marked = Marked { cohort, is_provisional: false, is_leaving: false, since };
            if leaves(&marked, window, settings).is_ok() {
                cohort.paid_at = Some(settings.budget.spend(cohort.paid_at, window.end));
                if window.end > begin {
                    watched.leave(&waiting, window.end);
                }
                waiting.clear();
            } else {
                watched.is_capped = true;
            }
        }
        window = schedule.window(window.end);
    }
    watched
}

#[cfg(test)]
mod tests {
    use super::{Delays, delays};
    use crate::check::delay_figures;
    use crate::cohorts::settings;
    use crate::design::Design;
    use crate::setting::Setting;
    use reveille_mixer::Schedule;
    use reveille_model::{Duration, Rng};

    fn watch(window_s: u32, per_day: f64) -> Delays {
        let schedule = Schedule::Fixed { length: Duration::from_s(window_s) };
        let mut rng = Rng::from_number(1);
        delays(&schedule, &settings(48), &[per_day / 86_400.0; 100], &mut rng)
    }

    #[test]
    fn a_wake_up_waits_for_half_a_window_and_never_for_more_than_one() {
        let Delays { within, capped } = watch(120, 14.0);
        assert_eq!((within.cohorts, capped.cohorts), (100, 0));
        // 4,200 events, each uniform in its window: the mean's standard error is 120/√(12·4,200), half a second.
        assert!((within.mean_s - 60.0).abs() < 2.5, "{within:?}");
        assert!((119.0..=120.0).contains(&within.longest_s), "{within:?}");
    }

    #[test]
    fn capped_cohorts_are_kept_apart() {
        // 36 wake-ups a day come back evenly, one every 40 minutes.
        let Delays { within, capped } = watch(120, 500.0);
        assert_eq!((within.cohorts, capped.cohorts), (0, 100));
        assert!(capped.mean_s > 600.0 && capped.longest_s <= 2_520.0, "{capped:?}");
    }

    #[test]
    fn the_check_fails_where_windows_are_too_long() {
        // The planted bug: the grid is twice as coarse as was asked for.
        assert_eq!(
            Setting::REFERENCE.schedule(),
            Schedule::Fixed { length: Duration::from_s(120) }
        );
        let verdicts = |window_s| -> Vec<bool> {
            let figures = delay_figures(Design::Cohort(16), Some(&watch(window_s, 14.0)));
            figures.iter().take(2).map(crate::check::Figure::is_ok).collect()
        };
        assert_eq!(verdicts(120), [true, true]);
        assert_eq!(verdicts(240), [false, false]);
    }
}
