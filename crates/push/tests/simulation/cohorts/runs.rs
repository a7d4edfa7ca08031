//! Many seeds of a world, twins of it, and worlds with a planted bug.

use super::scenery::Bug;
use super::world::World;

/// Runs one seed; says what was found wrong.
fn run(seed: u64, bug: Option<Bug>) -> Result<(), String> {
    let mut world = World::new(seed, bug);
    world.stormy()?;
    world.quiet()?;
    world.everything_arrived()
}

#[test]
fn thousands_of_seeds_never_wake_a_cohort_in_part() {
    let seeds = if reveille_testkit::is_long() { 100_000 } else { 2_000 };
    for seed in 0..seeds {
        if let Err(what) = run(seed, None) {
            panic!("seed {seed}: {what}; repeat it with `run({seed}, None)`");
        }
    }
    println!("{seeds} seeds");
}

/// What two runs of one seed show that differ only in which member of a cohort each event names.
fn twins(seed: u64, bug: Option<Bug>) -> Result<(), String> {
    let story = |is_twin| {
        let mut world = World::new(seed, bug);
        (world.names_others, world.is_told) = (is_twin, true);
        world.stormy()?;
        world.quiet()?;
        Ok::<_, String>((world.story, world.twisted))
    };
    let ((left, _), (right, twisted)) = (story(false)?, story(true)?);
    if let Some(at) = left.iter().zip(&right).position(|(left, right)| left != right) {
        let said = |story: &[String]| story.get(at).cloned().unwrap_or_default();
        return Err(format!("it shows who was meant: {} or {}", said(&left), said(&right)));
    }
    if left.len() != right.len() {
        return Err("it shows who was meant: one goes on longer".to_owned());
    }
    if twisted == 0 { Err("nobody else was named".to_owned()) } else { Ok(()) }
}

#[test]
fn nothing_anywhere_depends_on_which_member_was_meant() {
    let seeds = if reveille_testkit::is_long() { 20_000 } else { 700 };
    let mut silent = 0;
    for seed in 0..seeds {
        match twins(seed, None) {
            Ok(()) => {}
            Err(what) if what == "nobody else was named" => silent += 1,
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    assert!(silent < seeds / 10, "{silent} seeds name nobody else");
    println!("{seeds} seeds");
    let finds =
        |seed| twins(seed, Some(Bug::NotesWhoWasMeant)).is_err_and(|what| what.contains("shows"));
    assert!((0..50).any(finds), "a note of who was meant is not found");
}

#[test]
fn every_checker_of_cohorts_finds_its_planted_bug() {
    let bugs = [
        (Bug::LosesOneOfACohort, "is woken in part"),
        (Bug::ForgetsOneInFlight, "was not woken with its cohort"),
        (Bug::WakesTheSpent, "below its floor"),
        (Bug::HoldsTheNursery, "waited too long"),
        (Bug::WakesTheNursery, "did not wait for others"),
        (Bug::ForgetsMarks, "does not settle"),
        (Bug::NeverPads, "leaves alone"),
        (Bug::SpendsWithoutEnd, "beyond the budget"),
        (Bug::SealsNobody, "has missed a beat"),
        (Bug::MovesTheEquipped, "has changed company"),
        (Bug::WakesBeforeTheMuster, "nobody has mustered"),
    ];
    for (bug, complaint) in bugs {
        let finds = |seed| run(seed, Some(bug)).err().filter(|what| what.contains(complaint));
        assert!((0..600).any(|seed| finds(seed).is_some()), "{bug:?} is not found");
    }
}
