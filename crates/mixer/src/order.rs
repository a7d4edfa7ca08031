//! The shuffle of a batch.

use reveille_model::Rng;

/// Where a wake-up stands in its batch. Kept with it, so that a restart does not change or reveal anything.
pub type SortKey = i64;

/// Draws `count` sort keys. Sorting a batch by independent, uniform 64-bit keys is a uniform shuffle: each order is equally likely up
/// to ties, which two keys in 2⁶⁴ make. The keys say nothing of arrival, and a batch may be drawn piece by piece.
pub fn order(count: usize, rng: &mut Rng) -> Vec<SortKey> {
    (0..count).map(|_| rng.next_u64().cast_signed()).collect()
}

#[cfg(test)]
mod tests {
    use super::order;
    use reveille_model::Rng;

    /// Spearman's rank correlation between arrival and departure.
    fn rho(keys: &[i64]) -> f64 {
        let count = u32::try_from(keys.len()).unwrap();
        let mut by_key: Vec<usize> = (0..keys.len()).collect();
        by_key.sort_by_key(|&index| keys[index]);
        let square_sum: f64 = by_key
            .iter()
            .enumerate()
            .map(|(rank, &index)| {
                let apart = u32::try_from(rank.abs_diff(index)).unwrap();
                f64::from(apart).powi(2)
            })
            .sum();
        let count = f64::from(count);
        1.0 - 6.0 * square_sum / (count * (count * count - 1.0))
    }

    #[test]
    fn departure_does_not_follow_arrival() {
        let mut rng = Rng::from_number(1);
        // The standard error of rho is 1/sqrt(n-1): 0.005 here.
        assert!(rho(&order(40_000, &mut rng)).abs() < 0.02);
        // The checker sees an order that was not shuffled.
        assert!(rho(&(0..40_000).collect::<Vec<_>>()) > 0.99);
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut rng = Rng::from_number(2);
        let mut counts = std::collections::BTreeMap::<Vec<usize>, u32>::new();
        for _ in 0..6_000 {
            let keys = order(3, &mut rng);
            let mut ranks = vec![0, 1, 2];
            ranks.sort_by_key(|&index: &usize| keys[index]);
            *counts.entry(ranks).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        // Expected 1,000 each, standard deviation 29; five of them.
        assert!(counts.values().all(|count| count.abs_diff(1_000) < 145), "{counts:?}");
    }
}
