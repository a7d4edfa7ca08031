//! What can be seen of cohorts. Beside the writer.

use reveille_model::{Cohort, CohortId, Marked, Timestamp};
use reveille_store::Census;
use rusqlite::{Connection, Row};

use super::members::PROVISIONAL;
use crate::codec::{optional_time, time};

/// From four columns on: id, stratum, live, `paid_at`.
fn cohort(row: &Row<'_>) -> rusqlite::Result<Cohort> {
    Ok(Cohort {
        id: CohortId(row.get(0)?),
        stratum: row.get(1)?,
        users: row.get(2)?,
        paid_at: optional_time(row, 3)?,
    })
}

pub(super) fn marked(connection: &Connection, until: Timestamp) -> rusqlite::Result<Vec<Marked>> {
    connection
        .prepare_cached(concat!(
            "SELECT c.id, c.stratum, c.live, c.paid_at, c.standing, MAX(m.leaves), MIN(m.window_end)",
            " FROM marks m JOIN cohorts c ON c.id = m.cohort WHERE m.window_end <= ?1",
            " GROUP BY m.cohort ORDER BY m.cohort"
        ))?
        .query_map([until.as_ms()], |row| {
            Ok(Marked {
                cohort: cohort(row)?,
                is_provisional: row.get::<_, i64>(4)? == PROVISIONAL,
                is_leaving: row.get(5)?,
                since: time(row, 6)?,
            })
        })?
        .collect()
}

pub(super) fn cohorts(connection: &Connection) -> rusqlite::Result<Vec<Cohort>> {
    connection
        .prepare_cached(
            "SELECT id, stratum, live, paid_at FROM cohorts WHERE standing <> ?1 ORDER BY id",
        )?
        .query_map([PROVISIONAL], cohort)?
        .collect()
}

pub(super) fn census(connection: &Connection, now: Timestamp) -> rusqlite::Result<Census> {
    let sizes = |of: &str| -> rusqlite::Result<Vec<(u64, u64)>> {
        connection
            .prepare_cached(&format!(
                "SELECT live, COUNT(*) FROM cohorts WHERE {of} GROUP BY live ORDER BY live"
            ))?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let count = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get(0));
    Ok(Census {
        sizes: sizes("standing <> 0")?,
        provisional: sizes("standing = 0 AND live > 0")?,
        ghosts: count("SELECT COUNT(*) FROM members WHERE user_name IS NULL")?,
        paying: connection
            .prepare_cached("SELECT COUNT(*) FROM cohorts WHERE paid_at > ?1")?
            .query_row([now.as_ms()], |row| row.get(0))?,
        sealed: count(concat!(
            "SELECT COUNT(*) FROM subscriptions s JOIN credential_sets c ON c.id = s.set_id",
            " WHERE s.sealed + s.unsealing > 0 AND c.silent"
        ))?,
        devices: count("SELECT COALESCE(SUM(devices), 0) FROM credential_sets")?,
        silent: count("SELECT COALESCE(SUM(devices), 0) FROM credential_sets WHERE silent")?,
        partial: 0,
    })
}
