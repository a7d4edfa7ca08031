//! The observer of a table: Bayes-optimal, knows the design, its settings and how often each device is pushed in the long run.

use crate::posterior::{FLOOR, Prior, Tally};
use crate::sender::{Push, Timer, Transcript};
use crate::statistics::as_float;

/// Who watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// What is believed before anything is seen.
    pub(crate) prior: Prior,
    /// What a push says.
    pub(crate) evidence: Evidence,
}

/// What a push says of the hypothesis that the event was its device's.
#[derive(Debug)]
pub(crate) enum Evidence {
    /// The device was in the batch: one over the chance that it would have been without the event. As logarithms.
    Presence(Vec<f64>),
    /// How long after the event it came: the density of an exponential delay over the density of the device's other pushes.
    Delay {
        /// The delay's mean, in seconds.
        mean_s: f64,
        /// Pushes a second of each device.
        rates: Vec<f64>,
    },
    /// The device was in a batch that a timer made.
    Timer {
        /// Pushes a second of each device.
        rates: Vec<f64>,
        /// Pushes a second of all.
        rate: f64,
        /// In which order the batch leaves.
        departure: Departure,
    },
}

/// In which order a batch leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// As it came: the place tells of the time.
    Arrival,
    /// It tells nothing.
    Shuffled,
}

/// Evidence of presence, from each device's chance of being in a window's batch without the event.
pub(crate) fn presence(chances: &[f64]) -> Evidence {
    Evidence::Presence(chances.iter().map(|chance| -chance.ln()).collect())
}

impl Watcher {
    /// Takes in what is seen around one event.
    pub(crate) fn observe(&self, transcript: &Transcript, tally: &mut Tally) {
        match &self.evidence {
            Evidence::Presence(logs) => {
                for push in &transcript.pushes {
                    tally.add(push.device, logs.get(push.device).copied().unwrap_or(FLOOR));
                }
            }
            Evidence::Delay { mean_s, rates } => delays(&transcript.pushes, *mean_s, rates, tally),
            Evidence::Timer { rates, rate, departure } => {
                let Some(timer) = transcript.timer else { return };
                let places = log_places(transcript.pushes.len(), timer.passed, *departure);
                for (push, log_place) in transcript.pushes.iter().zip(places) {
                    let of_device = rates.get(push.device).copied().unwrap_or_default();
                    let chance = chance_in_batch(of_device, *rate, timer);
                    tally.add(push.device, log_place - chance.ln());
                }
            }
        }
    }
}

/// The chance that a device is in a timer's batch: it armed the timer, or came while it ran.
pub(crate) fn chance_in_batch(of_device: f64, rate: f64, timer: Timer) -> f64 {
    let armed = of_device / rate;
    armed - (1.0 - armed) * (-of_device * timer.length_s).exp_m1()
}

fn delays(pushes: &[Push], mean_s: f64, rates: &[f64], tally: &mut Tally) {
    let likelihood = |push: &Push| {
        let rate = rates.get(push.device).copied().unwrap_or(f64::INFINITY);
        (-push.after_s / mean_s).exp() / (mean_s * rate)
    };
    let mut pushes = pushes.to_vec();
    pushes.sort_by_key(|push| push.device);
    for of_device in pushes.chunk_by(|left, right| left.device == right.device) {
        let sum: f64 = of_device.iter().map(likelihood).sum();
        if let Some(first) = of_device.first() {
            tally.add(first.device, sum.ln());
        }
    }
}

/// For each place of a batch the logarithm of how much likelier it is for the event than for any other push: B·Binomial(j; B-1, τ), or
/// nothing at all after a shuffle.
fn log_places(count: usize, passed: f64, departure: Departure) -> Vec<f64> {
    if departure == Departure::Shuffled {
        return vec![0.0; count];
    }
    let log_count = as_float(count).ln();
    if passed <= 0.0 {
        let first = |place| if place == 0 { log_count } else { f64::NEG_INFINITY };
        return (0..count).map(first).collect();
    }
    let odds = passed.ln() - (1.0 - passed).ln();
    let others = count.saturating_sub(1);
    let mut log = log_count + as_float(others) * (1.0 - passed).ln();
    let mut places = Vec::with_capacity(count);
    for place in 0..count {
        places.push(log);
        log += odds + (as_float(others.saturating_sub(place)) / as_float(place + 1)).ln();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{Departure, chance_in_batch, log_places};
    use crate::sender::Timer;

    #[test]
    fn places_are_binomial() {
        let places = log_places(4, 0.25, Departure::Arrival);
        // Binomial(j; 3, 1/4), four times.
        let expected = [27.0 / 64.0, 27.0 / 64.0, 9.0 / 64.0, 1.0 / 64.0];
        for (log, expected) in places.iter().zip(expected) {
            assert!((log.exp() - 4.0 * expected).abs() < 1e-9, "{places:?}");
        }
        let first = log_places(4, 0.0, Departure::Arrival);
        assert!((first[0].exp() - 4.0).abs() < 1e-9 && first[1].exp() == 0.0);
        assert_eq!(log_places(2, 0.5, Departure::Shuffled), [0.0, 0.0]);
    }

    #[test]
    fn a_device_is_in_a_batch_that_it_arms_or_meets() {
        let timer = Timer { length_s: 100.0, passed: 0.0 };
        let expected = 0.01 + 0.99 * (1.0 - (-1.0_f64).exp());
        assert!((chance_in_batch(0.01, 1.0, timer) - expected).abs() < 1e-12);
    }
}
