//! An observer with the providers' records, before the real server: the binary on SQLite, over TLS, with faults and `kill -9`. What the sandbox
//! received is given to the lab's black box.
//!
//! Users of three kinds (an Android phone, an iPhone, both) are in cohorts. In each round something happens to some of them; the next begins when
//! nothing waits any more. What must hold: however long it is watched, the best guess is right one time in the smallest cohort; the order of
//! departure tells nothing of that of arrival; whoever lives in one cohort is attempted in the same rounds.
#![cfg(test)]

mod observed;
mod rig;

use reveille_lab::{AttackSettings, attack};
use reveille_model::Rng;

use observed::{Observed, ROUND, missed, partial, rho};
use rig::{Rig, Trouble, USERS};

/// Rounds of events.
const ROUNDS: usize = 30;
/// Whose device is looked for.
const TARGETS: usize = 60;
/// Others to whom something happens in a round.
const OTHERS: usize = 20;
/// After so many events of a target.
const EVENTS: usize = 20;

async fn watch() -> Observed {
    let mut rng = Rng::from_number(6);
    let mut rig = Rig::start().await;
    rig.register_all().await;
    for round in 0..ROUNDS {
        let mut meant: Vec<usize> = (0..TARGETS)
            .filter(|_| rng.below(100) < 76)
            .map(|target| target * 31 % USERS)
            .collect();
        meant.extend((0..OTHERS).map(|_| rng.index(USERS)));
        rng.shuffle(&mut meant);
        if round % 4 == 2 {
            rig.misbehave(round).await;
        }
        let trouble = if round % 8 == 5 { Trouble::Killed } else { Trouble::None };
        rig.round(&meant, trouble).await;
    }
    rig.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_the_real_server_stays_at_one_in_a_cohort() {
    let observed = watch().await;
    assert!(observed.pushes.len() >= 25_000, "{} pushes", observed.pushes.len());
    assert_eq!(missed(&observed), Vec::<String>::new());
    assert_eq!(partial(&observed), Vec::<String>::new());
    for provider in ["fcm", "apns"] {
        let (events, pushes, truth) = observed.logs(provider);
        assert_eq!(observed.shapes(provider).len(), 1, "{:?}", observed.shapes(provider));
        let settings =
            AttackSettings { events: vec![1, 3, EVENTS], ..AttackSettings::new(ROUND - 1) };
        let found = attack(&events, &pushes, &truth, &settings, &|_, _| {}).unwrap();
        let last = found.points.iter().find(|point| point.events == EVENTS).unwrap();
        let floor = 1.0 / observed.smallest;
        let error = last.top1_error.max(last.hit_error);
        println!(
            "{provider}: {} pushes, {} accounts, top-1 after {EVENTS} events {:.2} % (guessed right {:.2} ± {:.2} %), 1/k {:.2} %",
            pushes.len(),
            last.accounts,
            100.0 * last.top1,
            100.0 * last.hit,
            100.0 * error,
            100.0 * floor
        );
        assert!(last.accounts >= TARGETS / 4, "{} accounts", last.accounts);
        assert!(last.top1 <= floor + 3.0 * error, "{last:?}");
        assert!(last.hit <= floor + 3.0 * error, "{last:?}");
    }
    let order = rho(&observed);
    println!("order: rho {:.4} over {} pushes", order.rho, order.pushes);
    assert!(order.pushes >= 25_000 && order.rho.abs() <= 0.02, "{order:?}");
    // Each checker sees what it is for.
    let mut planted = observed.clone();
    planted.send_in_order();
    assert!(rho(&planted).rho > 0.5, "{:?}", rho(&planted));
    let mut planted = observed.clone();
    planted.lose_one();
    assert_eq!(partial(&planted).len(), 1);
    let mut planted = observed.clone();
    planted.lose_a_round();
    assert!(missed(&planted).len() > 10, "{:?}", missed(&planted));
    let mut planted = observed;
    planted.send_to_the_meant_alone();
    let (events, pushes, truth) = planted.logs("fcm");
    let settings = AttackSettings { events: vec![EVENTS], ..AttackSettings::new(ROUND - 1) };
    let found = attack(&events, &pushes, &truth, &settings, &|_, _| {}).unwrap();
    // Somebody is found by chance in a crowd of those to whom as much happens.
    assert!(found.points.iter().all(|point| point.hit > 0.5), "{:?}", found.points);
}
