//! The order of a release, made from an index.

use reveille_store::tables::{Plan, ToPlan};
use rusqlite::Connection;

/// Plans what comes next. Reads an index only, so that it may run beside the writer: what closed windows gathered does not change.
pub(super) fn make(connection: &Connection, what: ToPlan) -> rusqlite::Result<Plan> {
    let until = what.until.as_ms();
    let total: i64 = connection
        .prepare_cached("SELECT COALESCE(SUM(count), 0) FROM gathered WHERE window_end <= ?1")?
        .query_row([until], |row| row.get(0))?;
    let mut planning = Plan::begin(what, total.unsigned_abs());
    let mut select = connection.prepare_cached(
        "SELECT id, count FROM gathered WHERE window_end <= ?1 ORDER BY window_end, id",
    )?;
    let mut rows = select.query([until])?;
    while let Some(row) = rows.next()? {
        planning.row(row.get(0)?, row.get(1)?);
    }
    Ok(planning.finish())
}
