//! The designs that the mixer is compared with.

use reveille_mixer::Schedule;

use super::transcript::{Bench, Push, Timer, Transcript};
use crate::population::Population;
use crate::weighted::poisson;

/// Pushes are watched for so many mean delays after the event: one in 160,000 comes later.
pub(crate) const WATCHED_MEANS: f64 = 12.0;

/// A design of the lab's own.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// Each push waits by itself, exponentially, with this mean in seconds.
    Exponential {
        /// In seconds.
        mean_s: f64,
    },
    /// A timer that the first message arms; how long it runs is drawn once for a process, up to this many seconds.
    Timer {
        /// In seconds.
        longest_s: f64,
    },
    /// A grid on which each woken device drags so many others along, drawn anew each time.
    Redrawn {
        /// The grid.
        schedule: Schedule,
        /// Devices that leave for one that is woken, itself among them.
        size: u32,
    },
}

/// How long the longest timer runs so that messages wait `mean_s` on average, at this rate of messages a second.
///
/// The first of a batch waits T, the others T/2 on average: T/2 + (1 - 1/(1+λT))/2λ over all, and T is uniform up to what is looked for.
pub(crate) fn longest_timer(mean_s: f64, rate: f64) -> f64 {
    let waited = |longest: f64| {
        let arrivals = rate * longest;
        longest / 4.0 + (1.0 - arrivals.ln_1p() / arrivals) / (2.0 * rate)
    };
    let (mut low, mut high) = (0.0, 4.0 * mean_s);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if waited(middle) < mean_s {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

impl Comparison {
    pub(super) fn snapshot(
        &self,
        population: &Population,
        target: usize,
        bench: &mut Bench,
        transcript: &mut Transcript,
    ) {
        match self {
            Self::Exponential { mean_s } => {
                exponential(population, target, *mean_s, bench, transcript);
            }
            Self::Timer { longest_s } => timer(population, target, *longest_s, bench, transcript),
            Self::Redrawn { schedule, size } => {
                let window = schedule.window(reveille_model::Timestamp::EPOCH);
                let length_s = window.end.since(window.start).to_std().as_secs_f64();
                let mut devices = background(population, length_s, bench);
                devices.push(target);
                bench.keep_first(&mut devices);
                for _ in 0..devices.len() * usize::try_from(size - 1).unwrap_or_default() {
                    devices.push(bench.rng.index(population.devices()));
                }
                bench.keep_first(&mut devices);
                transcript.pushes.extend(devices.into_iter().map(at_once));
            }
        }
    }
}

const fn at_once(device: usize) -> Push {
    Push { device, after_s: 0.0 }
}

/// The devices of everything that happens in so many seconds.
fn background(population: &Population, seconds: f64, bench: &mut Bench) -> Vec<usize> {
    let count = poisson(population.rate * seconds, &mut bench.rng);
    (0..count).map(|_| population.draw_device(&mut bench.rng)).collect()
}

/// Delays that are independent of one another leave a Poisson stream a Poisson stream.
fn exponential(
    population: &Population,
    target: usize,
    mean_s: f64,
    bench: &mut Bench,
    transcript: &mut Transcript,
) {
    let watched_s = WATCHED_MEANS * mean_s;
    for device in background(population, watched_s, bench) {
        let after_s = bench.rng.unit() * watched_s;
        transcript.pushes.push(Push { device, after_s });
    }
    let after_s = -mean_s * (1.0 - bench.rng.unit()).ln();
    if after_s < watched_s {
        transcript.pushes.push(Push { device: target, after_s });
    }
}

/// An event is the one that arms the timer in one of 1+λT cases, else it comes at any moment while the timer runs.
fn timer(
    population: &Population,
    target: usize,
    longest_s: f64,
    bench: &mut Bench,
    transcript: &mut Transcript,
) {
    let length_s = match bench.timer_s {
        Some(length_s) => length_s,
        None => {
            // Never zero: a timer that does not run is no timer.
            let drawn = longest_s * (1.0 - bench.rng.unit());
            *bench.timer_s.insert(drawn)
        }
    };
    let is_first = bench.rng.unit() * (1.0 + population.rate * length_s) < 1.0;
    let passed = if is_first { 0.0 } else { bench.rng.unit() };
    let before = background(population, passed * length_s, bench);
    let after = background(population, (1.0 - passed) * length_s, bench);
    let mut devices = Vec::with_capacity(before.len() + after.len() + 2);
    if !is_first {
        devices.push(population.draw_device(&mut bench.rng));
    }
    devices.extend(before);
    devices.push(target);
    devices.extend(after);
    bench.keep_first(&mut devices);
    transcript.timer = Some(Timer { length_s, passed });
    transcript.pushes.extend(devices.into_iter().map(at_once));
}

#[cfg(test)]
mod tests {
    use super::longest_timer;

    #[test]
    fn the_longest_timer_is_the_one_of_the_study() {
        // privacy.md §4: X = 238 s for a mean of 60 s at one event a second.
        assert!((longest_timer(60.0, 1.0) - 238.0).abs() < 0.2);
        // Where next to nothing happens everything waits for the whole timer.
        assert!((longest_timer(60.0, 1e-9) - 120.0).abs() < 0.1);
    }
}
