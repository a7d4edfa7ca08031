//! Nodes that are killed, paused and restarted under load.

use reveille_model::Rng;
use reveille_testkit::{is_long, needs_all};
use serde_json::json;

use super::fleet::{Fleet, MARK, Mixing};

const NODES: usize = 3;
const USERS: usize = 20;

/// A provider that fails in most of the ways there are.
async fn misbehave(fleet: &Fleet) {
    let faults = json!([
        {"token": "*7", "reply": "unavailable", "retry_after_s": 1, "count": 40},
        {"token": "*3", "reply": "internal", "count": 40},
        {"token": "*13", "reply": "reset", "count": 5},
        {"token": "*11", "reply": "refused", "count": 10},
        {"token": "*9", "reply": "goaway", "count": 4},
        {"token": "*-dead", "reply": "unregistered"},
    ]);
    assert_eq!(fleet.sandbox.post("/faults", &faults).await.status, 201);
}

async fn register(fleet: &Fleet) {
    for number in 0..USERS {
        let word = if number == 0 { "dead".to_owned() } else { format!("device-{number}") };
        let path = format!("/v1/users/{MARK}-{number}/subscriptions");
        let body = json!({"provider": "fcm", "token": format!("{MARK}-user-{word}")});
        let node = &fleet.nodes[number % NODES];
        assert_eq!(node.client.post(&path, &body).await.status, 201);
    }
}

/// Something happens to some users at all nodes, twice: what is for one device joins.
async fn happen(fleet: &Fleet, rng: &mut Rng) {
    let users: Vec<String> = (0..USERS).map(|number| format!("{MARK}-{number}")).collect();
    for _ in 0..2 {
        let body = json!({"users": users, "type": "mention"});
        let node = &fleet.nodes[usize::try_from(rng.below(NODES as u64)).unwrap()];
        assert_eq!(node.client.post("/v1/notifications", &body).await.status, 202);
    }
}

/// One round: load on all nodes, and one of them is killed in the midst of it, at a moment that the seed and the machine choose.
async fn round(fleet: &mut Fleet, rng: &mut Rng) {
    happen(fleet, rng).await;
    let mut requests = fleet.load(40, rng);
    let victim = usize::try_from(rng.below(NODES as u64)).unwrap();
    if rng.below(2) == 0 {
        for _ in 0..rng.below(30) {
            requests.join_next().await;
        }
    } else {
        requests.join_all().await;
        requests = tokio::task::JoinSet::new();
        // Into the window, its release or its delivery: requests take time.
        let more = fleet.received().await + rng.below(60);
        fleet.sandbox.get(&format!("/stats?received_min={more}&wait_s=2")).await;
    }
    fleet.kill(victim);
    requests.join_all().await;
    fleet.ledger();
    fleet.start_node(victim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_killed_and_paused_lose_nothing() {
    let Some(mut fleet) = Fleet::start(NODES, Mixing::Batch, 1).await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let kills = if is_long() { 500 } else { 12 };
    let mut rng = Rng::from_number(9);
    register(&fleet).await;
    misbehave(&fleet).await;
    for _ in 0..kills {
        round(&mut fleet, &mut rng).await;
    }
    // A node that hangs is taken for dead, and what it held is sent by others; when it goes on it settles nothing of that.
    let requests = fleet.load(60, &mut rng);
    fleet.server(0).signal("STOP");
    let noticed = "a node is gone; what it held is due";
    let skipped = fleet.server(1).line_count();
    let (first, second) = fleet.nodes.split_at_mut(2);
    let (first, second) = (first[1].server.as_mut().unwrap(), second[0].server.as_mut().unwrap());
    tokio::select! {
        () = first.wait_for_after(skipped, noticed) => {}
        () = second.wait_for(noticed) => {}
    }
    fleet.server(0).signal("CONT");
    requests.join_all().await;
    // Every user, once.
    let users: Vec<String> = (0..USERS).map(|number| format!("{MARK}-{number}")).collect();
    let body = json!({"users": users, "type": "mention"});
    assert_eq!(fleet.nodes[1].client.post("/v1/notifications", &body).await.status, 202);
    fleet.expect((1..USERS).map(|number| format!("{MARK}-user-device-{number}")));
    fleet.settle().await;
    let account = fleet.end().await;
    let repeats = fleet.check_repeats().await;
    let subscriptions = fleet.numbers("SELECT COUNT(*) FROM subscriptions;");
    let all = i64::try_from(USERS).unwrap();
    assert_eq!(subscriptions, [all - 1], "the dead device went, and no other");
    println!("{kills} kills: {account}, {repeats} sent twice");
}
