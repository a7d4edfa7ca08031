//! Who there is: accounts, one device each, and how often something happens to them.

use reveille_model::Rng;

use crate::setting::Setting;
use crate::statistics::as_float;
use crate::weighted::{Weighted, normal};

/// Whoever is watched has had at least so many events in [`WATCHED_S`].
const EVENTS_MIN: f64 = 20.0;
/// How long an observer has records: 90 days.
pub(crate) const WATCHED_S: f64 = 90.0 * 86_400.0;
/// If fewer are that busy, whoever is watched is one of so many busiest.
const TARGETS_MIN: usize = 100;

/// Devices and their rates.
#[derive(Debug)]
pub(crate) struct Population {
    /// Events a second of each device.
    pub(crate) rates: Vec<f64>,
    /// Events a second of all of them.
    pub(crate) rate: f64,
    /// Devices that may be watched.
    pub(crate) targets: Vec<usize>,
    by_rate: Weighted,
}

impl Population {
    /// Rates of one shape: log-normal, and in all as many events as the setting says.
    pub(crate) fn draw(setting: &Setting, rng: &mut Rng) -> Self {
        let weights: Vec<f64> =
            (0..setting.devices).map(|_| (setting.sigma * normal(rng)).exp()).collect();
        let total: f64 = weights.iter().sum();
        Self::of(weights.iter().map(|weight| setting.rate * weight / total).collect())
    }

    /// Of known rates.
    pub(crate) fn of(rates: Vec<f64>) -> Self {
        let mut targets: Vec<usize> = Vec::new();
        for (device, rate) in rates.iter().enumerate() {
            if rate * WATCHED_S >= EVENTS_MIN {
                targets.push(device);
            }
        }
        if targets.len() < TARGETS_MIN.min(rates.len()) {
            let mut busiest: Vec<(f64, usize)> = rates.iter().copied().zip(0..).collect();
            busiest.sort_by(|left, right| right.0.total_cmp(&left.0));
            targets = busiest.iter().take(TARGETS_MIN).map(|(_, device)| *device).collect();
            targets.sort_unstable();
        }
        let by_rate = Weighted::new(&rates);
        Self { rate: rates.iter().sum(), rates, targets, by_rate }
    }

    pub(crate) fn devices(&self) -> usize {
        self.rates.len()
    }

    /// The device of one event.
    pub(crate) fn draw_device(&self, rng: &mut Rng) -> usize {
        self.by_rate.draw(rng)
    }

    /// Who is watched in one trial: every eligible one is equally likely.
    pub(crate) fn draw_target(&self, rng: &mut Rng) -> usize {
        self.targets.get(rng.index(self.targets.len().max(1))).copied().unwrap_or_default()
    }

    /// Whether it is one of those who may be watched.
    pub(crate) fn is_target(&self, device: usize) -> bool {
        self.targets.binary_search(&device).is_ok()
    }

    /// What is believed before anything is seen: one of those who may be watched.
    pub(crate) fn prior(&self) -> Vec<f64> {
        let mut prior = vec![0.0; self.devices()];
        for target in &self.targets {
            if let Some(chance) = prior.get_mut(*target) {
                *chance = 1.0 / as_float(self.targets.len());
            }
        }
        prior
    }
}

#[cfg(test)]
mod tests {
    use super::Population;
    use crate::setting::Setting;
    use reveille_model::Rng;

    #[test]
    fn rates_have_the_shape_of_the_study() {
        let population = Population::draw(&Setting::REFERENCE, &mut Rng::from_number(1));
        assert!((population.rate - 1.0).abs() < 1e-9);
        let per_day: Vec<f64> = population.rates.iter().map(|rate| rate * 86_400.0).collect();
        // Of privacy.md §4: mean 0.86 events a day, median 0.28, p99 9.1; 56 % may be watched.
        let median = crate::statistics::quantile(per_day.clone(), 0.5);
        assert!((0.27..0.29).contains(&median), "{median}");
        let rare = crate::statistics::quantile(per_day, 0.99);
        assert!((8.5..9.8).contains(&rare), "{rare}");
        assert!((54_500..57_500).contains(&population.targets.len()));
    }

    #[test]
    fn where_nobody_is_busy_the_busiest_are_watched() {
        let rates: Vec<f64> = (1..=300).map(|rank| 1e-9 * f64::from(rank)).collect();
        let population = Population::of(rates);
        assert_eq!(population.targets, (200..300).collect::<Vec<_>>());
    }
}
