//! A deterministic simulation of mixer, memory store and lying providers: one seed names a run.
//!
//! The decisions are those of production (`Schedule`, `order`, `after`, `Governor`, the store's contract); only the loop around them is
//! the simulation's, so that crashes, lost replies and paused workers can happen between any two steps. Every loop has a step bound. Each
//! checker is proven by a planted bug that only it finds.
#![cfg(test)]

mod bug;
mod provider;
mod scenery;
mod world;

use bug::Bug;
use world::World;

/// Runs one seed; says what was found wrong.
fn run(seed: u64, bug: Option<Bug>) -> Result<(), String> {
    let mut world = World::new(seed, bug);
    world.stormy()?;
    world.quiet()?;
    world.everything_arrived()
}

#[test]
fn two_thousand_seeds_lose_nothing_and_drop_nobody() {
    let seeds = if reveille_testkit::is_long() { 200_000 } else { 2_500 };
    for seed in 0..seeds {
        if let Err(what) = run(seed, None) {
            panic!("seed {seed}: {what}; repeat it with `run({seed}, None)`");
        }
    }
    println!("{seeds} seeds");
}

#[test]
fn a_seed_repeats_itself_exactly() {
    let story = |seed| {
        let mut world = World::new(seed, None);
        world.stormy().and_then(|()| world.quiet()).unwrap();
        world.story
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn every_checker_finds_its_planted_bug() {
    let bugs = [
        (Bug::SendsEarly, "left before its window ended"),
        (Bug::SendsHalfABatch, "left before all of its window was expanded"),
        (Bug::ForgetsInFlightAtACrash, "never arrived"),
        (Bug::DropsOnServerErrors, "was dropped though it lives"),
        (Bug::DropsOnGuardedProof, "was dropped though it lives"),
        (Bug::IgnoresNamedTimes, "before the time the provider named"),
        (Bug::SendsLate, "sent after it had expired"),
        (Bug::GivesBackWhatIsHeld, "held by two at once"),
        (Bug::ForgetsRetries, "does not settle"),
        (Bug::Miscounts, "the accounting does not fit"),
        (Bug::AcceptsRepeatsAnew, "was accepted twice"),
        (Bug::ForgetsPausesAtACrash, "during a pause the provider named"),
        (Bug::TrustsBlindly, "was dropped though it lives"),
        (Bug::KeepsTheDead, "was sent to after it was called dead"),
    ];
    for (bug, complaint) in bugs {
        let finds = |seed| run(seed, Some(bug)).err().filter(|what| what.contains(complaint));
        assert!((0..2_000).any(|seed| finds(seed).is_some()), "{bug:?} is not found");
    }
}
