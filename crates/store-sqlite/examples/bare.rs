//! The bare peer of the benchmark of subscriptions: SQLite alone, with the statement, the settings and the batches of the store, on a database that
//! the store has filled, and nothing around it.
//!
//! `bare DATABASE BATCH SECONDS RUN` prints rows a second; the run's number makes its rows others than those of the one before.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, batch, seconds, run] = arguments.as_slice() else {
        return Err("usage: bare DATABASE BATCH SECONDS RUN".into());
    };
    let (batch, seconds): (u64, u64) = (batch.parse()?, seconds.parse()?);
    let connection = Connection::open(database)?;
    // As the store's own connection.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;",
    )?;
    let mut rng = reveille_model::Rng::from_seed([run.parse()?; 32]);
    let token = [7_u8; 180];
    let (begun, mut rows) = (now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..batch {
            let user = format!("bare-{:012}", rng.next_u64() % 1_000_000_000_000);
            connection
                .prepare_cached(concat!(
                    "INSERT INTO subscriptions (id, user_name, set_id, topic, token, token_key, generation,",
                    " created_at, refreshed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)"
                ))?
                .execute(params![
                    rng.bytes_16(),
                    user,
                    1,
                    None::<&str>,
                    token,
                    rng.bytes_16(),
                    1_795_254_000_000_i64
                ])?;
            rows += 1;
        }
        connection.execute_batch("COMMIT")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{rate}")?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
