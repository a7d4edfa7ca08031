//! Drawing one of many by weight, in constant time (Walker's alias method, in Vose's form).

use reveille_model::Rng;

use crate::statistics::as_float;

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

/// A normal draw (Box and Muller), of mean zero and deviation one.
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::{Weighted, normal, poisson};
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
}
