//! The bare peer of the benchmark of sessions on Cassandra: the driver alone, with the statements and settings of the store.
//!
//! `driver HOST:PORT KEYSPACE get|set TASKS KEYS SECONDS` prints operations a second, of so many tasks on so many keys.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::Consistency;
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, keyspace, operation, tasks, keys, seconds] = arguments.as_slice() else {
        return Err("usage: driver HOST:PORT KEYSPACE get|set TASKS KEYS SECONDS".into());
    };
    let (tasks, keys, seconds): (u64, u64, u64) = (tasks.parse()?, keys.parse()?, seconds.parse()?);
    let nodes = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(Duration::from_secs(2)))
        .load_balancing_policy(nodes.prefer_datacenter("dc1".to_owned()).build())
        .build();
    let session = SessionBuilder::new()
        .known_node(host)
        .pool_size(PoolSize::PerHost(2.try_into()?))
        .fetch_schema_metadata(false)
        .default_execution_profile_handle(profile.into_handle())
        .build()
        .await?;
    let table = format!("\"{keyspace}\".\"values\"");
    let is_set = operation == "set";
    let sql = if is_set {
        format!("INSERT INTO {table} (key, value) VALUES (?, ?) USING TTL ?")
    } else {
        format!("SELECT value, TTL(value) AS ttl FROM {table} WHERE key = ?")
    };
    let mut statement = session.prepare(sql).await?;
    statement.set_use_cached_result_metadata(true);
    let (session, statement) = (Arc::new(session), Arc::new(statement));
    let next = Arc::new(AtomicU64::new(0));
    let begun = now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (session, statement) = (Arc::clone(&session), Arc::clone(&statement));
        let next = Arc::clone(&next);
        running.spawn(async move {
            let value = vec![7_u8; 128];
            while begun.elapsed() < Duration::from_secs(seconds) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let key = format!("{:032}", number.wrapping_mul(0x9e37_79b9) % keys);
                if is_set {
                    session.execute_unpaged(&statement, (key, &value, 86_400)).await?;
                } else {
                    let rows = session.execute_unpaged(&statement, (key,)).await?;
                    let rows = rows.into_rows_result()?;
                    rows.maybe_first_row::<(Option<Vec<u8>>, Option<i32>)>()?;
                }
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let rate = next.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{rate}")?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
