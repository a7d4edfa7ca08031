//! Randomness of the operating system, to seed generators with.

/// 32 bytes nobody can guess.
///
/// # Panics
/// If the operating system gives none, since nothing here is safe without.
pub fn seed() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// A generator seeded by the operating system.
pub fn rng() -> reveille_model::Rng {
    reveille_model::Rng::from_seed(seed())
}
