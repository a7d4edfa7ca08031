//! Many seeds, and mistakes that are planted, each to prove one checker.

use super::world::World;

/// What can be wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    ClocksFarApart,
    SendsHalfABatch,
    SettlesWhatIsLost,
    ForgetsWhatTheDeadHeld,
    RepeatsAreNew,
    LimitsOfANode,
}

fn run(seed: u64, plant: Option<Plant>) -> Result<(), String> {
    let mut world = World::new(seed, plant);
    world.stormy()?;
    world.quiet()?;
    world.everything_arrived()
}

#[test]
fn fleets_lose_nothing_double_nothing_and_keep_their_limits() {
    let seeds = if reveille_testkit::is_long() { 100_000 } else { 1_500 };
    for seed in 0..seeds {
        if let Err(what) = run(seed, None) {
            panic!("seed {seed}: {what}; repeat it with `run({seed}, None)`");
        }
    }
    println!("{seeds} fleets");
}

#[test]
fn every_checker_of_a_fleet_finds_its_planted_bug() {
    for (plant, complaint) in [
        (Plant::ClocksFarApart, "left before its window ended"),
        (Plant::SendsHalfABatch, "left before all of its window was expanded"),
        (Plant::SettlesWhatIsLost, "what was lost was settled"),
        (Plant::ForgetsWhatTheDeadHeld, "never arrived"),
        (Plant::RepeatsAreNew, "was accepted twice"),
        (Plant::LimitsOfANode, "times in a period"),
    ] {
        let finds = |seed| run(seed, Some(plant)).err().filter(|what| what.contains(complaint));
        assert!((0..1_000).any(|seed| finds(seed).is_some()), "{plant:?} is not found");
    }
}
