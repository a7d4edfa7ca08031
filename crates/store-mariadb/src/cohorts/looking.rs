//! What can be seen of cohorts. Outside of any transaction.

use reveille_model::{Cohort, CohortId, Marked, Timestamp};
use reveille_store::Census;
use sqlx::MySqlPool;
use sqlx::mysql::MySqlRow;

use super::members::PROVISIONAL;
use crate::codec::{Read, count, flag, number, optional_time, time};
use crate::error::Done;
use crate::statement::query;

/// From four columns: id, stratum, live, `paid_at`.
fn cohort(row: &MySqlRow) -> Read<Cohort> {
    Ok(Cohort {
        id: CohortId(number(row, 0)?),
        stratum: number(row, 1)?,
        users: usize::try_from(number(row, 2)?).unwrap_or_default(),
        paid_at: optional_time(row, 3)?,
    })
}

pub(super) async fn marked(pool: &MySqlPool, until: Timestamp) -> Done<Vec<Marked>> {
    let rows = query(concat!(
        "SELECT c.id, c.stratum, c.live, c.paid_at, c.standing, MAX(m.leaves), MIN(m.window_end)",
        " FROM marks m JOIN cohorts c ON c.id = m.cohort WHERE m.window_end <= ?",
        " GROUP BY c.id ORDER BY c.id"
    ));
    let rows = rows.bind(until.as_ms()).fetch_all(pool).await?;
    let read = |row: &MySqlRow| {
        Ok(Marked {
            cohort: cohort(row)?,
            is_provisional: number(row, 4)? == PROVISIONAL,
            is_leaving: flag(row, 5)?,
            since: time(row, 6)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Read<_>>()?)
}

pub(super) async fn cohorts(pool: &MySqlPool) -> Done<Vec<Cohort>> {
    let rows =
        query("SELECT id, stratum, live, paid_at FROM cohorts WHERE standing <> ? ORDER BY id");
    let rows = rows.bind(PROVISIONAL).fetch_all(pool).await?;
    Ok(rows.iter().map(cohort).collect::<Read<_>>()?)
}

pub(super) async fn census(pool: &MySqlPool, now: Timestamp) -> Done<Census> {
    let one = async |sql: &'static str| -> Done<u64> {
        Ok(count(&query(sql).fetch_one(pool).await?, 0)?)
    };
    let paying = query("SELECT COUNT(*) FROM cohorts WHERE paid_at > ?").bind(now.as_ms());
    let sizes =
        "SELECT live, COUNT(*) FROM cohorts WHERE standing <> 0 GROUP BY live ORDER BY live";
    let provisional = "SELECT live, COUNT(*) FROM cohorts WHERE standing = 0 AND live > 0 GROUP BY live ORDER BY live";
    Ok(Census {
        sizes: pairs(pool, sizes).await?,
        provisional: pairs(pool, provisional).await?,
        ghosts: one("SELECT COUNT(*) FROM members WHERE is_ghost = 1").await?,
        paying: count(&paying.fetch_one(pool).await?, 0)?,
        sealed: one(concat!(
            "SELECT COUNT(*) FROM subscriptions s JOIN credential_sets c ON c.id = s.set_id",
            " WHERE s.on_beat = 1 AND c.silent"
        ))
        .await?,
        devices: one("SELECT CAST(COALESCE(SUM(count), 0) AS SIGNED) FROM device_counts").await?,
        silent: one(concat!(
            "SELECT CAST(COALESCE(SUM(d.count), 0) AS SIGNED) FROM device_counts d",
            " JOIN credential_sets c ON c.id = d.set_id WHERE c.silent"
        ))
        .await?,
        partial: 0,
    })
}

async fn pairs(pool: &MySqlPool, sql: &'static str) -> Done<Vec<(u64, u64)>> {
    let rows = query(sql).fetch_all(pool).await?;
    Ok(rows.iter().map(|row| Ok((count(row, 0)?, count(row, 1)?))).collect::<Read<_>>()?)
}
