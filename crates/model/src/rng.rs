//! The one generator: `ChaCha20`. Delays and shuffles protect privacy, so it must not be guessable; under a seed it is exactly
//! repeatable, which is what simulations need.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A cryptographically secure generator, seeded by the operating system in production and by the test in tests.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// A generator that repeats itself exactly for an equal seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// One of many independent generators under one seed.
    pub fn from_seed_and_stream(seed: [u8; 32], stream: u64) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A generator for tests and simulations, named by a number.
    pub fn from_number(number: u64) -> Self {
        let mut seed = [0; 32];
        for (place, byte) in seed.iter_mut().zip(number.to_le_bytes()) {
            *place = byte;
        }
        Self::from_seed(seed)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 16 random bytes.
    pub fn bytes_16(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `bound`, every one equally likely.
    ///
    /// `bound` must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below zero");
        // Rejection keeps it uniform; the loop runs more than twice with probability under 1/4.
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let drawn = self.next_u64();
            if drawn < zone {
                return drawn % bound;
            }
        }
    }

    /// A number from zero up to, not including, one.
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds exactly")]
        let drawn = (self.next_u64() >> 11) as f64;
        drawn / 9_007_199_254_740_992.0
    }

    /// Puts things into an order, every one equally likely.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.index(last + 1));
        }
    }

    /// An index below `length`, which must not be zero.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included, every one equally likely.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.next_u64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn equal_seeds_repeat_and_others_do_not() {
        let draw = |seed| {
            let mut rng = Rng::from_number(seed);
            (0..4).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn between_reaches_both_ends_and_nothing_else() {
        let mut rng = Rng::from_number(3);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| rng.between(5, 8)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert_eq!(rng.between(7, 7), 7);
        rng.between(0, u64::MAX);
    }
}
