//! Users who are woken together, by several nodes of which one is killed each time.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::Rng;
use reveille_testkit::{Galera, MariaDb, is_long, needs_all};
use serde_json::json;

use super::fleet::{Database, Fleet, MARK, Mixing, token_of};

const NODES: usize = 3;
/// How often a device is registered that was answered with 503: after the time that a transaction may take.
const REGISTER_TRIES_MAX: usize = 5;
/// How long a claim holds at the most, and a little more, in seconds.
const LEASE_S: usize = 130;
/// As many as a cohort begins with: it forms once all of them are there, however long that takes.
const USERS: usize = 16;

/// The names of the pushes each device got. A push that was sent again has the same one.
async fn names(fleet: &Fleet) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for push in fleet.delivered().await {
        let name = push["headers"]["apns-id"].to_string();
        names.entry(token_of(&push)).or_default().insert(name);
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cohort_is_woken_whole_whichever_node_is_killed() {
    let Some(database) = MariaDb::start().await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let rounds = if is_long() { 60 } else { 3 };
    woken_whole(Database::One(database), rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cohort_is_woken_whole_on_several_masters() {
    let Some(cluster) = Galera::start().await else {
        println!("{}", needs_all("several nodes on a real Galera"));
        return;
    };
    woken_whole(Database::Cluster(cluster), if is_long() { 60 } else { 2 }).await;
}

async fn woken_whole(database: Database, rounds: usize) {
    let mut fleet = Fleet::start_on(database, NODES, Mixing::Cohort, 1).await;
    let mut rng = Rng::from_number(16);
    // All at once, at all nodes.
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..USERS {
        let client = fleet.nodes[number % NODES].client.clone();
        requests.spawn(async move {
            let token = format!("504c414e544544{number:018x}");
            let topic = "org.wikimedia.wikipedia";
            let body = json!({"provider": "apns", "token": token, "topic": topic});
            let path = format!("/v1/users/{MARK}-{number}/subscriptions");
            // Whoever hears 503 tries again, as it says. What was done all the same is refreshed.
            for _ in 0..REGISTER_TRIES_MAX {
                let answer = client.post(&path, &body).await;
                match answer.status.as_u16() {
                    200 | 201 => return,
                    503 => println!("{}", answer.text),
                    _ => break,
                }
            }
            unreachable!("user {number} cannot be registered");
        });
    }
    requests.join_all().await;
    for round in 1..=rounds {
        let (asked, victim) = (rng.below(NODES as u64), rng.below(NODES as u64));
        let whom = rng.below(USERS as u64);
        let body = json!({"users": [format!("{MARK}-{whom}")], "type": "mention"});
        let asked = &fleet.nodes[usize::try_from(asked).unwrap()].client;
        assert_eq!(asked.post("/v1/notifications", &body).await.status, 202);
        let before = fleet.received().await;
        let more = before + rng.below(USERS as u64);
        fleet.sandbox.get(&format!("/stats?received_min={more}&wait_s=3")).await;
        let victim = usize::try_from(victim).unwrap();
        fleet.kill(victim);
        // Each of them has one more; what the victim held comes when it is missed.
        let is_whole = async |fleet: &Fleet| {
            let names = names(fleet).await;
            names.len() == USERS && names.values().all(|names| names.len() >= round)
        };
        for _ in 0..LEASE_S {
            if is_whole(&fleet).await {
                break;
            }
            let more = fleet.received().await + 1;
            fleet.sandbox.get(&format!("/stats?received_min={more}&wait_s=1")).await;
        }
        let names = names(&fleet).await;
        assert!(is_whole(&fleet).await, "round {round}: {names:?}\n{}", fleet.describe());
        fleet.start_node(victim).await;
    }
    fleet.end().await;
    let counts: BTreeSet<usize> = names(&fleet).await.values().map(BTreeSet::len).collect();
    // What several masters may have accepted for a cohort that had just ended wakes the one after it once more, whole.
    assert!(
        counts.len() == 1 && counts.first() >= Some(&rounds),
        "each as often as all: {counts:?}"
    );
    let cohorts = fleet.numbers("SELECT COUNT(*), SUM(live) FROM cohorts WHERE standing = 1;");
    assert_eq!(cohorts, [1, i64::try_from(USERS).unwrap()], "one cohort of all");
}
