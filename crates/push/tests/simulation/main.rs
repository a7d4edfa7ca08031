//! A deterministic simulation of mixer, memory store and lying providers: one seed names a run.
//!
//! The decisions are those of production (`Schedule`, `order`, `after`, `Governor`, the store's contract); only the loop around them is
//! the simulation's, so that crashes, lost replies and paused workers can happen between any two steps. Every loop has a step bound. Each
//! checker is proven by a planted bug that only it finds.
#![cfg(test)]

mod bug;
mod cohorts;
mod fleet;
mod matrix;
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
fn no_fault_of_one_provider_loses_drops_or_delays_anything_of_another() {
    let seeds = if reveille_testkit::is_long() { 500 } else { 10 };
    for provider in reveille_model::Provider::ALL {
        for fault in matrix::FAULTS {
            for seed in 0..seeds {
                if let Err(what) = matrix::run((provider, fault), seed, None) {
                    panic!("{provider} {fault:?} seed {seed}: {what}");
                }
            }
        }
    }
    println!("{} cells, {seeds} seeds each", 3 * matrix::FAULTS.len());
}

#[test]
fn the_checkers_of_the_matrix_find_their_planted_bugs() {
    use matrix::{Fault, Plant};
    use reveille_model::Provider::{Apns, Fcm};
    for (cell, plant, complaint) in [
        ((Apns, Fault::Unavailable), Plant::DropsOnTrouble, "was dropped though it lives"),
        ((Fcm, Fault::TooMany), Plant::PausesEverybody, "was delayed by another's trouble"),
        ((Apns, Fault::Unavailable), Plant::GivesUpOnTrouble, "a wake-up was given up"),
    ] {
        let found = matrix::run(cell, 1, Some(plant)).err();
        assert!(found.as_ref().is_some_and(|what| what.contains(complaint)), "{plant:?} {found:?}");
    }
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
