//! Drawing one of many by weight, in constant time (Walker's alias method, in Vose's form).

use reveille_model::Rng;

use crate::statistics::{as_float, floor};

/// Where fewer are expected, they are drawn one by one.
const REJECTION_MIN: f64 = 10.0;
/// From so many on Stirling's series is exact enough.
const STIRLING_MIN: usize = 16;

/// Things drawn by weight.
#[derive(Debug, Clone)]
pub(crate) struct Weighted {
    /// For each place: how often it stays, and who takes it when it does not.
    places: Vec<(f64, usize)>,
}

impl Weighted {
    /// Of weights that are not negative and not all zero.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let count = as_float(weights.len());
        let mut left: Vec<f64> = weights.iter().map(|weight| weight / total * count).collect();
        let mut places: Vec<(f64, usize)> = (0..weights.len()).map(|place| (1.0, place)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len())
            .partition(|place| left.get(*place).is_some_and(|share| *share < 1.0));
        while let (Some(few), Some(many)) = (small.pop(), large.last().copied()) {
            let share = left.get(few).copied().unwrap_or_default();
            if let Some(place) = places.get_mut(few) {
                *place = (share, many);
            }
            if let Some(rest) = left.get_mut(many) {
                *rest -= 1.0 - share;
                if *rest < 1.0 {
                    large.pop();
                    small.push(many);
                }
            }
        }
        Self { places }
    }

    /// One of them.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let place = rng.index(self.places.len());
        match self.places.get(place) {
            Some((stays, other)) if rng.unit() >= *stays => *other,
            _ => place,
        }
    }
}

/// How many events there are where `mean` are expected: their distances are exponential, until the time is over.
pub(crate) fn poisson(mean: f64, rng: &mut Rng) -> usize {
    let (mut left, mut drawn) = (mean, 0);
    loop {
        left += (1.0 - rng.unit()).ln();
        if left < 0.0 {
            return drawn;
        }
        drawn += 1;
    }
}

/// As [`poisson`], in a time that does not grow with the mean: transformed rejection (Hörmann 1993, PTRS), exact where many are expected.
pub(crate) fn poisson_fast(mean: f64, rng: &mut Rng) -> usize {
    if mean < REJECTION_MIN {
        return poisson(mean, rng);
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.024_83 * b;
    let accepted = 0.927_7 - 3.622_4 / (b - 2.0);
    let log_alpha = (1.123_9 + 1.132_8 / (b - 3.4)).ln();
    loop {
        let (u, v) = (rng.unit() - 0.5, rng.unit());
        let edge = 0.5 - u.abs();
        let drawn = ((2.0 * a / edge + b) * u + mean + 0.43).floor();
        if edge >= 0.07 && v <= accepted {
            return floor(drawn);
        }
        if drawn < 0.0 || edge < 0.013 && v > edge {
            continue;
        }
        let count = floor(drawn);
        let log_chance = drawn * mean.ln() - mean - ln_factorial(count);
        if v.ln() + log_alpha - (a / (edge * edge) + b).ln() <= log_chance {
            return count;
        }
    }
}

/// The logarithm of a factorial: plainly, or by Stirling's series, to twelve digits.
pub(crate) fn ln_factorial(count: usize) -> f64 {
    if count < STIRLING_MIN {
        return (2..=count).map(as_float).product::<f64>().ln();
    }
    let n = as_float(count);
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1_260.0 * n.powi(5));
    (n + 0.5) * n.ln() - n + 0.5 * std::f64::consts::TAU.ln() + series
}

/// A normal draw (Box and Muller), of mean zero and deviation one.
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::{Weighted, ln_factorial, normal, poisson, poisson_fast};
    use reveille_model::Rng;

    #[test]
    fn each_is_drawn_by_its_weight() {
        let weights = [1.0, 0.0, 5.0, 4.0];
        let (weighted, mut rng) = (Weighted::new(&weights), Rng::from_number(1));
        let mut counts = [0_u32; 4];
        for _ in 0..100_000 {
            counts[weighted.draw(&mut rng)] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            // The standard deviation is 158 at most; five of them.
            assert!((f64::from(*count) - weight * 10_000.0).abs() < 800.0, "{counts:?}");
        }
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn poisson_and_normal_have_their_moments() {
        let mut rng = Rng::from_number(2);
        let drawn: usize = (0..20_000).map(|_| poisson(3.0, &mut rng)).sum();
        // Standard deviation sqrt(60,000) = 245; five of them.
        assert!(drawn.abs_diff(60_000) < 1_225, "{drawn}");
        let normals: Vec<f64> = (0..40_000).map(|_| normal(&mut rng)).collect();
        let mean = crate::statistics::mean(normals.iter().copied());
        assert!(mean.value.abs() < 0.025 && (mean.deviation - 1.0).abs() < 0.02, "{mean:?}");
    }

    #[test]
    fn many_are_drawn_as_a_poisson_number_is() {
        let mut rng = Rng::from_number(3);
        for expected in [3.0, 10.0, 78.0, 5_000.0] {
            let drawn: Vec<f64> = (0..40_000)
                .map(|_| crate::statistics::as_float(poisson_fast(expected, &mut rng)))
                .collect();
            let known = crate::statistics::mean(drawn.iter().copied());
            assert!((known.value - expected).abs() < 5.0 * known.error, "{expected} {known:?}");
            let spread = known.deviation / expected.sqrt();
            assert!((spread - 1.0).abs() < 0.02, "{expected} {known:?}");
        }
    }

    #[test]
    fn factorials_meet_where_the_series_begins() {
        for count in [1, 2, 15, 16, 17, 1_000] {
            let next = crate::statistics::as_float(count + 1).ln();
            assert!((ln_factorial(count + 1) - ln_factorial(count) - next).abs() < 1e-9, "{count}");
        }
        assert!((ln_factorial(5) - 120.0_f64.ln()).abs() < 1e-12);
    }
}
