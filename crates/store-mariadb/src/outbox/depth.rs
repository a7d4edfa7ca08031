//! How much there is.

use reveille_model::{CredentialSet, Timestamp};
use reveille_store::Depth;
use sqlx::MySqlPool;

use crate::codec::{count, optional_time, read_ledger};
use crate::error::Done;
use crate::statement::query;

pub(super) async fn depth(pool: &MySqlPool) -> Done<Depth> {
    // One statement sees all lanes at one moment, between two transactions.
    let row = query(concat!(
        "SELECT CAST(SUM(accepted) AS SIGNED), CAST(SUM(waiting) AS SIGNED), CAST(SUM(collapsed) AS SIGNED),",
        " CAST(SUM(settled_sent) AS SIGNED), CAST(SUM(settled_dead) AS SIGNED),",
        " CAST(SUM(settled_expired) AS SIGNED), CAST(SUM(settled_cancelled) AS SIGNED),",
        " CAST(SUM(settled_payload_error) AS SIGNED), CAST(SUM(settled_dry_run) AS SIGNED),",
        " CAST(SUM(settled_limited) AS SIGNED) FROM lanes"
    ));
    let ledger = read_ledger(&row.fetch_one(pool).await?, 0)?;
    let row = query(concat!(
        "SELECT (SELECT MIN(window_end) FROM gathered WHERE window_end >",
        "  COALESCE((SELECT until FROM releases WHERE is_expanded), -1)),",
        " (SELECT window_end FROM wakeups WHERE id = (SELECT MIN(id) FROM wakeups)),",
        " (SELECT CAST(SUM(scheduled) AS SIGNED) FROM lanes)"
    ));
    let row = row.fetch_one(pool).await?;
    let oldest: [Option<Timestamp>; 2] = [optional_time(&row, 0)?, optional_time(&row, 1)?];
    Ok(Depth {
        ledger,
        scheduled: count(&row, 2)?,
        oldest_window_end: oldest.into_iter().flatten().min(),
    })
}

pub(super) async fn paused_until(pool: &MySqlPool, set: &CredentialSet) -> Done<Option<Timestamp>> {
    let select = query("SELECT paused_until FROM credential_sets WHERE name = ?");
    let name = set.to_string();
    match select.bind(name.as_bytes()).fetch_optional(pool).await? {
        Some(row) => Ok(optional_time(&row, 0)?),
        None => Ok(None),
    }
}
