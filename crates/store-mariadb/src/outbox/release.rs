//! The end of a window: what it gathered is put into its order and expanded, in bounded steps.
//!
//! As in the embedded store, and one node leads: who has begun a release, or found it left alone, goes on with it until it is over, while the others wait and look. Each
//! step is done in the turn of all releases, and writes how far it came, so that it makes no difference who does it. One node musters, before it begins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reveille_model::limits::{EXPAND_MAX, TARGETS_PER_ROW_MAX};
use reveille_model::{Shuffle, Timestamp};
use reveille_store::tables::{Entry, Plan, ToPlan};
use reveille_store::{Expanded, Next, StoreError};
use sqlx::AssertSqlSafe;

use super::expand::expand;
use super::scheduled::bring_in;
use crate::codec::{array, count, flag, number, optional_number, time};
use crate::cohorts::{LEFT_ALONE_US as MUSTER_LEFT_ALONE_US, wake_cohort};
use crate::engine::{Engine, NOW_US, Tables};
use crate::error::{Done, corrupt};
use crate::statement::query;

/// Gathered rows deleted in one step.
const FORGET_MAX: i64 = 4_000;
/// A release that nobody was at for so long is anybody's, in microseconds. So is one of so long to come, where the database's clock was set back.
const LEFT_ALONE_US: i64 = 3_000_000;
/// How often those who do not lead look whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often they look in one call.
const LOOKS_MAX: u32 = 50;
/// Gathered rows read at a time for a plan.
const PLAN_ROWS: i64 = 50_000;

/// What a step came to.
enum Step {
    Did(Expanded),
    /// These windows leave with later ones, for which it is decided already, or are open again.
    Later,
    /// It must be planned before it can go on.
    Plan(ToPlan),
    /// Another node is at it.
    Wait,
}

/// The release under way.
struct Release {
    until: Timestamp,
    shuffle: Shuffle,
    done_to: Option<Entry>,
    is_expanded: bool,
}

/// Closes windows. Every lane is told, so that whoever is under way in one comes before or hears of it.
pub(super) async fn close(tables: &mut Tables<'_>, until: Timestamp) -> Done<()> {
    tables.is_ahead(until).await?;
    if tables.cohort_sizes().is_some() {
        // Nobody goes to another cohort meanwhile: what was accepted for those who have is looked for once.
        tables.take_members_turn().await?;
    }
    let lanes = query("UPDATE lanes SET closed_until = ? WHERE closed_until < ?");
    let closed = tables.execute(lanes.bind(until.as_ms()).bind(until.as_ms())).await?;
    if closed > 0 {
        let before = tables.closed_until().await?;
        tables.follow_marks(before, until).await?;
    }
    let state = query("UPDATE state SET closed_until = ? WHERE closed_until < ?");
    tables.execute(state.bind(until.as_ms()).bind(until.as_ms())).await.map(drop)
}

impl Engine {
    /// The next step of the release under way, or the first one of the next.
    pub(super) async fn expand(
        &self,
        until: Timestamp,
        shuffle: Shuffle,
    ) -> Result<Expanded, StoreError> {
        for _ in 0..LOOKS_MAX {
            // Looked at without a turn first: whoever leads is not to be disturbed.
            if self.others_lead().await? {
                look_later().await;
                continue;
            }
            let what = (until, shuffle);
            let step = self.write(&what, |tables, what| Box::pin(step(tables, *what))).await?;
            match step {
                Step::Did(expanded) => return Ok(self.tell(until, expanded)),
                // Nothing has left, so that nobody is told.
                Step::Later => return Ok(Expanded { next: Next::Nothing, ..Expanded::default() }),
                // Outside of the transaction: intake goes on.
                Step::Plan(what) => {
                    let plan = self.make_plan(what).await?;
                    self.keep_plan(Some((what.shuffle, Arc::new(plan))));
                }
                Step::Wait => look_later().await,
            }
        }
        // Our caller may have been asked to stop meanwhile.
        Ok(Expanded::default())
    }

    /// Whether another node is at a release, or musters for one.
    async fn others_lead(&self) -> Done<bool> {
        let sql = format!(
            "SELECT node, ABS({NOW_US} - seen_at) <= ? FROM releases UNION ALL SELECT node, ABS({NOW_US} - seen_at) <= ? FROM musters"
        );
        let select = query(AssertSqlSafe(sql)).bind(LEFT_ALONE_US).bind(MUSTER_LEFT_ALONE_US);
        for row in self.ask(select.fetch_all(&self.pool)).await? {
            let node: [u8; 16] = array(&row, 0)?;
            if node != *self.node.id() && flag(&row, 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whoever led, everybody's own workers hear once that a batch may leave.
    fn tell(&self, until: Timestamp, expanded: Expanded) -> Expanded {
        if expanded.released || expanded.is_done() {
            let told = self.told.fetch_max(until.as_ms(), Ordering::Relaxed);
            return Expanded { released: expanded.released || told < until.as_ms(), ..expanded };
        }
        expanded
    }

    async fn make_plan(&self, what: ToPlan) -> Result<Plan, StoreError> {
        let planned = async {
            let until = what.until.as_ms();
            let total = query(
                "SELECT CAST(COALESCE(SUM(count), 0) AS SIGNED) FROM gathered WHERE window_end <= ?",
            );
            let total = count(&self.ask(total.bind(until).fetch_one(&self.pool)).await?, 0)?;
            let mut planning = Plan::begin(what, total);
            let mut after = (i64::MIN, i64::MIN);
            loop {
                // What closed windows gathered does not change, so that it may be read in pieces.
                let rows = query(concat!(
                    "SELECT window_end, place, count FROM gathered FORCE INDEX (gathered_window)",
                    " WHERE window_end <= ? AND (window_end > ? OR (window_end = ? AND place > ?))",
                    " ORDER BY window_end, place LIMIT ?"
                ));
                let rows =
                    rows.bind(until).bind(after.0).bind(after.0).bind(after.1).bind(PLAN_ROWS);
                let rows = self.ask(rows.fetch_all(&self.pool)).await?;
                for row in &rows {
                    after = (number(row, 0)?, number(row, 1)?);
                    planning.row(after.1, number(row, 2)?);
                }
                if i64::try_from(rows.len()).unwrap_or(i64::MAX) < PLAN_ROWS {
                    break;
                }
            }
            Done::Ok(planning.finish())
        };
        planned.await.map_err(StoreError::from)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is waited for is in the database, which tells nobody"
)]
async fn look_later() {
    tokio::time::sleep(LOOK_EVERY).await;
}

async fn step(tables: &mut Tables<'_>, (until, shuffle): (Timestamp, Shuffle)) -> Done<Step> {
    tables.take_turn("release").await?;
    let release = match under_way(tables).await? {
        Some((_, true)) => return Ok(Step::Wait),
        Some((release, false)) => release,
        None if tables.others_muster().await? => return Ok(Step::Wait),
        None => match begin(tables, until, shuffle).await? {
            Begun::Release(release) => release,
            Begun::Not(step) => return Ok(step),
        },
    };
    if release.is_expanded {
        forget(tables, &release, until).await?;
        return Ok(Step::Did(Expanded::default()));
    }
    go_on(tables, &release).await
}

/// Expands the next targets of a release.
async fn go_on(tables: &mut Tables<'_>, release: &Release) -> Done<Step> {
    let Release { until, shuffle, done_to, .. } = *release;
    let Some(plan) = tables.engine.planned(shuffle) else {
        return Ok(Step::Plan(ToPlan { until, shuffle, done_to }));
    };
    let entries = plan.after(done_to, EXPAND_MAX);
    let mut expanded =
        if entries.is_empty() { Expanded::default() } else { expand(tables, entries).await? };
    let last = entries.last().copied();
    let is_end = plan.ends_with(last);
    let is_over = is_end && plan.is_last();
    let to = if is_end { plan.end() } else { last.unwrap_or_else(|| plan.end()) };
    let sql = format!(
        "UPDATE releases SET done_key = ?, done_position = ?, is_expanded = ?, node = ?, seen_at = {NOW_US}"
    );
    let update = query(AssertSqlSafe(sql)).bind(to.sort_key).bind(to.position).bind(is_over);
    let node = *tables.engine.node.id();
    tables.execute(update.bind(node.as_slice())).await?;
    if is_end {
        // Of the next part there is another plan.
        tables.engine.keep_plan(None);
    }
    if is_over {
        let_go(tables, until).await?;
        expanded.released = true;
    }
    Ok(Step::Did(expanded))
}

/// Wakes as many cohorts as one transaction may, each of them whole. Nothing where none is to leave.
async fn wake_cohorts(
    tables: &mut Tables<'_>,
    until: Timestamp,
    shuffle: Shuffle,
) -> Done<Option<Expanded>> {
    let (mut expanded, mut keys) = (None, shuffle.keys());
    while let Some(woken) = wake_cohort(tables, until, &mut keys).await? {
        let so_far: &mut Expanded = expanded.get_or_insert_default();
        so_far.wakeups += woken.wakeups;
        so_far.collapsed += woken.collapsed;
        if so_far.wakeups + so_far.collapsed >= EXPAND_MAX as u64 {
            break;
        }
    }
    Ok(expanded)
}

/// The release under way, and whether another node is at it.
async fn under_way(tables: &mut Tables<'_>) -> Done<Option<(Release, bool)>> {
    let sql = format!(
        "SELECT until, shuffle, done_key, done_position, is_expanded, node, ABS({NOW_US} - seen_at) <= ? FROM releases"
    );
    let Some(row) = tables.one(query(AssertSqlSafe(sql)).bind(LEFT_ALONE_US)).await? else {
        return Ok(None);
    };
    let done_to = match (optional_number(&row, 2)?, optional_number(&row, 3)?) {
        (Some(key), Some(position)) => Some(Entry::new(key, position)),
        _ => None,
    };
    let release = Release {
        until: time(&row, 0)?,
        shuffle: Shuffle::from_seed(array(&row, 1)?),
        done_to,
        is_expanded: flag(&row, 4)?,
    };
    let node: [u8; 16] = array(&row, 5)?;
    Ok(Some((release, node != *tables.engine.node.id() && flag(&row, 6)?)))
}

enum Begun {
    Release(Release),
    /// Something else comes before it, or there is nothing to release.
    Not(Step),
}

impl From<Expanded> for Begun {
    fn from(expanded: Expanded) -> Self {
        Self::Not(Step::Did(expanded))
    }
}

async fn begin(tables: &mut Tables<'_>, until: Timestamp, shuffle: Shuffle) -> Done<Begun> {
    if tables.cohort_sizes().is_some() {
        // Whom a cohort wakes is settled until it is woken.
        tables.take_members_turn().await?;
    }
    if tables.closed_until().await? < until {
        // They were closed by a clock that ran ahead, and are open again.
        return Ok(Begun::Not(Step::Later));
    }
    let mut named = 0;
    while named < TARGETS_PER_ROW_MAX {
        match bring_in(tables, until).await? {
            Some(more) => named += more.max(1),
            None => break,
        }
    }
    if named > 0 {
        // They have marked cohorts, perhaps.
        tables.muster_anew(until).await?;
        return Ok(Expanded::default().into());
    }
    if tables.cohort_sizes().is_some() {
        let mustered_until = tables.mustered_until().await?;
        if mustered_until < until {
            tables.begin_muster().await?;
            return Ok(Expanded { next: Next::Muster, ..Expanded::default() }.into());
        }
        if mustered_until > until {
            return Ok(Begun::Not(Step::Later));
        }
    }
    if let Some(expanded) = wake_cohorts(tables, until, shuffle).await? {
        return Ok(expanded.into());
    }
    let gathered =
        query("SELECT 1 FROM gathered WHERE window_end <= ? LIMIT 1").bind(until.as_ms());
    if !tables.exists(gathered).await? {
        // Unless that is what was let go last.
        let released = expanded_until(tables).await? < until;
        let_go(tables, until).await?;
        return Ok(Expanded { released, next: Next::Nothing, ..Expanded::default() }.into());
    }
    let sql = format!(
        "INSERT INTO releases (one, until, shuffle, is_expanded, node, seen_at) VALUES (1, ?, ?, 0, ?, {NOW_US})"
    );
    let node = *tables.engine.node.id();
    let insert = query(AssertSqlSafe(sql)).bind(until.as_ms()).bind(shuffle.as_seed().to_vec());
    tables.execute(insert.bind(node.as_slice())).await?;
    Ok(Begun::Release(Release { until, shuffle, done_to: None, is_expanded: false }))
}

async fn expanded_until(tables: &mut Tables<'_>) -> Done<Timestamp> {
    let row = tables.one(query("SELECT expanded_until FROM state")).await?;
    Ok(time(&row.ok_or_else(corrupt)?, 0)?)
}

/// Everything closed up to here is expanded: it may leave.
async fn let_go(tables: &mut Tables<'_>, until: Timestamp) -> Done<()> {
    let update = query("UPDATE state SET expanded_until = ? WHERE expanded_until < ?");
    tables.execute(update.bind(until.as_ms()).bind(until.as_ms())).await?;
    if tables.cohort_sizes().is_some() {
        // What marks a cohort now is for the next batch, also where this one was moved here in the middle.
        tables.note_mustered(until).await?;
    }
    Ok(())
}

/// Deletes some of what a release was made from, and at the end the release.
async fn forget(tables: &mut Tables<'_>, release: &Release, now: Timestamp) -> Done<()> {
    let delete = query("DELETE FROM gathered WHERE window_end <= ? LIMIT ?");
    let forgotten = tables.execute(delete.bind(release.until.as_ms()).bind(FORGET_MAX)).await?;
    if forgotten < FORGET_MAX.unsigned_abs() {
        tables.execute(query("DELETE FROM releases")).await?;
        // Of windows that are still to come, because the clock was set back since.
        if release.until > now {
            reopen(tables, now).await?;
        }
    }
    Ok(())
}

/// A clock that once ran ahead closed windows that are still to come; nothing could join those. They are open again, where a release is under way as soon as
/// that is over. `now` is later than any clock that is right.
pub(crate) async fn reopen_future_windows(tables: &mut Tables<'_>, now: Timestamp) -> Done<()> {
    tables.take_turn("release").await?;
    let ahead = tables.closed_until().await?.max(tables.mustered_until().await?);
    if ahead <= now || under_way(tables).await?.is_some() {
        return Ok(());
    }
    reopen(tables, now).await
}

async fn reopen(tables: &mut Tables<'_>, now: Timestamp) -> Done<()> {
    tracing::warn!(
        "the clock stands before the last closed window; windows that are still to come are open again"
    );
    tables.take_members_turn().await?;
    let now = now.as_ms();
    let lanes = query("UPDATE lanes SET closed_until = ? WHERE closed_until > ?");
    tables.execute(lanes.bind(now).bind(now)).await?;
    // A beat and budgets of the future would keep devices asleep until then.
    let state = query(concat!(
        "UPDATE state SET closed_until = LEAST(closed_until, ?), expanded_until = LEAST(expanded_until, ?),",
        " mustered_until = LEAST(mustered_until, ?), beat_at = LEAST(beat_at, ?)"
    ));
    tables.execute(state.bind(now).bind(now).bind(now).bind(now)).await?;
    // Users who go to other cohorts from now on take along what was accepted before.
    for table in ["marks", "scheduled"] {
        let since = AssertSqlSafe(format!("UPDATE {table} SET since = ? WHERE since > ?"));
        tables.execute(query(since).bind(now).bind(now)).await?;
    }
    // Whoever musters for them is not heard.
    tables.execute(query("DELETE FROM musters")).await?;
    let cohorts = query("UPDATE cohorts SET paid_at = NULL WHERE paid_at > ?").bind(now);
    tables.execute(cohorts).await.map(drop)
}
