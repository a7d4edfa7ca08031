//! Nodes that are killed, come back, or hang: no request fails for it.

use reveille_model::Duration;
use reveille_testkit::Cassandra;

use crate::load::Load;
use crate::server::Running;
use crate::settings;

const SOME: u32 = 200;

/// One of three is killed in the midst of it, and comes back. Whoever asks sees nothing of that.
pub(crate) async fn node_is_killed(cassandra: &mut Cassandra) {
    let server = Running::start(settings(cassandra, "dc1")).await;
    for node in [2, 1] {
        let mut load = Load::start(&server.client, "killed");
        load.more(SOME).await;
        cassandra.kill(node);
        load.more(SOME).await;
        cassandra.wait_until_noticed(node).await;
        load.more(SOME).await;
        cassandra.restart(node).await;
        // A node that is just back sees its peers later than they see it: whoever goes on asking it must not fail.
        load.more(5 * SOME).await;
        let (count, failed) = load.end().await;
        println!("node {node} killed and back: {count} entries written and read");
        assert_eq!(failed, Vec::<String>::new());
    }
    assert_eq!(server.client.get("/readyz").await.status, 200);
}

/// One holds its connections and answers nothing: with a second question after a while nobody waits for it.
pub(crate) async fn node_hangs(cassandra: &mut Cassandra) {
    let mut settings = settings(cassandra, "dc1");
    settings.speculative_after = Some(Duration::from_ms(200));
    let server = Running::start(settings).await;
    let mut load = Load::start(&server.client, "hangs");
    load.more(SOME).await;
    cassandra.pause(3);
    load.more(SOME / 2).await;
    cassandra.go_on(3).await;
    load.more(SOME).await;
    let (count, failed) = load.end().await;
    println!("node 3 hung: {count} entries written and read");
    assert_eq!(failed, Vec::<String>::new());
}
