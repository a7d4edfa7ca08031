//! The bare peer of the benchmark of sessions: SQLite alone, with the statement, the settings and the batches of the store, on a database that the
//! store has filled, and nothing around it.
//!
//! `bare_sessions DATABASE KEYS BATCH SECONDS RUN` writes to random ones of so many keys and prints rows a second.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, keys, batch, seconds, run] = arguments.as_slice() else {
        return Err("usage: bare_sessions DATABASE KEYS BATCH SECONDS RUN".into());
    };
    let (keys, batch, seconds): (u64, u64, u64) = (keys.parse()?, batch.parse()?, seconds.parse()?);
    let connection = Connection::open(database)?;
    // As the store's own connection.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;",
    )?;
    let mut rng = reveille_model::Rng::from_seed([run.parse()?; 32]);
    let value = [7_u8; 128];
    let (begun, mut rows) = (now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..batch {
            let key = format!("{:032}", rng.next_u64() % keys);
            let end = 1_795_254_000_000_i64.saturating_add_unsigned(rows);
            connection
                .prepare_cached(concat!(
                    "INSERT INTO entries (key, value, expires_at, namespace) VALUES (?1, ?2, ?3, ?4)",
                    " ON CONFLICT (key) DO UPDATE SET value = excluded.value,",
                    " expires_at = excluded.expires_at, namespace = excluded.namespace"
                ))?
                .execute(params![key.as_bytes(), value, end, 1])?;
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
