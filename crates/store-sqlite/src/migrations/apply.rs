//! Brings a database to the schema this version knows.

use rusqlite::{Connection, TransactionBehavior};

use crate::OpenError;

/// The statements that lead from version `n` to `n + 1`, in order.
pub(crate) const STEPS: [&str; 14] = [
    include_str!("0001_start.sql"),
    include_str!("0002_suspects.sql"),
    include_str!("0003_release.sql"),
    include_str!("0004_devices.sql"),
    include_str!("0005_sealing.sql"),
    include_str!("0006_preferences.sql"),
    include_str!("0007_inbox.sql"),
    include_str!("0008_proofs.sql"),
    include_str!("0009_cohorts.sql"),
    include_str!("0010_providers.sql"),
    include_str!("0011_echo.sql"),
    include_str!("0012_moved.sql"),
    include_str!("0013_spread.sql"),
    include_str!("0014_kinds.sql"),
];

/// The schema this version reads and writes.
pub(crate) const SCHEMA_VERSION: usize = STEPS.len();

/// The push server's databases were the first, and say nothing.
const PUSH: i32 = 0;

/// Brings a database of the push server to this version's schema. Returns how many steps that took.
pub(crate) fn migrate_push(connection: &mut Connection) -> Result<usize, OpenError> {
    migrate(connection, (&STEPS, PUSH))
}

/// Applies what is missing of `steps` and returns how many that was. A schema newer than the last of them is refused.
/// `application` tells our kinds of databases apart: `PRAGMA application_id`.
pub(crate) fn migrate(
    connection: &mut Connection,
    (steps, application): (&[&str], i32),
) -> Result<usize, OpenError> {
    let known = steps.len();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    let of_file: i32 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if found > 0 && of_file != application {
        return Err(OpenError::Another);
    }
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for step in steps.iter().skip(found) {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(&format!(
        "PRAGMA user_version = {known}; PRAGMA application_id = {application}"
    ))?;
    transaction.commit()?;
    Ok(known - found)
}
