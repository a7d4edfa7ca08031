//! Those who wait become cohorts.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::CohortId;
use reveille_model::limits::GROUPS_MAX;
use reveille_store::{Group, Nursery};
use rusqlite::{OptionalExtension as _, params};

use super::members::{ACTIVE, PROVISIONAL, SURVIVORS};
use crate::engine::Tables;

/// Those who wait, where they are enough.
pub(super) fn nurseries(tables: &Tables) -> rusqlite::Result<Vec<Nursery>> {
    let Some(sizes) = tables.cohort_sizes() else { return Ok(Vec::new()) };
    let strata: Vec<i64> = tables
        .connection
        .prepare_cached(concat!(
            "SELECT stratum FROM cohorts WHERE standing IN (0, 2)",
            " GROUP BY stratum HAVING SUM(live) >= ?1"
        ))?
        .query_map([sizes.form], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    strata.into_iter().map(|stratum| nursery(tables, stratum)).collect()
}

fn nursery(tables: &Tables, stratum: i64) -> rusqlite::Result<Nursery> {
    let mut groups: Vec<(Group, usize)> = tables
        .connection
        .prepare_cached(
            "SELECT id, live FROM cohorts WHERE standing = ?1 AND stratum = ?2 LIMIT ?3",
        )?
        .query_map(params![SURVIVORS, stratum, GROUPS_MAX], |row| {
            Ok((Group::Survivors(CohortId(row.get(0)?)), row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let room = GROUPS_MAX - groups.len();
    let pool = tables.provisional(stratum)?;
    // In the order of keys, which are hashes: who is first is not who came first.
    let mut singles = tables.connection.prepare_cached(
        "SELECT id FROM members WHERE cohort = ?1 AND user_name IS NOT NULL ORDER BY key LIMIT ?2",
    )?;
    let singles = singles.query_map(params![pool, room], |row| Ok((Group::One(row.get(0)?), 1)))?;
    for single in singles {
        groups.push(single?);
    }
    Ok(Nursery { stratum, groups })
}

/// Forms cohorts; returns whether everybody was still there.
pub(super) fn found(
    tables: &mut Tables,
    stratum: i64,
    cohorts: &[Vec<Group>],
) -> rusqlite::Result<bool> {
    let pool = tables.provisional(stratum)?;
    for group in cohorts.iter().flatten() {
        if !waits(tables, (stratum, pool), *group)? {
            return Ok(false);
        }
    }
    let mut successors: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for groups in cohorts {
        let id = tables.new_cohort(stratum, ACTIVE, 0)?;
        for group in groups {
            let (from, place, sql) = match group {
                Group::One(member) => {
                    (pool, *member, "UPDATE members SET cohort = ?2 WHERE id = ?1")
                }
                Group::Survivors(from) => {
                    (from.0, from.0, "UPDATE members SET cohort = ?2 WHERE cohort = ?1")
                }
            };
            tables.connection.prepare_cached(sql)?.execute([place, id])?;
            successors.entry(from).or_default().insert(id);
        }
        let live: i64 = tables
            .connection
            .prepare_cached("SELECT COUNT(*) FROM members WHERE cohort = ?1 AND lacks = 0")?
            .query_row([id], |row| row.get(0))?;
        tables
            .connection
            .prepare_cached("UPDATE cohorts SET formed = ?2, live = ?2 WHERE id = ?1")?
            .execute([id, live])?;
    }
    for (from, to) in successors {
        let left: i64 = tables
            .connection
            .prepare_cached("SELECT COUNT(*) FROM members WHERE cohort = ?1")?
            .query_row([from], |row| row.get(0))?;
        if left == 0 {
            tables.end_cohort(from, &to.into_iter().collect::<Vec<_>>())?;
            continue;
        }
        tables
            .connection
            .prepare_cached("UPDATE cohorts SET live = ?2 WHERE id = ?1")?
            .execute([from, left])?;
        for successor in to {
            tables.hand_on(from, successor)?;
        }
    }
    Ok(true)
}

/// Whether a group waits in a stratum.
fn waits(tables: &Tables, (stratum, pool): (i64, i64), group: Group) -> rusqlite::Result<bool> {
    match group {
        Group::One(member) => tables
            .connection
            .prepare_cached(
                "SELECT 1 FROM members WHERE id = ?1 AND cohort = ?2 AND user_name IS NOT NULL",
            )?
            .exists([member, pool]),
        Group::Survivors(id) => tables
            .connection
            .prepare_cached("SELECT stratum, standing FROM cohorts WHERE id = ?1")?
            .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map(|found| found == Some((stratum, SURVIVORS))),
    }
}

const _: () = assert!(PROVISIONAL == 0 && SURVIVORS == 2, "as the statement says");
