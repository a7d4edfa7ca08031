//! The tables, and how they came to be so. A step is only added: expand first, contract later.
//!
//! `MariaDB` cannot take back a change of tables. So each statement of a step may be repeated, and a step that was cut short is carried out again: that is
//! why no tool is used that would call such a database broken.

use sqlx::{Connection as _, Executor as _, MySqlConnection, MySqlPool, query};

use crate::MariaDbError;
use crate::codec::number;
use crate::engine::LANES;
use crate::rows::{chunks, listing};

/// The steps, in order.
const STEPS: [&str; 4] = [
    include_str!("0001_start.sql"),
    include_str!("0002_spread.sql"),
    include_str!("0003_kinds.sql"),
    include_str!("0004_cohorts.sql"),
];

/// The schema this version reads and writes.
pub const SCHEMA_VERSION: i64 = 4;

const _: () =
    assert!(SCHEMA_VERSION.unsigned_abs() == STEPS.len() as u64, "a version for each step");

/// The oldest schema whose nodes may go on with this one, which has only more than that: while nodes are replaced one after the other, one of those that are left may have to
/// start once more.
const USABLE_SINCE: i64 = 3;

/// How long another process that changes the tables is waited for, in seconds.
const WAIT_S: i64 = 60;

/// The schema of a database; 0 where it has none of ours.
pub(crate) async fn version(connection: &mut MySqlConnection) -> Result<i64, MariaDbError> {
    let there =
        query("SHOW TABLES LIKE 'schema\\_version'").fetch_optional(&mut *connection).await?;
    if there.is_none() {
        return Ok(0);
    }
    let row = query("SELECT version FROM schema_version").fetch_optional(connection).await?;
    Ok(row.map(|row| number(&row, 0)).transpose()?.unwrap_or_default())
}

/// Refuses a database that this version does not know, unless the one that changed it has said that it may be used all the same.
pub(crate) async fn check(pool: &MySqlPool) -> Result<(), MariaDbError> {
    let (known, mut connection) = (SCHEMA_VERSION, pool.acquire().await?);
    match version(&mut connection).await? {
        0 => Err(MariaDbError::Empty),
        found if found < known => Err(MariaDbError::Older { found, known }),
        found if found > known => {
            let row = query("SELECT usable_since FROM schema_version").fetch_one(&mut *connection);
            let since = number(&row.await?, 0)?;
            if since > known {
                return Err(MariaDbError::Newer { found, known });
            }
            tracing::warn!(
                schema = found,
                known,
                "a later version has changed the tables; this one may use them until it is replaced"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Brings a database to this version's schema. Returns the version it had.
pub(crate) async fn migrate(pool: &MySqlPool) -> Result<i64, MariaDbError> {
    let mut connection = pool.acquire().await?.detach();
    let lock = query("SELECT CAST(GET_LOCK(CONCAT('reveille.', DATABASE()), ?) AS SIGNED)");
    let lock = lock.bind(WAIT_S).fetch_one(&mut connection).await?;
    if number(&lock, 0)? != 1 {
        return Err(MariaDbError::Connect("another process is changing the tables".to_owned()));
    }
    let found = version(&mut connection).await?;
    if found > SCHEMA_VERSION {
        return Err(MariaDbError::Newer { found, known: SCHEMA_VERSION });
    }
    connection
        .execute("CREATE TABLE IF NOT EXISTS schema_version (one TINYINT PRIMARY KEY, version BIGINT NOT NULL)")
        .await?;
    connection
        .execute("ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS usable_since BIGINT NOT NULL DEFAULT 1")
        .await?;
    let done = usize::try_from(found).unwrap_or_default();
    for (step, version) in STEPS.iter().zip(1_i64..).skip(done) {
        sqlx::raw_sql(*step).execute(&mut connection).await?;
        let note =
            query("REPLACE INTO schema_version (one, version, usable_since) VALUES (1, ?, ?)");
        note.bind(version).bind(USABLE_SINCE).execute(&mut connection).await?;
    }
    write_lanes(&mut connection).await?;
    // The lock goes with the connection.
    connection.close().await?;
    Ok(found)
}

/// A row for each lane, where there is none.
async fn write_lanes(connection: &mut MySqlConnection) -> Result<(), MariaDbError> {
    let ids: Vec<i64> = (0..i64::try_from(LANES).unwrap_or_default()).collect();
    for part in chunks(&ids) {
        let sql = "INSERT IGNORE INTO lanes (id, closed_until) VALUES {}";
        let one = "(?, (SELECT closed_until FROM state))";
        let mut insert = query(listing(sql, one, part.len()));
        for id in part {
            insert = insert.bind(id);
        }
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}
