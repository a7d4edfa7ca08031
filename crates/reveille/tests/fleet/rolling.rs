//! Nodes that are restarted one after the other while requests come, as for another version.

use reveille_model::Rng;
use reveille_testkit::needs_all;

use super::fleet::{Fleet, Mixing};

const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_replaced_one_by_one_lose_and_double_nothing() {
    let Some(mut fleet) = Fleet::start(NODES, Mixing::Batch, 1).await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let mut rng = Rng::from_number(5);
    for round in 0..2 {
        if round == 1 {
            // What comes after this version has more columns, and leaves it the rest.
            fleet
                .database
                .run("ALTER TABLE wakeups ADD COLUMN of_later TINYINT NOT NULL DEFAULT 0;");
            fleet.database.run("UPDATE schema_version SET version = version + 1;");
        }
        for number in 0..NODES {
            let requests = fleet.load(40, &mut rng);
            // Into its delivery: it ends what it has begun, and gives the rest back.
            let more = fleet.received().await + rng.below(30);
            fleet.sandbox.get(&format!("/stats?received_min={more}&wait_s=2")).await;
            fleet.stop(number);
            requests.join_all().await;
            let accepted = fleet.count_accepted();
            fleet.load(20, &mut rng).join_all().await;
            assert!(fleet.count_accepted() > accepted, "the others accept");
            fleet.start_node(number).await;
        }
        fleet.settle().await;
    }
    let account = fleet.end().await;
    assert_eq!(fleet.check_repeats().await, 0, "who ends by itself leaves nothing in doubt");
    println!("{account}, each sent once");
}
