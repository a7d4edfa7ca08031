//! Windows, decoys, cohorts and beats, decided by the production mixer.

use reveille_mixer::{Schedule, Window, last_beat, noops, order};
use reveille_model::{Duration, Timestamp};

use super::transcript::{Bench, Push, Transcript};
use crate::cohorts::Cohorts;
use crate::population::Population;
use crate::setting::Setting;
use crate::statistics::floor;
use crate::weighted::poisson;

/// Events fall in the first 34 years of the epoch: every place in a window is as likely.
const HORIZON_MS: u64 = 1 << 40;

/// In whose company devices leave.
#[derive(Debug)]
pub(crate) enum Company {
    /// Whoever has an event.
    Nobody,
    /// So many random devices a minute.
    Decoys(u32),
    /// The rest of their cohort.
    Cohorts(Cohorts),
    /// Everybody, at every beat.
    Everybody,
}

/// A grid of windows.
#[derive(Debug)]
pub(crate) struct WindowSender {
    pub(crate) schedule: Schedule,
    pub(crate) company: Company,
}

/// How many decoys a minute make the pushes so many times as many as events: what the mixer is told, a whole number.
pub(crate) fn decoys_per_minute(setting: &Setting, factor: u32) -> u32 {
    let rate = setting.rate * 60.0 * f64::from(factor.saturating_sub(1));
    u32::try_from(floor(rate.round())).unwrap_or(u32::MAX)
}

impl WindowSender {
    pub(super) fn snapshot(
        &self,
        population: &Population,
        target: usize,
        bench: &mut Bench,
        transcript: &mut Transcript,
    ) {
        let moment = Timestamp::from_ms(bench.rng.below(HORIZON_MS).cast_signed());
        let window = self.schedule.window(moment);
        let length = window.end.since(window.start);
        let mut devices = match &self.company {
            Company::Everybody => everybody(population, moment, length),
            Company::Nobody => arrivals(population, window, target, bench),
            Company::Decoys(per_minute) => {
                let mut devices = arrivals(population, window, target, bench);
                for _ in 0..noops(length, *per_minute, &mut bench.rng) {
                    devices.push(bench.rng.index(population.devices()));
                }
                devices
            }
            Company::Cohorts(cohorts) => {
                let arrived = arrivals(population, window, target, bench);
                cohorts.muster(&arrived, window, &mut bench.rng)
            }
        };
        bench.keep_first(&mut devices);
        depart(&devices, bench, transcript);
    }
}

/// The devices of a window's events, in the order of arrival: the target's, and those of everything else that happens.
fn arrivals(
    population: &Population,
    window: Window,
    target: usize,
    bench: &mut Bench,
) -> Vec<usize> {
    let length_s = window.end.since(window.start).to_std().as_secs_f64();
    let count = poisson(population.rate * length_s, &mut bench.rng);
    let mut arrived: Vec<usize> =
        (0..count).map(|_| population.draw_device(&mut bench.rng)).collect();
    // The event is anywhere in the window, and the others come in no order.
    arrived.push(target);
    let place = bench.rng.index(arrived.len());
    arrived.swap(place, count);
    arrived
}

/// Sealed devices are due at every beat. The next one after the event tells of it, and would have come all the same.
fn everybody(population: &Population, moment: Timestamp, period: Duration) -> Vec<usize> {
    let due = last_beat(moment, period).plus(period);
    if last_beat(due, period) == due { (0..population.devices()).collect() } else { Vec::new() }
}

/// The mixer's shuffle.
fn depart(devices: &[usize], bench: &mut Bench, transcript: &mut Transcript) {
    transcript.keys.extend(order(&mut bench.rng).keys().take(devices.len()));
    let mut batch: Vec<(i64, usize)> =
        transcript.keys.iter().copied().zip(devices.iter().copied()).collect();
    batch.sort_unstable();
    transcript
        .pushes
        .extend(batch.iter().map(|(_, device)| Push { device: *device, after_s: 0.0 }));
}

/// How many decoys a second that is.
pub(crate) fn per_second(per_minute: u32) -> f64 {
    f64::from(per_minute) / 60.0
}

#[cfg(test)]
mod tests {
    use super::{Company, WindowSender, decoys_per_minute};
    use crate::cohorts::Cohorts;
    use crate::population::Population;
    use crate::sender::{Bench, Transcript};
    use crate::setting::Setting;
    use reveille_mixer::order_rho;
    use reveille_model::Rng;

    const SETTING: Setting = Setting { devices: 1_000, rate: 0.1, ..Setting::REFERENCE };

    /// How many devices leave on average, and how often the target is among them.
    fn watch(company: Company) -> (f64, usize) {
        let population = Population::of(vec![1e-4; 1_000]);
        let sender = WindowSender { schedule: SETTING.schedule(), company };
        let (mut bench, mut transcript) = (Bench::new(1_000), Transcript::default());
        bench.begin(Rng::from_number(1));
        let (mut pushes, mut hits, mut rho) = (0, 0, 0.0);
        for _ in 0..500 {
            transcript.clear();
            sender.snapshot(&population, 5, &mut bench, &mut transcript);
            pushes += transcript.pushes.len();
            hits += usize::from(transcript.pushes.iter().any(|push| push.device == 5));
            rho += order_rho(&transcript.keys).unwrap_or_default();
        }
        assert!((rho / 500.0).abs() < 0.1, "shuffled: {rho}");
        (crate::statistics::as_float(pushes) / 500.0, hits)
    }

    #[test]
    fn batches_are_as_large_as_the_model_says() {
        // A window has 12 events of 1,000 devices alike; p = 1-exp(-0.012), and the target besides.
        let others = 999.0 * (1.0 - (-0.012_f64).exp());
        let (grid, hits) = watch(Company::Nobody);
        assert!((grid - 1.0 - others).abs() < 1.0 && hits == 500, "{grid}");
        let per_minute = decoys_per_minute(&SETTING, 8);
        assert_eq!(per_minute, 42);
        let others = 999.0 * (1.0 - (-0.096_f64).exp());
        let (decoys, hits) = watch(Company::Decoys(per_minute));
        assert!((decoys - 1.0 - others).abs() < 3.0 && hits == 500, "{decoys}");
        let cohorts = Cohorts::form(1_000, 8, &mut Rng::from_number(2));
        let others = 992.0 * (1.0 - (-0.096_f64).exp());
        let (cohort, hits) = watch(Company::Cohorts(cohorts));
        assert!((cohort - 8.0 - others).abs() < 8.0 && hits == 500, "{cohort}");
        let (sealed, _) = watch(Company::Everybody);
        assert!((sealed - 1_000.0).abs() < 1e-9);
    }
}
