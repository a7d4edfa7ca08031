//! The shuffle of a batch.

use reveille_model::{Rng, Shuffle};

/// Draws the order of a batch. Kept with the batch until it is released, so that a restart does not change or reveal anything; it says
/// nothing of arrival.
pub fn order(rng: &mut Rng) -> Shuffle {
    let mut seed = [0; 32];
    let (first, second) = seed.split_at_mut(16);
    first.copy_from_slice(&rng.bytes_16());
    second.copy_from_slice(&rng.bytes_16());
    Shuffle::from_seed(seed)
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::order_rho;
    use reveille_model::Rng;

    #[test]
    fn departure_does_not_follow_arrival() {
        let mut rng = Rng::from_number(1);
        let keys: Vec<i64> = order(&mut rng).keys().take(40_000).collect();
        // The standard error of rho is 1/sqrt(n-1): 0.005 here.
        assert!(order_rho(&keys).unwrap().abs() < 0.02);
        // The checker sees an order that was not shuffled.
        assert!(order_rho(&(0..40_000).collect::<Vec<_>>()).unwrap() > 0.99);
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut rng = Rng::from_number(2);
        let mut counts = std::collections::BTreeMap::<Vec<usize>, u32>::new();
        for _ in 0..6_000 {
            let keys: Vec<i64> = order(&mut rng).keys().take(3).collect();
            let mut ranks = vec![0, 1, 2];
            ranks.sort_by_key(|&index: &usize| keys[index]);
            *counts.entry(ranks).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        // Expected 1,000 each, standard deviation 29; five of them.
        assert!(counts.values().all(|count| count.abs_diff(1_000) < 145), "{counts:?}");
    }
}
