//! The end of a window: what it gathered is put into its order and expanded, in bounded steps.
//!
//! A release begins with a row that holds its shuffle. Its targets get their sort keys from that, one after the other as they were gathered, and
//! are expanded in the order of the keys, so that wake-ups are written one after the other and read the same way when they leave. How far that
//! came is written with each step: a crash only costs the plan, which is made again. What was gathered stays until all of it is expanded.
//!
//! Before it begins, what was scheduled and fell due is brought in, then it is decided which cohorts leave, then they are woken: in this order, so that
//! none of them leaves after its batch or without its company.

use reveille_model::limits::{EXPAND_MAX, TARGETS_PER_ROW_MAX};
use reveille_model::{
    Audience, Duration, EventType, Limit, NotificationId, Policy, Shuffle, Timestamp, User,
};
use reveille_store::tables::{
    Entry, Shape, ToPlan, unpack_numbers, unpack_spread, unpack_subscriptions, unpack_texts,
};
use reveille_store::{Expanded, Next, StoreError};
use rusqlite::{OptionalExtension as _, Row, params};

use super::accept::FOUND;
use super::audience::{Answered, Conditions, gather_answered, gather_audience};
use super::expand::expand;
use super::tables::{corrupt, sql};
use crate::codec::{dry_run, event_type, message_type, time};
use crate::cohorts::wake_cohort;
use crate::engine::Tables;
use crate::inbox::ToDeliver;

/// Gathered rows deleted in one step.
const FORGET_MAX: usize = 4_000;

/// What a step came to.
pub(super) enum Step {
    Did(Expanded),
    /// It must be planned before it can go on.
    Plan(ToPlan),
}

/// The release under way.
struct Release {
    until: Timestamp,
    shuffle: Shuffle,
    done_to: Option<Entry>,
    is_expanded: bool,
}

pub(super) fn close(tables: &mut Tables, until: Timestamp) -> rusqlite::Result<()> {
    tables.closed_until = tables.closed_until.max(until.as_ms());
    tables
        .connection
        .prepare_cached("UPDATE state SET closed_until = ?1")?
        .execute([tables.closed_until])
        .map(drop)
}

impl Tables {
    /// A clock that once ran ahead closed windows that are still to come; nothing could join those. They are open again, where a release is
    /// under way as soon as that is over.
    pub(crate) fn reopen_future_windows(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        if self.closed_until <= now.as_ms() || under_way(self)?.is_some() {
            return Ok(());
        }
        self.reopen(now)
    }

    fn reopen(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        tracing::warn!(
            "the clock stands before the last closed window; windows that are still to come are open again"
        );
        self.closed_until = now.as_ms();
        self.expanded_until = self.expanded_until.min(now.as_ms());
        self.mustered_until = self.mustered_until.min(now.as_ms());
        // A beat and budgets of the future would keep devices asleep until then.
        self.connection.execute("UPDATE state SET beat_at = MIN(beat_at, ?1)", [now.as_ms()])?;
        // Users who go to other cohorts from now on take along what was accepted before.
        self.connection
            .execute("UPDATE scheduled SET since = ?1 WHERE since > ?1", [now.as_ms()])?;
        self.connection
            .execute("UPDATE cohorts SET paid_at = NULL WHERE paid_at > ?1", [now.as_ms()])?;
        self.connection
            .execute(
                "UPDATE state SET closed_until = ?1, expanded_until = ?2",
                [self.closed_until, self.expanded_until],
            )
            .map(drop)
    }
}

/// The next step of the release under way, or the first one of the next.
pub(super) fn step(
    tables: &mut Tables,
    until: Timestamp,
    shuffle: Shuffle,
) -> Result<Step, StoreError> {
    let release = match sql(under_way(tables))? {
        Some(release) => release,
        None => match begin(tables, until, shuffle)? {
            Begun::Release(release) => release,
            Begun::Not(expanded) => return Ok(Step::Did(expanded)),
        },
    };
    if release.is_expanded {
        sql(forget(tables, &release, until))?;
        return Ok(Step::Did(Expanded::default()));
    }
    let Some(plan) = tables.plan.take() else {
        let Release { until, shuffle, done_to, .. } = release;
        return Ok(Step::Plan(ToPlan { until, shuffle, done_to }));
    };
    let entries = plan.after(release.done_to, EXPAND_MAX);
    let mut expanded = expand(tables, entries)?;
    let last = entries.last().copied();
    let is_end = plan.ends_with(last);
    let is_over = is_end && plan.is_last();
    let done_to = if is_end { Some(plan.end()) } else { last };
    if let Some(to) = done_to {
        sql(tables
            .connection
            .prepare_cached(
                "UPDATE release SET done_key = ?1, done_position = ?2, is_expanded = ?3",
            )
            .and_then(|mut update| update.execute(params![to.sort_key, to.position, is_over])))?;
    }
    if is_over {
        sql(let_go(tables, release.until))?;
        expanded.released = true;
    } else if !is_end {
        tables.plan = Some(plan);
    }
    Ok(Step::Did(expanded))
}

/// Wakes as many cohorts as one transaction may, each of them whole. Nothing where none is to leave.
fn wake_cohorts(
    tables: &mut Tables,
    until: Timestamp,
    shuffle: Shuffle,
) -> rusqlite::Result<Option<Expanded>> {
    let (mut expanded, mut keys) = (None, shuffle.keys());
    while let Some(woken) = wake_cohort(tables, until, &mut keys)? {
        let so_far: &mut Expanded = expanded.get_or_insert_default();
        so_far.wakeups += woken.wakeups;
        so_far.collapsed += woken.collapsed;
        if so_far.wakeups + so_far.collapsed >= EXPAND_MAX as u64 {
            break;
        }
    }
    Ok(expanded)
}

fn under_way(tables: &Tables) -> rusqlite::Result<Option<Release>> {
    tables
        .connection
        .prepare_cached("SELECT until, shuffle, done_key, done_position, is_expanded FROM release")?
        .query_row([], |row| {
            let done_key: Option<i64> = row.get(2)?;
            Ok(Release {
                until: time(row, 0)?,
                shuffle: Shuffle::from_seed(row.get(1)?),
                done_to: match done_key {
                    Some(key) => Some(Entry::new(key, row.get(3)?)),
                    None => None,
                },
                is_expanded: row.get(4)?,
            })
        })
        .optional()
}

enum Begun {
    Release(Release),
    /// Something else comes before it, or there is nothing to release.
    Not(Expanded),
}

fn begin(tables: &mut Tables, until: Timestamp, shuffle: Shuffle) -> Result<Begun, StoreError> {
    let mut named = 0;
    while named < TARGETS_PER_ROW_MAX {
        match bring_in_scheduled(tables, until)? {
            Some(more) => named += more.max(1),
            None => break,
        }
    }
    if named > 0 {
        // They have marked cohorts, perhaps.
        tables.mustered_until = tables.mustered_until.min(tables.expanded_until);
        return Ok(Begun::Not(Expanded::default()));
    }
    if tables.cohort_sizes().is_some() && tables.mustered_until < until.as_ms() {
        return Ok(Begun::Not(Expanded { next: Next::Muster, ..Expanded::default() }));
    }
    if let Some(expanded) = sql(wake_cohorts(tables, until, shuffle))? {
        return Ok(Begun::Not(expanded));
    }
    let is_gathered = sql(tables
        .connection
        .prepare_cached("SELECT 1 FROM gathered WHERE window_end <= ?1 LIMIT 1")
        .and_then(|mut select| select.exists([until.as_ms()])))?;
    if !is_gathered {
        // Unless that is what was let go last.
        let released = tables.expanded_until < until.as_ms();
        sql(let_go(tables, until))?;
        return Ok(Begun::Not(Expanded { released, next: Next::Nothing, ..Expanded::default() }));
    }
    tables.plan = None;
    sql(tables
        .connection
        .prepare_cached(
            "INSERT INTO release (one, until, shuffle, is_expanded) VALUES (1, ?1, ?2, 0)",
        )
        .and_then(|mut insert| insert.execute(params![until.as_ms(), shuffle.as_seed()])))?;
    Ok(Begun::Release(Release { until, shuffle, done_to: None, is_expanded: false }))
}

/// Everything closed up to here is expanded: it may leave.
fn let_go(tables: &mut Tables, until: Timestamp) -> rusqlite::Result<()> {
    tables.expanded_until = tables.expanded_until.max(until.as_ms());
    // What marks a cohort now is for the next batch, also after a start in the middle of this one.
    tables.mustered_until = tables.mustered_until.max(until.as_ms());
    tables
        .connection
        .prepare_cached("UPDATE state SET expanded_until = ?1")?
        .execute([tables.expanded_until])
        .map(drop)
}

/// Deletes some of what a release was made from, and at the end the release.
fn forget(tables: &mut Tables, release: &Release, now: Timestamp) -> rusqlite::Result<()> {
    let forgotten = tables
        .connection
        .prepare_cached(concat!(
            "DELETE FROM gathered WHERE id IN",
            " (SELECT id FROM gathered WHERE window_end <= ?1 ORDER BY window_end, id LIMIT ?2)"
        ))?
        .execute(params![release.until.as_ms(), FORGET_MAX])?;
    if forgotten < FORGET_MAX {
        tables.connection.prepare_cached("DELETE FROM release")?.execute([])?;
        // Of windows that are still to come, because the clock was set back since.
        if release.until > now {
            tables.reopen(now)?;
        }
    }
    Ok(())
}

/// A scheduled notification that fell due.
struct FellDue {
    seq: i64,
    due: Timestamp,
    shape: Shape,
    kind: i64,
    audience: Vec<u8>,
    event_type: Option<EventType>,
    policy: Policy,
    id: NotificationId,
    content: Option<Vec<u8>>,
    cohorts: Vec<u8>,
    since: i64,
    spread: Vec<u8>,
}

fn read_fell_due(row: &Row<'_>) -> rusqlite::Result<FellDue> {
    let is_named = row.get_ref(7)?.as_str_or_null()?.is_some();
    let limit = match (row.get(9)?, row.get(10)?) {
        (Some(count), Some(per_ms)) => Some(Limit { count, per: Duration::from_ms(per_ms) }),
        _ => None,
    };
    Ok(FellDue {
        seq: row.get(0)?,
        due: time(row, 6)?,
        shape: Shape {
            message_type: message_type(row, 1)?,
            ttl_ms: row.get(2)?,
            dry_run: dry_run(row, 3)?,
        },
        kind: row.get(4)?,
        audience: row.get(5)?,
        event_type: if is_named { Some(event_type(row, 7)?) } else { None },
        policy: Policy { wakes: row.get(8)?, limit },
        id: NotificationId::from_bytes(row.get(11)?),
        content: row.get(12)?,
        cohorts: row.get(13)?,
        since: row.get(14)?,
        spread: row.get(15)?,
    })
}

/// Lets one scheduled notification that fell due join the window that ends at `until`. Returns how many it
/// names; nothing where there is none.
fn bring_in_scheduled(tables: &mut Tables, until: Timestamp) -> Result<Option<usize>, StoreError> {
    let found = sql(tables
        .connection
        .prepare_cached(concat!(
            "SELECT s.trail, s.message_type, s.ttl_ms, s.dry_run, s.audience_kind, s.audience, s.due,",
            " s.event_type, s.wakes, s.limit_count, s.limit_per_ms, t.id, s.content, s.cohorts, s.since, s.spread FROM scheduled s",
            " JOIN trails t ON t.seq = s.trail WHERE s.due < ?1 ORDER BY s.due LIMIT 1"
        ))
        .and_then(|mut select| select.query_row([until.as_ms()], read_fell_due).optional()))?;
    let Some(fell_due) = found else { return Ok(None) };
    let FellDue {
        seq,
        due,
        shape,
        kind,
        audience,
        event_type,
        policy,
        id,
        content,
        cohorts,
        since,
        spread,
    } = fell_due;
    let spread = unpack_spread(&spread).ok_or_else(corrupt)?;
    let named = if kind == FOUND {
        let cohorts = unpack_numbers(&cohorts).ok_or_else(corrupt)?;
        let devices = unpack_subscriptions(&audience).ok_or_else(corrupt)?;
        let named = cohorts.len() + devices.len();
        let answered = Answered::found(sql(tables.with_successors(cohorts, since))?, devices);
        sql(gather_answered(tables, (seq, &shape), answered, (&spread, until)))?;
        named
    } else {
        let audience = unpack_audience(kind, &audience)?;
        let conditions = event_type.as_ref();
        let conditions = conditions.map(|event_type| Conditions { event_type, policy, now: until });
        let deliver = content.as_deref().zip(event_type.as_ref());
        let deliver =
            deliver.map(|(sealed, event_type)| ToDeliver { id, event_type, at: due, sealed });
        let asked = (conditions.as_ref(), deliver.as_ref());
        gather_audience(tables, (seq, &shape), &audience, asked, (&spread, until))?;
        audience.len()
    };
    tables.scheduled = tables.scheduled.saturating_sub(named as u64);
    sql(tables
        .connection
        .prepare_cached("DELETE FROM scheduled WHERE trail = ?1")
        .and_then(|mut delete| delete.execute([seq])))?;
    Ok(Some(named))
}

fn unpack_audience(kind: i64, packed: &[u8]) -> Result<Audience, StoreError> {
    if kind != 0 {
        return unpack_subscriptions(packed).map(Audience::Subscriptions).ok_or_else(corrupt);
    }
    let names = unpack_texts(packed).ok_or_else(corrupt)?;
    let users = names.into_iter().map(User::parse).collect::<Result<_, _>>();
    users.map(Audience::Users).map_err(|_| corrupt())
}
