//! An observer with the providers' records, before the real server: the binary on SQLite, over TLS, with faults and `kill -9`. What the sandbox
//! received is given to the lab's black box.
//!
//! Users with an Android phone, an iPhone or both are in cohorts, and some get their iPhone, or lose one of two devices, while they are watched. In each
//! round something happens to some of them; the next begins when nothing waits any more. What must hold: however long it is watched, the best guess is right one time in the smallest cohort; the order of
//! departure tells nothing of that of arrival; whoever lives in one cohort is attempted in the same rounds.
#![cfg(test)]

mod company;
mod observed;
mod rig;

use reveille_lab::{AttackPoint as Point, AttackSettings, attack};
use reveille_model::Rng;
use reveille_testkit::{is_long, needs_all};

use company::guesses;
use observed::{Observed, ROUND, missed, partial, rho};
use rig::{LATER, Rig, Runs, Trouble, USERS, is_equipped_later};

/// Rounds of events.
const ROUNDS: usize = 30;
/// Whose device is looked for.
const TARGETS: usize = 60;
/// Others to whom something happens in a round.
const OTHERS: usize = 20;
/// How long it is watched.
#[derive(Debug, Clone, Copy)]
struct Watch {
    rounds: usize,
    /// After so many events of a target it is asked whose device it is.
    events: usize,
    /// So many accounts had so many, at the least.
    accounts: usize,
    /// So many pushes there are at the least.
    pushes: usize,
    /// So little departure follows arrival.
    rho: f64,
}

const WHOLE: Watch = Watch { rounds: ROUNDS, events: 20, accounts: 15, pushes: 25_000, rho: 0.02 };
/// What fits into the normal run beside all else, of four nodes on two cores.
const SHORT: Watch = Watch { rounds: 10, events: 5, accounts: 10, pushes: 7_000, rho: 0.04 };

/// Nothing where what is to run needs a database and there is none.
async fn watch(runs: Runs, watch: Watch) -> Option<Observed> {
    let mut rng = Rng::from_number(6);
    let mut rig = Rig::start(runs).await?;
    rig.register(0).await;
    for round in 0..watch.rounds {
        if round == LATER {
            rig.register(LATER).await;
        }
        let mut meant: Vec<usize> = (0..TARGETS)
            .filter(|_| rng.below(100) < 76)
            .map(|target| match target % 3 {
                // More of those who get another device.
                0 => target * 31 % USERS / 10 * 10 + 9,
                _ => target * 31 % USERS,
            })
            .collect();
        meant.extend((0..OTHERS).map(|_| rng.index(USERS)));
        rng.shuffle(&mut meant);
        if round % 4 == 2 {
            rig.misbehave(round).await;
        }
        let trouble = if round % 8 == 5 { Trouble::Killed } else { Trouble::None };
        rig.round(&meant, trouble).await;
    }
    Some(rig.end().await)
}

/// What the observer with one provider's records says after so many events of an account.
fn guess(observed: &Observed, provider: &str, after: usize) -> Point {
    let (events, pushes, truth) = observed.logs(provider);
    let settings = AttackSettings { events: vec![1, 3, after], ..AttackSettings::new(ROUND - 1) };
    let found = attack(&events, &pushes, &truth, &settings, &|_, _| {}).unwrap();
    let last = *found.points.iter().find(|point| point.events == after).unwrap();
    println!(
        "{provider}: {} pushes, {} accounts, top-1 after {after} events {:.2} % (guessed right {:.2} ± {:.2} %), 1/k {:.2} %",
        pushes.len(),
        last.accounts,
        100.0 * last.top1,
        100.0 * last.hit,
        100.0 * error(&last),
        100.0 / observed.smallest
    );
    last
}

fn mean(values: &[f64]) -> f64 {
    assert!(values.len() >= 10, "{} accounts", values.len());
    values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
}

fn error(point: &Point) -> f64 {
    point.top1_error.max(point.hit_error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_the_real_server_stays_at_one_in_a_cohort() {
    let observed = watch(Runs::Alone, WHOLE).await.unwrap();
    stays_at_one_in_a_cohort(&observed, WHOLE);
    knows_nobody_better_who_got_a_device(&observed);
    each_checker_sees_what_it_is_for(&observed);
}

/// Each request goes to another node than the one before, and in every eighth round one of them is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_four_nodes_sees_no_more_than_of_one() {
    let how = if is_long() { WHOLE } else { SHORT };
    let Some(observed) = watch(Runs::Fleet(4), how).await else {
        println!("{}", needs_all("an observer before four nodes on a real MariaDB"));
        return;
    };
    stays_at_one_in_a_cohort(&observed, how);
    if is_long() {
        knows_nobody_better_who_got_a_device(&observed);
    }
}

fn stays_at_one_in_a_cohort(observed: &Observed, how: Watch) {
    assert!(observed.pushes.len() >= how.pushes, "{} pushes", observed.pushes.len());
    assert_eq!(missed(observed), Vec::<String>::new());
    assert_eq!(partial(observed), Vec::<String>::new());
    let floor = 1.0 / observed.smallest;
    for provider in ["fcm", "apns"] {
        assert_eq!(observed.shapes(provider).len(), 1, "{:?}", observed.shapes(provider));
        let last = guess(observed, provider, how.events);
        assert!(last.accounts >= how.accounts, "{} accounts", last.accounts);
        assert!(last.top1 <= floor + 3.0 * error(&last), "{last:?}");
        assert!(last.hit <= floor + 3.0 * error(&last), "{last:?}");
    }
    let order = rho(observed);
    println!("order: rho {:.4} over {} pushes", order.rho, order.pushes);
    assert!(order.pushes >= how.pushes && order.rho.abs() <= how.rho, "{order:?}");
}

/// Nor are those known better who got another device meanwhile.
fn knows_nobody_better_who_got_a_device(observed: &Observed) {
    let floor = 1.0 / observed.smallest;
    let equipped = mean(&guesses(observed, "fcm", is_equipped_later));
    println!("fcm: of those who got an iPhone {:.2} % are guessed", 100.0 * equipped);
    assert!(equipped <= floor, "{equipped}");
}

fn each_checker_sees_what_it_is_for(observed: &Observed) {
    let mut planted = observed.clone();
    planted.send_in_order();
    assert!(rho(&planted).rho > 0.5, "{:?}", rho(&planted));
    let mut planted = observed.clone();
    planted.lose_one();
    assert_eq!(partial(&planted).len(), 1);
    let mut planted = observed.clone();
    planted.lose_a_round();
    assert!(missed(&planted).len() > 10, "{:?}", missed(&planted));
    let mut planted = observed.clone();
    planted.move_the_equipped();
    let moved = mean(&guesses(&planted, "fcm", is_equipped_later));
    println!("fcm: had they been moved, {:.2} % would be guessed", 100.0 * moved);
    assert!(moved > 2.0 / observed.smallest, "{moved}");
    let mut planted = observed.clone();
    planted.send_to_the_meant_alone();
    // Somebody is found by chance in a crowd of those to whom as much happens.
    assert!(guess(&planted, "fcm", WHOLE.events).hit > 0.5);
}
