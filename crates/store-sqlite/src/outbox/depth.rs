//! How much there is. Every question here is answered from the end of an index.

use reveille_model::Timestamp;
use reveille_store::Depth;
use rusqlite::{Connection, OptionalExtension as _};

use crate::codec::{optional_time, read_ledger};

pub(super) fn depth(connection: &Connection) -> rusqlite::Result<Depth> {
    connection
        .prepare_cached(concat!(
            "SELECT accepted, waiting, collapsed, settled_sent, settled_dead, settled_expired,",
            " settled_cancelled, settled_payload_error, settled_dry_run, settled_limited,",
            " (SELECT window_end FROM gathered WHERE window_end >",
            "  COALESCE((SELECT until FROM release WHERE is_expanded), -1) ORDER BY window_end LIMIT 1),",
            " (SELECT window_end FROM wakeups ORDER BY id LIMIT 1),",
            " (SELECT COUNT(*) FROM scheduled) FROM state"
        ))?
        .query_row([], |row| {
            let oldest: [Option<Timestamp>; 2] = [optional_time(row, 10)?, optional_time(row, 11)?];
            Ok(Depth {
                ledger: read_ledger(row, 0)?,
                scheduled: row.get::<_, i64>(12)?.cast_unsigned(),
                oldest_window_end: oldest.into_iter().flatten().min(),
            })
        })
}

pub(super) fn paused_until(
    connection: &Connection,
    set: &str,
) -> rusqlite::Result<Option<Timestamp>> {
    Ok(connection
        .prepare_cached("SELECT paused_until FROM credential_sets WHERE name = ?1")?
        .query_row([set], |row| optional_time(row, 0))
        .optional()?
        .flatten())
}
