//! The same on Galera, each node at a server of its own, of which one is killed and comes back.

use reveille_model::Rng;
use reveille_testkit::{Galera, is_long, needs_all};
use serde_json::json;
use tokio::task::JoinSet;

use super::fleet::{Database, Fleet, MARK, Mixing};

const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_masters_lose_nothing_and_count_as_one() {
    let Some(cluster) = Galera::start().await else {
        println!("{}", needs_all("several nodes on a real Galera"));
        return;
    };
    let database = Database::Cluster(cluster);
    let mut fleet = Fleet::start_on(database, NODES, Mixing::Batch, 2).await;
    let mut rng = Rng::from_number(4);
    let token = format!("{MARK}-limited");
    let body = json!({"provider": "fcm", "token": token});
    let path = format!("/v1/users/{MARK}/subscriptions");
    assert_eq!(fleet.nodes[0].client.post(&path, &body).await.status, 201);
    // At all masters at once: a limit of three.
    let mut requests = JoinSet::new();
    for number in 0..30 {
        let client = fleet.nodes[number % NODES].client.clone();
        requests.spawn(async move {
            let body = json!({"users": [MARK], "type": "edit-user-talk"});
            let answer = client.post("/v1/notifications", &body).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
        });
    }
    requests.join_all().await;
    let counted = fleet.numbers("SELECT SUM(count) FROM limit_counters;");
    assert_eq!(counted, [3], "a limit is exact, however many masters count");
    fleet.expect([token]);
    fleet.settle().await;

    // A node of ours is killed, then a master under another one; both come back.
    let rounds = if is_long() { 20 } else { 1 };
    for _ in 0..rounds {
        let mut requests = fleet.load(40, &mut rng);
        for _ in 0..rng.below(30) {
            requests.join_next().await;
        }
        let victim = usize::try_from(rng.below(NODES as u64)).unwrap();
        fleet.kill(victim);
        requests.join_all().await;
        fleet.start_node(victim).await;
        let requests = fleet.load(40, &mut rng);
        let Database::Cluster(cluster) = &mut fleet.database else { unreachable!("a cluster") };
        cluster.kill(1);
        requests.join_all().await;
        let requests = fleet.load(40, &mut rng);
        let Database::Cluster(cluster) = &mut fleet.database else { unreachable!("a cluster") };
        cluster.start_again(1).await;
        requests.join_all().await;
        fleet.settle().await;
        hang(&mut fleet, &mut rng).await;
        fleet.settle().await;
    }
    let account = fleet.end().await;
    let repeats = fleet.check_repeats().await;
    println!("{account}, {repeats} sent twice");
}

/// One of them stands still until the others miss it, and goes on: what it held is theirs by then.
async fn hang(fleet: &mut Fleet, rng: &mut Rng) {
    let victim = usize::try_from(rng.below(NODES as u64)).unwrap();
    let requests = fleet.load(40, rng);
    fleet.server(victim).signal("STOP");
    let others: Vec<usize> = (0..NODES).filter(|number| *number != victim).collect();
    let skipped = others.iter().map(|number| fleet.server(*number).line_count());
    let skipped: Vec<usize> = skipped.collect();
    let noticed = "a node is gone; what it held is due";
    let (low, high) = fleet.nodes.split_at_mut(others[1]);
    let [first, second] =
        [&mut low[others[0]], &mut high[0]].map(|node| node.server.as_mut().unwrap());
    tokio::select! {
        () = first.wait_for_after(skipped[0], noticed) => {}
        () = second.wait_for_after(skipped[1], noticed) => {}
    }
    fleet.server(victim).signal("CONT");
    requests.join_all().await;
}
