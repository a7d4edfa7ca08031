//! What was accepted for cohorts, and how they leave.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{CohortId, DryRun, Providers, Settled, Spread, SubscriptionId, Timestamp};
use reveille_store::tables::Change;
use reveille_store::{Expanded, Leaving, WakeupKey};
use rusqlite::{OptionalExtension as _, params};

use super::members::providers;
use crate::engine::Tables;
use crate::outbox::{ToWake, wake};

impl Tables {
    /// Something was accepted for a cohort. Whether it is the first in its window shows in the ledger only.
    pub(crate) fn mark(&mut self, cohort: i64, window_end: i64) -> rusqlite::Result<()> {
        let is_new = self
            .connection
            .prepare_cached("INSERT INTO marks VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            // Where there are no cohorts any more nobody decides what leaves.
            .execute(params![cohort, window_end, self.cohort_sizes().is_none()])?
            > 0;
        self.count(None, Change::accepted(1))?;
        if is_new { Ok(()) } else { self.count(None, Change::collapsed(1)) }
    }

    /// Marks cohorts; returns how many there still are. A dry run stops here: the network would show it.
    pub(crate) fn wake_cohorts(
        &mut self,
        (cohorts, dry_run): (&BTreeSet<i64>, DryRun),
        (spread, window_end): (&Spread, Timestamp),
    ) -> rusqlite::Result<u64> {
        if dry_run == DryRun::Yes {
            let count = i64::try_from(cohorts.len()).unwrap_or(i64::MAX);
            self.count(None, Change::accepted(count))?;
            self.count(None, Change::settled(Settled::DryRun, count))?;
            return Ok(cohorts.len() as u64);
        }
        let mut marked = 0;
        for id in cohorts {
            let is_there = self
                .connection
                .prepare_cached("SELECT 1 FROM cohorts WHERE id = ?1")?
                .exists([id])?;
            if is_there {
                self.mark(*id, spread.of_cohort(CohortId(*id), window_end).as_ms())?;
                marked += 1;
            }
        }
        Ok(marked)
    }

    /// Cohorts, and those that users of theirs went to since that window was closed.
    pub(crate) fn with_successors(
        &self,
        cohorts: Vec<i64>,
        since: i64,
    ) -> rusqlite::Result<Vec<i64>> {
        let (mut all, mut look) = (BTreeSet::new(), cohorts);
        let mut select = self
            .connection
            .prepare_cached("SELECT successor FROM successors WHERE cohort = ?1 AND at >= ?2")?;
        while let Some(id) = look.pop() {
            if all.insert(id) {
                for successor in select.query_map([id, since], |row| row.get(0))? {
                    look.push(successor?);
                }
            }
        }
        Ok(all.into_iter().collect())
    }
}

/// Lets cohorts leave.
pub(super) fn lead(
    tables: &mut Tables,
    until: Timestamp,
    leaving: &[Leaving],
) -> rusqlite::Result<()> {
    for Leaving { id, paid_at } in leaving {
        let is_there = tables
            .connection
            .prepare_cached("UPDATE cohorts SET paid_at = ?2 WHERE id = ?1")?
            .execute([id.0, paid_at.as_ms()])?
            > 0;
        if !is_there {
            continue;
        }
        let let_go = |tables: &Tables| {
            tables
                .connection
                .prepare_cached(
                    "UPDATE marks SET leaves = 1 WHERE cohort = ?1 AND window_end <= ?2",
                )?
                .execute([id.0, until.as_ms()])
        };
        if let_go(tables)? == 0 {
            tables.mark(id.0, until.as_ms())?;
            let_go(tables)?;
        }
    }
    Ok(())
}

/// A device that is woken with its cohort.
struct Device {
    id: SubscriptionId,
    set_id: i64,
}

/// Wakes one cohort that is to leave, whole. Nothing where none is left.
pub(crate) fn wake_cohort(
    tables: &mut Tables,
    until: Timestamp,
    keys: &mut impl Iterator<Item = i64>,
) -> rusqlite::Result<Option<Expanded>> {
    let next: Option<i64> = tables
        .connection
        .prepare_cached("SELECT cohort FROM marks WHERE leaves = 1 AND window_end <= ?1 LIMIT 1")?
        .query_row([until.as_ms()], |row| row.get(0))
        .optional()?;
    let (Some(cohort), Some(mixing)) = (next, &tables.mixing) else { return Ok(None) };
    let company = mixing.kinds.company.clone();
    let devices = devices_of(tables, cohort)?;
    let marks = tables
        .connection
        .prepare_cached("DELETE FROM marks WHERE cohort = ?1 AND window_end <= ?2")?
        .execute([cohort, until.as_ms()])?;
    let marks = i64::try_from(marks).unwrap_or(i64::MAX);
    tables.count(
        None,
        if devices.is_empty() {
            Change::settled(Settled::Cancelled, marks)
        } else {
            Change::collapsed(marks)
        },
    )?;
    tables.count(None, Change::accepted(i64::try_from(devices.len()).unwrap_or(i64::MAX)))?;
    let mut expanded = Expanded::default();
    for (device, sort_key) in devices.iter().zip(keys) {
        let key = WakeupKey::for_subscription(device.id, &company.message_type, company.dry_run);
        let to_wake = ToWake::company(&company, until, (device.set_id, key, sort_key), device.id);
        if wake(tables, &to_wake)? {
            expanded.wakeups += 1;
        } else {
            expanded.collapsed += 1;
        }
    }
    let collapsed = i64::try_from(expanded.collapsed).unwrap_or(i64::MAX);
    tables.count(None, Change::collapsed(collapsed))?;
    Ok(Some(expanded))
}

/// The devices of a cohort. Takes note where one of its users has not the devices they are thought to have.
fn devices_of(tables: &mut Tables, cohort: i64) -> rusqlite::Result<Vec<Device>> {
    type Found = (i64, Providers, Option<[u8; 16]>, Option<i64>);
    let covers = tables
        .connection
        .prepare_cached(
            "SELECT s.providers FROM cohorts c JOIN strata s ON s.id = c.stratum WHERE c.id = ?1",
        )?
        .query_row([cohort], |row| providers(row, 0))
        .optional()?
        .unwrap_or_default();
    let found: Vec<Found> = tables
        .connection
        .prepare_cached(concat!(
            "SELECT m.id, m.lacks, s.id, s.set_id FROM members m LEFT JOIN subscriptions s",
            " ON s.user_name = m.user_name AND s.sealed + s.unsealing = 0",
            " WHERE m.cohort = ?1 AND m.user_name IS NOT NULL"
        ))?
        .query_map([cohort], |row| Ok((row.get(0)?, providers(row, 1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    // Of each member, where they should have a device, and where they have one.
    let mut by_member: BTreeMap<i64, (Providers, Providers)> = BTreeMap::new();
    let mut devices = Vec::new();
    for (member, lacks, id, set_id) in found {
        let (_, has) = by_member.entry(member).or_insert((covers.but(lacks), Providers::default()));
        if let (Some(id), Some(set_id)) = (id, set_id)
            // What was marked leaves though there are no cohorts any more, and nobody silent.
            && tables
                .mixing
                .as_ref()
                .is_some_and(|mixing| mixing.kinds.sizes.is_none() || mixing.kinds.silent.contains(&set_id))
        {
            let provider = tables.set_of(set_id)?.provider();
            if covers.contains(provider) {
                *has = has.or([provider].into_iter().collect());
                devices.push(Device { id: SubscriptionId::from_bytes(id), set_id });
            }
        }
    }
    if tables.cohort_sizes().is_some() {
        let astray = by_member.into_values().filter(|(should, has)| should != has);
        tables.partial += astray.count() as u64;
    }
    Ok(devices)
}
