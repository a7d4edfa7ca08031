//! What nodes must agree on: limits, repeats, and which wake-ups leave together.

use reveille_testkit::needs_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fleet::{Fleet, MARK, Mixing};

/// How many notifications of a type a user gets, and how many are sent.
const LIMIT: u64 = 3;
const SENT: usize = 60;

async fn trail(fleet: &Fleet, id: &str) -> Value {
    fleet.nodes[0].client.get(&format!("/v1/notifications/{id}")).await.json()
}

/// Windows that do not end while it is tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_count_and_gather_as_one() {
    let Some(mut fleet) = Fleet::start(3, Mixing::Batch, 2).await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let token = format!("{MARK}-limited");
    let body = json!({"provider": "fcm", "token": token});
    let path = format!("/v1/users/{MARK}/subscriptions");
    assert_eq!(fleet.nodes[0].client.post(&path, &body).await.status, 201);
    let mut requests = JoinSet::new();
    for number in 0..SENT {
        let client = fleet.nodes[number % 3].client.clone();
        requests.spawn(async move {
            let body = json!({"users": [MARK], "type": "edit-user-talk"});
            let answer = client.post("/v1/notifications", &body).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
            answer.json()["id"].as_str().unwrap().to_owned()
        });
    }
    let mut limited = 0;
    for id in requests.join_all().await {
        limited += trail(&fleet, &id).await["wakeups"]["limited"].as_u64().unwrap_or_default();
    }
    assert_eq!(limited, SENT as u64 - LIMIT, "a limit is exact, however many nodes count");

    // The same request at all nodes at once is one.
    let mut requests = JoinSet::new();
    for number in 0..12 {
        let client = fleet.nodes[number % 3].client.clone();
        requests.spawn(async move {
            let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
            let body = json!({"users": ["nobody"], "type": "mention"}).to_string().into_bytes();
            let path = "/v1/notifications";
            let answer = client.try_call(http::Method::POST, path, &headers, body).await.unwrap();
            assert_eq!(answer.status, 202, "{}", answer.text);
            answer.text
        });
    }
    let mut ids = requests.join_all().await;
    ids.dedup();
    assert_eq!(ids.len(), 1, "one id, whoever was asked: {ids:?}");

    fleet.expect([token]);
    fleet.settle().await;
    for number in 0..3 {
        fleet.stop(number);
    }
    fleet.ledger();
    fleet.check_logs();
}

/// What was accepted in one window leaves as one batch, whichever nodes took it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_three_nodes_is_one() {
    let Some(mut fleet) = Fleet::start(3, Mixing::Batch, 3).await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let mut rng = reveille_model::Rng::from_number(3);
    for _ in 0..3 {
        fleet.load(90, &mut rng).join_all().await;
        fleet.settle().await;
    }
    for number in 0..3 {
        fleet.stop(number);
    }
    let [accepted, waiting, ..] = fleet.ledger();
    assert_eq!(waiting, 0);
    let batches: Vec<i64> = fleet.logs().iter().filter_map(|line| batch(line)).collect();
    assert_eq!(batches.iter().sum::<i64>(), accepted, "each is in one batch: {batches:?}");
    // Three times ninety requests, each time in one window or two.
    assert!(
        batches.len() <= 6,
        "as many batches as windows, not as windows and nodes: {batches:?}"
    );
}

/// How many wake-ups a node says a window had.
fn batch(line: &str) -> Option<i64> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["message"] != "a window was released" {
        return None;
    }
    line["wakeups"].as_i64()
}
