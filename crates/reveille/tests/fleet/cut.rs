//! A network that is cut: between the masters of a Galera, and between a node of ours and its master.

use reveille_model::Rng;
use reveille_testkit::{Galera, Link, LinkState, is_long, needs_all};

use super::fleet::{Database, Fleet, Mixing};

const NODES: usize = 3;
/// How often something is waited for, a second each time.
const PATIENCE: u32 = 90;

fn set_link(fleet: &Fleet, link: Link, number: usize, state: LinkState) {
    let Database::Cluster(cluster) = &fleet.database else { unreachable!("a cluster") };
    cluster.set_link(link, number, state);
}

/// Waits until a node says whether it can be used.
async fn until_ready(fleet: &Fleet, number: usize, status: u16) {
    for _ in 0..PATIENCE {
        let answer = fleet.nodes[number].client.get("/readyz").await;
        if answer.status.as_u16() == status {
            return;
        }
        let more = fleet.received().await + 1_000_000;
        fleet.sandbox.get(&format!("/stats?received_min={more}&wait_s=1")).await;
    }
    panic!("node {number} never answers {status}");
}

/// Everything that was accepted arrives while a master, or a node of ours, hears nothing of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_off_holds_up_nobody() {
    let Some(cluster) = Galera::start_apart().await else {
        println!("{}", needs_all("a network that is cut"));
        return;
    };
    let database = Database::Cluster(cluster);
    let mut fleet = Fleet::start_on(database, NODES, Mixing::Batch, 2).await;
    let mut rng = Rng::from_number(12);
    fleet.load(30, &mut rng).join_all().await;
    let rounds = if is_long() { 10 } else { 1 };
    for round in 0..rounds {
        for (link, offset) in [(Link::Others, 1), (Link::Clients, 2)] {
            let cut = (round + offset) % NODES;
            let requests = fleet.load(40, &mut rng);
            set_link(&fleet, link, cut, LinkState::Cut);
            requests.join_all().await;
            until_ready(&fleet, cut, 503).await;
            // Whoever watches still sees it: what it has measured itself waits for no master.
            let seen = fleet.nodes[cut].client.get("/metrics").await.text;
            assert!(seen.contains("reveille_http_requests_total"), "{seen}");
            // The others go on, and what this one held is theirs.
            let accepted = fleet.count_accepted();
            fleet.load(40, &mut rng).join_all().await;
            assert!(fleet.count_accepted() > accepted, "the others accept");
            fleet.settle().await;
            set_link(&fleet, link, cut, LinkState::Up);
            until_ready(&fleet, cut, 200).await;
            fleet.load(40, &mut rng).join_all().await;
            fleet.settle().await;
        }
    }
    let account = fleet.end().await;
    let repeats = fleet.check_repeats().await;
    println!("{account}, {repeats} sent twice");
}
