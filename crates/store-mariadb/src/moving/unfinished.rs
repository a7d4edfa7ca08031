//! That a database is filled, and not to be used before all of it is there.

use sqlx::MySqlPool;

use crate::MariaDbError;
use crate::statement::query;

/// How far a move is: claimed, under way, over.
pub(super) const CLAIMED: i64 = 0;
pub(super) const UNDER_WAY: i64 = 1;
pub(super) const OVER: i64 = 2;

/// Refuses a database that is being filled.
pub(crate) async fn refuse_unfinished(pool: &MySqlPool) -> Result<(), MariaDbError> {
    let found = query("SELECT 1 FROM moves WHERE state <> ?").bind(OVER);
    match found.fetch_optional(pool).await? {
        Some(_) => Err(MariaDbError::Moving),
        None => Ok(()),
    }
}
