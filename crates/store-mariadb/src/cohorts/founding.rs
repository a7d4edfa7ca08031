//! Those who wait become cohorts.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::CohortId;
use reveille_model::limits::GROUPS_MAX;
use reveille_store::{Group, Nursery};

use super::members::{ACTIVE, PROVISIONAL, SURVIVORS};
use crate::codec::number;
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::statement::query;

/// Those who wait, where they are enough.
pub(super) async fn nurseries(tables: &mut Tables<'_>) -> Done<Vec<Nursery>> {
    let Some(sizes) = tables.cohort_sizes() else { return Ok(Vec::new()) };
    tables.take_members_turn().await?;
    let select = query(concat!(
        "SELECT stratum FROM cohorts WHERE standing IN (0, 2)",
        " GROUP BY stratum HAVING SUM(live) >= ?"
    ));
    let form = i64::try_from(sizes.form).unwrap_or(i64::MAX);
    let mut nurseries = Vec::new();
    for row in tables.all(select.bind(form)).await? {
        nurseries.push(nursery(tables, number(&row, 0)?).await?);
    }
    Ok(nurseries)
}

async fn nursery(tables: &mut Tables<'_>, stratum: i64) -> Done<Nursery> {
    let select = query("SELECT id, live FROM cohorts WHERE standing = ? AND stratum = ? LIMIT ?");
    let max = i64::try_from(GROUPS_MAX).unwrap_or(i64::MAX);
    let mut groups: Vec<(Group, usize)> = Vec::new();
    for row in tables.all(select.bind(SURVIVORS).bind(stratum).bind(max)).await? {
        let live = usize::try_from(number(&row, 1)?).unwrap_or_default();
        groups.push((Group::Survivors(CohortId(number(&row, 0)?)), live));
    }
    let room = i64::try_from(GROUPS_MAX - groups.len()).unwrap_or_default();
    let pool = tables.provisional(stratum).await?;
    // In the order of keys, which are hashes: who is first is not who came first.
    let singles = query(
        "SELECT id FROM members WHERE cohort = ? AND user_name IS NOT NULL ORDER BY member LIMIT ?",
    );
    for row in tables.all(singles.bind(pool).bind(room)).await? {
        groups.push((Group::One(number(&row, 0)?), 1));
    }
    Ok(Nursery { stratum, groups })
}

/// Forms cohorts; returns whether everybody was still there.
pub(super) async fn found(
    tables: &mut Tables<'_>,
    (stratum, cohorts): &(i64, Vec<Vec<Group>>),
) -> Done<bool> {
    tables.take_members_turn().await?;
    tables.came_on().await?;
    let pool = tables.provisional(*stratum).await?;
    for group in cohorts.iter().flatten() {
        if !waits(tables, (*stratum, pool), *group).await? {
            return Ok(false);
        }
    }
    let mut successors: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for groups in cohorts {
        let id = tables.new_cohort(*stratum, ACTIVE).await?;
        for group in groups {
            let (from, place, sql) = match group {
                Group::One(member) => (pool, *member, "UPDATE members SET cohort = ? WHERE id = ?"),
                Group::Survivors(from) => {
                    (from.0, from.0, "UPDATE members SET cohort = ? WHERE cohort = ?")
                }
            };
            tables.execute(query(sql).bind(id).bind(place)).await?;
            successors.entry(from).or_default().insert(id);
        }
        let live = query("SELECT COUNT(*) FROM members WHERE cohort = ? AND lacks = 0").bind(id);
        let live = number(&tables.one(live).await?.ok_or_else(corrupt)?, 0)?;
        let update = query("UPDATE cohorts SET formed = ?, live = ? WHERE id = ?");
        tables.execute(update.bind(live).bind(live).bind(id)).await?;
    }
    for (from, to) in successors {
        let left = query("SELECT COUNT(*) FROM members WHERE cohort = ?").bind(from);
        let left = number(&tables.one(left).await?.ok_or_else(corrupt)?, 0)?;
        if left == 0 {
            tables.end_cohort(from, &to.into_iter().collect::<Vec<_>>()).await?;
            continue;
        }
        let update = query("UPDATE cohorts SET live = ? WHERE id = ?");
        tables.execute(update.bind(left).bind(from)).await?;
        for successor in to {
            tables.hand_on(from, successor).await?;
        }
    }
    Ok(true)
}

/// Whether a group waits in a stratum.
async fn waits(tables: &mut Tables<'_>, (stratum, pool): (i64, i64), group: Group) -> Done<bool> {
    match group {
        Group::One(member) => {
            let select = query(
                "SELECT 1 FROM members WHERE id = ? AND cohort = ? AND user_name IS NOT NULL",
            );
            tables.exists(select.bind(member).bind(pool)).await
        }
        Group::Survivors(id) => {
            let select =
                query("SELECT 1 FROM cohorts WHERE id = ? AND stratum = ? AND standing = ?");
            tables.exists(select.bind(id.0).bind(stratum).bind(SURVIVORS)).await
        }
    }
}

const _: () = assert!(PROVISIONAL == 0 && SURVIVORS == 2, "as the statement says");
