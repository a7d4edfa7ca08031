//! The order of a batch, as a seed.

use crate::Rng;

/// Decides the order in which a batch leaves: the wake-ups of a batch take their sort keys from [`Shuffle::keys`] one after the other.
/// Independent, uniform 64-bit keys make each order equally likely, up to ties, which two keys in 2⁶⁴ make. A seed rather than keys, so
/// that a release that was cut short goes on with the order it began with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shuffle([u8; 32]);

impl Shuffle {
    /// The shuffle of a seed, which must be fresh for every batch and hard to guess.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// The seed.
    pub fn as_seed(&self) -> &[u8; 32] {
        &self.0
    }

    /// The sort keys, without end.
    pub fn keys(&self) -> impl Iterator<Item = i64> + use<> {
        let mut rng = Rng::from_seed(self.0);
        std::iter::repeat_with(move || rng.next_u64().cast_signed())
    }
}

impl std::fmt::Debug for Shuffle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shuffle(…)")
    }
}
