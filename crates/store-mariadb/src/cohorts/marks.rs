//! What was accepted for cohorts, and how they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use reveille_model::{Providers, Settled, SubscriptionId, Timestamp};
use reveille_store::tables::Change;
use reveille_store::{Expanded, Leaving, WakeupKey};

use super::members::providers;
use crate::codec::{number, optional_array, optional_number};
use crate::engine::Tables;
use crate::error::{Done, Failed};
use crate::outbox::{Target, ToWake, wake_all};
use crate::statement::query;

impl Tables<'_> {
    /// Cohorts, and those that users of theirs went to since that window was closed.
    pub(crate) async fn with_successors(
        &mut self,
        cohorts: Vec<i64>,
        since: i64,
    ) -> Done<Vec<i64>> {
        let (mut all, mut look) = (BTreeSet::new(), cohorts);
        while let Some(id) = look.pop() {
            if all.insert(id) {
                let select = query("SELECT successor FROM successors WHERE cohort = ? AND at >= ?");
                for row in self.all(select.bind(id).bind(since)).await? {
                    look.push(number(&row, 0)?);
                }
            }
        }
        Ok(all.into_iter().collect())
    }
}

impl Tables<'_> {
    /// What was accepted for the windows that are closed now, for cohorts that users have left since: it may have come too late to be handed on with them, above all on Galera.
    /// Whose it was nobody knows, so it is for all cohorts they went to.
    pub(crate) async fn follow_marks(&mut self, before: Timestamp, until: Timestamp) -> Done<()> {
        let select = query(concat!(
            "SELECT DISTINCT m.cohort, m.window_end, COALESCE(m.since, ?) FROM marks m",
            " JOIN successors s ON s.cohort = m.cohort AND s.at >= COALESCE(m.since, ?)",
            " WHERE m.window_end > ? AND m.window_end <= ?"
        ));
        let (after, to) = (before.as_ms(), until.as_ms());
        let select = select.bind(after).bind(after).bind(after).bind(to);
        for row in self.all(select).await? {
            let (cohort, window_end) = (number(&row, 0)?, number(&row, 1)?);
            for successor in self.with_successors(vec![cohort], number(&row, 2)?).await? {
                self.mark_missed(successor, window_end).await?;
            }
        }
        self.follow_orphans(until).await
    }

    /// Marks a cohort that is there and is not marked.
    async fn mark_missed(&mut self, cohort: i64, window_end: i64) -> Done<()> {
        let is_missed = query(concat!(
            "SELECT 1 FROM cohorts c LEFT JOIN marks m ON m.cohort = c.id AND m.window_end = ?",
            " WHERE c.id = ? AND m.cohort IS NULL"
        ));
        if self.exists(is_missed.bind(window_end).bind(cohort)).await? {
            self.mark(cohort, window_end).await?;
        }
        Ok(())
    }

    /// The same for cohorts that are no more: what was accepted for them is for those that came after, however long ago that was.
    async fn follow_orphans(&mut self, until: Timestamp) -> Done<()> {
        let select = query(concat!(
            "SELECT m.cohort, m.window_end FROM marks m LEFT JOIN cohorts c ON c.id = m.cohort",
            " WHERE m.window_end <= ? AND c.id IS NULL"
        ));
        for row in self.all(select.bind(until.as_ms())).await? {
            let (cohort, window_end) = (number(&row, 0)?, number(&row, 1)?);
            let delete = query("DELETE FROM marks WHERE cohort = ? AND window_end = ?");
            if self.execute(delete.bind(cohort).bind(window_end)).await? == 0 {
                // Another master's node has followed it since it was looked for.
                continue;
            }
            let mut is_followed = false;
            for successor in self.with_successors(vec![cohort], i64::MIN).await? {
                let is_there = query("SELECT 1 FROM cohorts WHERE id = ?").bind(successor);
                if self.exists(is_there).await? {
                    self.mark(successor, window_end).await?;
                    is_followed = true;
                }
            }
            self.count(
                None,
                if is_followed {
                    Change::collapsed(1)
                } else {
                    Change::settled(Settled::Cancelled, 1)
                },
            );
        }
        Ok(())
    }
}

/// Lets cohorts leave, if it is we who decide: with the padding that each node draws a batch would grow with their number.
pub(super) async fn lead(
    tables: &mut Tables<'_>,
    (until, leaving): &(Timestamp, Vec<Leaving>),
) -> Done<bool> {
    tables.take_members_turn().await?;
    if !tables.we_muster(*until).await? {
        return Ok(false);
    }
    for Leaving { id, paid_at } in leaving {
        let update = query("UPDATE cohorts SET paid_at = ? WHERE id = ?");
        if tables.execute(update.bind(paid_at.as_ms()).bind(id.0)).await? == 0 {
            continue;
        }
        if let_go(tables, id.0, *until).await? == 0 {
            tables.mark(id.0, until.as_ms()).await?;
            let_go(tables, id.0, *until).await?;
        }
    }
    Ok(true)
}

/// Returns how many marks there are.
async fn let_go(tables: &mut Tables<'_>, cohort: i64, until: Timestamp) -> Done<u64> {
    let update = query("UPDATE marks SET leaves = 1 WHERE cohort = ? AND window_end <= ?");
    tables.execute(update.bind(cohort).bind(until.as_ms())).await
}

/// A device that is woken with its cohort.
struct Device {
    id: SubscriptionId,
    set_id: i64,
}

/// Wakes one cohort that is to leave, whole. Nothing where none is left. Nobody comes or goes meanwhile: it is our turn.
pub(crate) async fn wake_cohort(
    tables: &mut Tables<'_>,
    until: Timestamp,
    keys: &mut (impl Iterator<Item = i64> + Send),
) -> Done<Option<Expanded>> {
    let next = query("SELECT cohort FROM marks WHERE leaves = 1 AND window_end <= ? LIMIT 1");
    let next = tables.one(next.bind(until.as_ms())).await?;
    let company = tables.mixing().map(|mixing| mixing.kinds.company.clone());
    let (Some(next), Some(company)) = (next, company) else { return Ok(None) };
    let cohort = number(&next, 0)?;
    let devices = devices_of(tables, cohort).await?;
    let delete = query("DELETE FROM marks WHERE cohort = ? AND window_end <= ?");
    let marks = tables.execute(delete.bind(cohort).bind(until.as_ms())).await?;
    if marks == 0 {
        // Another node has woken it since it was looked for.
        return Err(Failed::Overtaken);
    }
    let marks = i64::try_from(marks).unwrap_or(i64::MAX);
    let change = if devices.is_empty() {
        Change::settled(Settled::Cancelled, marks)
    } else {
        Change::collapsed(marks)
    };
    let count = i64::try_from(devices.len()).unwrap_or(i64::MAX);
    tables.count(None, change.and(Change::accepted(count)));
    let to_wake = devices.into_iter().zip(keys).map(|(device, sort_key)| ToWake {
        key: WakeupKey::for_subscription(device.id, &company.message_type, company.dry_run),
        shape: company.clone(),
        window_end: until,
        trail: None,
        topic: None,
        set_id: device.set_id,
        sort_key,
        target: Target::Subscription(device.id),
    });
    let to_wake: Vec<ToWake> = to_wake.collect();
    let made = wake_all(tables, &to_wake).await?;
    let wakeups = made.iter().filter(|is_made| **is_made).count() as u64;
    let collapsed = made.len() as u64 - wakeups;
    tables.count(None, Change::collapsed(i64::try_from(collapsed).unwrap_or(i64::MAX)));
    Ok(Some(Expanded { wakeups, collapsed, ..Expanded::default() }))
}

/// The devices of a cohort. Takes note where one of its users has not the devices they are thought to have.
async fn devices_of(tables: &mut Tables<'_>, cohort: i64) -> Done<Vec<Device>> {
    let covers =
        query("SELECT s.providers FROM cohorts c JOIN strata s ON s.id = c.stratum WHERE c.id = ?");
    let covers = match tables.one(covers.bind(cohort)).await? {
        Some(row) => providers(&row, 0)?,
        None => Providers::default(),
    };
    let found = query(concat!(
        "SELECT m.id, m.lacks, s.id, s.set_id FROM members m LEFT JOIN subscriptions s",
        " ON s.user_name = m.user_name AND s.on_beat = 0",
        " WHERE m.cohort = ? AND m.user_name IS NOT NULL"
    ));
    let found = tables.all(found.bind(cohort)).await?;
    // Of each member, where they should have a device, and where they have one.
    let mut by_member: BTreeMap<i64, (Providers, Providers)> = BTreeMap::new();
    let mut devices = Vec::new();
    for row in &found {
        let should = covers.but(providers(row, 1)?);
        let (_, has) = by_member.entry(number(row, 0)?).or_insert((should, Providers::default()));
        let (Some(id), Some(set_id)) = (optional_array(row, 2)?, optional_number(row, 3)?) else {
            continue;
        };
        // What was marked leaves though there are no cohorts any more, and nobody silent.
        let is_woken = tables.mixing().is_some_and(|mixing| {
            mixing.kinds.sizes.is_none() || mixing.kinds.silent.contains(&set_id)
        });
        let provider = tables.set_of(set_id).await?.provider();
        if is_woken && covers.contains(provider) {
            *has = has.or([provider].into_iter().collect());
            devices.push(Device { id: SubscriptionId::from_bytes(id), set_id });
        }
    }
    if tables.cohort_sizes().is_some() {
        let astray = by_member.into_values().filter(|(should, has)| should != has).count();
        tables.engine.partial.fetch_add(astray as u64, Ordering::Relaxed);
    }
    Ok(devices)
}
