//! What a transaction of intake writes, put together and written at its end: many rows in few statements.

use std::collections::BTreeMap;

use reveille_model::{
    CohortId, DryRun, Notification, NotificationId, Settled, Spread, SubscriptionId, Timestamp,
    Topic,
};
use reveille_store::tables::{Change, Shape, pack_ids};

use super::accept::{ROW_BYTES, SealedRow};
use super::audience::Answered;
use super::scheduled::Scheduled;
use crate::codec::{array, number};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::rows::{chunks, listing};
use crate::statement::query;

/// A notification's trail before it has a number.
pub(super) struct Drafts {
    id: NotificationId,
    window_end: Option<Timestamp>,
    deliver_after: Option<Timestamp>,
    last_window: Timestamp,
    cohorts: u64,
    change: Change,
}

impl Drafts {
    /// Of a notification that joins a window.
    pub(super) fn joining(notification: &Notification, window_end: Timestamp) -> Self {
        let last = notification.spread.last(window_end);
        Self { window_end: Some(last), ..Self::waiting(notification, last) }
    }

    /// Of one that is scheduled.
    pub(super) fn waiting(notification: &Notification, due: Timestamp) -> Self {
        Self {
            id: notification.id,
            window_end: None,
            deliver_after: notification.deliver_after,
            last_window: due,
            cohorts: 0,
            change: Change::default(),
        }
    }
}

/// The how-many-th trail of a transaction.
pub(super) type Draft = usize;

/// Whose trail a row belongs to.
#[derive(Debug, Clone, Copy)]
enum Trail {
    None,
    Draft(Draft),
    Known(i64),
}

struct Row {
    window_end: Timestamp,
    trail: Trail,
    shape: Shape,
    set: Option<(i64, Option<Topic>)>,
    count: i64,
    targets: Vec<u8>,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Gathering {
    drafts: Vec<Drafts>,
    rows: Vec<Row>,
    scheduled: Vec<Scheduled>,
    /// How often something was accepted for a cohort in a window.
    marks: BTreeMap<(i64, i64), i64>,
    ledger: Change,
}

impl Gathering {
    pub(super) fn draft(&mut self, draft: Drafts) -> Draft {
        self.drafts.push(draft);
        self.drafts.len() - 1
    }

    /// Adds counts to a draft's trail.
    pub(super) fn count(&mut self, draft: Draft, change: Change) {
        if let Some(draft) = self.drafts.get_mut(draft) {
            draft.change = draft.change.and(change);
        }
    }

    pub(super) fn schedule(&mut self, scheduled: Scheduled) {
        self.scheduled.push(scheduled);
    }

    /// Tokens that a caller named join a window.
    pub(super) fn tokens(
        &mut self,
        (shape, set): (&Shape, (i64, Option<&Topic>)),
        rows: impl Iterator<Item = SealedRow>,
        window_end: Timestamp,
    ) {
        for SealedRow { count, targets } in rows {
            let set = Some((set.0, set.1.cloned()));
            self.rows.push(Row {
                window_end,
                trail: Trail::None,
                shape: shape.clone(),
                set,
                count,
                targets,
            });
            self.ledger = self.ledger.and(Change::accepted(count));
        }
    }

    /// Counts what belongs to no trail.
    pub(super) fn count_only(&mut self, change: Change) {
        self.ledger = self.ledger.and(change);
    }

    /// Lets those join a window who are to be woken. Returns how many wake-ups that makes.
    pub(super) fn answered(
        &mut self,
        draft: Draft,
        shape: &Shape,
        answered: &Answered,
        (spread, window_end): (&Spread, Timestamp),
    ) -> u64 {
        self.devices(Trail::Draft(draft), shape, answered, (spread, window_end));
        let (change, woken) = change_of(answered);
        self.count(draft, change);
        let cohorts: Vec<i64> = answered.cohorts.iter().copied().collect();
        let marked = self.wake_cohorts((&cohorts, shape.dry_run), (spread, window_end));
        if let Some(draft) = self.drafts.get_mut(draft) {
            draft.cohorts = marked;
        }
        woken + marked
    }

    /// The same for a trail that is there. Its cohorts are marked by somebody else. Returns how many wake-ups that makes.
    pub(super) fn answered_later(
        &mut self,
        seq: i64,
        shape: &Shape,
        answered: &Answered,
        joins: (&Spread, Timestamp),
    ) -> (u64, Change) {
        self.devices(Trail::Known(seq), shape, answered, joins);
        let (change, woken) = change_of(answered);
        (woken, change)
    }

    fn devices(
        &mut self,
        trail: Trail,
        shape: &Shape,
        answered: &Answered,
        (spread, window_end): (&Spread, Timestamp),
    ) {
        for (window_end, ids) in spread.of_devices(answered.devices.iter().copied(), window_end) {
            for chunk in ids.chunks(ROW_BYTES / 16) {
                let targets = pack_ids(chunk.iter().map(|id| *id.as_bytes()));
                let count = i64::try_from(chunk.len()).unwrap_or(i64::MAX);
                self.rows.push(Row {
                    window_end,
                    trail,
                    shape: shape.clone(),
                    set: None,
                    count,
                    targets,
                });
            }
        }
    }

    /// Marks cohorts; returns how many. A dry run stops here: the network would show it.
    pub(super) fn wake_cohorts(
        &mut self,
        (cohorts, dry_run): (&[i64], DryRun),
        (spread, window_end): (&Spread, Timestamp),
    ) -> u64 {
        let count = i64::try_from(cohorts.len()).unwrap_or(i64::MAX);
        if dry_run == DryRun::Yes {
            self.count_only(Change::accepted(count).and(Change::settled(Settled::DryRun, count)));
        } else {
            for cohort in cohorts {
                let window_end = spread.of_cohort(CohortId(*cohort), window_end);
                *self.marks.entry((*cohort, window_end.as_ms())).or_default() += 1;
            }
        }
        cohorts.len() as u64
    }

    /// Writes all of it. The gate was passed before, or what is written belongs to no window that could be closed.
    pub(super) async fn write(self, tables: &mut Tables<'_>) -> Done<()> {
        let Self { drafts, rows, scheduled, marks, ledger } = self;
        tables.count(None, ledger);
        let numbers = write_trails(tables, &drafts).await?;
        let seq = |draft: Draft| numbers.get(draft).copied().ok_or_else(corrupt);
        for (draft, number) in drafts.iter().zip(&numbers) {
            tables.count(Some(*number), draft.change);
        }
        for scheduled in scheduled {
            scheduled.write(tables, seq(scheduled.draft)?).await?;
        }
        let mut placed = Vec::with_capacity(rows.len());
        for row in rows {
            let trail = match row.trail {
                Trail::None => None,
                Trail::Draft(draft) => Some(seq(draft)?),
                Trail::Known(number) => Some(number),
            };
            placed.push((tables.next_place().await?, trail, row));
        }
        write_rows(tables, &placed).await?;
        mark_all(tables, &marks).await
    }
}

fn change_of(answered: &Answered) -> (Change, u64) {
    let woken = answered.devices.len();
    let count = i64::try_from(woken).unwrap_or(i64::MAX);
    let limited = Change::settled(Settled::Limited, answered.limited);
    (Change::accepted(count + answered.limited).and(limited), woken as u64)
}

/// Returns the numbers of the trails, in order.
async fn write_trails(tables: &mut Tables<'_>, drafts: &[Drafts]) -> Done<Vec<i64>> {
    let mut numbers: BTreeMap<[u8; 16], i64> = BTreeMap::new();
    for part in chunks(drafts) {
        let sql = concat!(
            "INSERT INTO trails (id, window_end, deliver_after, last_window, cohorts) VALUES {}",
            " RETURNING id, seq"
        );
        let mut insert = query(listing(sql, "(?, ?, ?, ?, ?)", part.len()));
        for draft in part {
            insert = insert
                .bind(draft.id.as_bytes().as_slice())
                .bind(draft.window_end.map(Timestamp::as_ms))
                .bind(draft.deliver_after.map(Timestamp::as_ms))
                .bind(draft.last_window.as_ms())
                .bind(draft.cohorts.cast_signed());
        }
        for row in tables.all(insert).await? {
            numbers.insert(array(&row, 0)?, number(&row, 1)?);
        }
    }
    let number = |draft: &Drafts| numbers.get(draft.id.as_bytes()).copied().ok_or_else(corrupt);
    drafts.iter().map(number).collect()
}

async fn write_rows(tables: &mut Tables<'_>, rows: &[(i64, Option<i64>, Row)]) -> Done<()> {
    for part in chunks(rows) {
        let sql = concat!(
            "INSERT INTO gathered (place, window_end, trail, message_type, ttl_ms, dry_run, set_id, topic,",
            " count, targets) VALUES {}"
        );
        let mut insert = query(listing(sql, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", part.len()));
        for (place, trail, row) in part {
            let topic = row.set.as_ref().and_then(|(_, topic)| topic.as_ref());
            insert = insert
                .bind(place)
                .bind(row.window_end.as_ms())
                .bind(*trail)
                .bind(row.shape.message_type.as_str().as_bytes())
                .bind(row.shape.ttl_ms)
                .bind(row.shape.dry_run == DryRun::Yes)
                .bind(row.set.as_ref().map(|(set_id, _)| *set_id))
                .bind(topic.map(|topic| topic.as_str().as_bytes()))
                .bind(row.count)
                .bind(row.targets.as_slice());
        }
        tables.execute(insert).await?;
    }
    Ok(())
}

/// Something was accepted for cohorts, so often each. Whether it was the first in its window shows in the ledger only.
async fn mark_all(tables: &mut Tables<'_>, marks: &BTreeMap<(i64, i64), i64>) -> Done<()> {
    let marks: Vec<((i64, i64), i64)> = marks.iter().map(|(mark, count)| (*mark, *count)).collect();
    // Where there are no cohorts any more nobody decides what leaves.
    let leaves = tables.cohort_sizes().is_none();
    let since = if marks.is_empty() { 0 } else { tables.closed_until().await?.as_ms() };
    for part in chunks(&marks) {
        let sql = "INSERT IGNORE INTO marks (cohort, window_end, leaves, since) VALUES {}";
        let mut insert = query(listing(sql, "(?, ?, ?, ?)", part.len()));
        for ((cohort, window_end), _) in part {
            insert = insert.bind(cohort).bind(window_end).bind(leaves).bind(since);
        }
        let new = i64::try_from(tables.execute(insert).await?).unwrap_or(i64::MAX);
        let count: i64 = part.iter().map(|(_, count)| count).sum();
        tables.count(None, Change::accepted(count).and(Change::collapsed(count - new)));
    }
    Ok(())
}

impl Tables<'_> {
    /// Something was accepted for a cohort.
    pub(crate) async fn mark(&mut self, cohort: i64, window_end: i64) -> Done<()> {
        mark_all(self, &[((cohort, window_end), 1)].into()).await
    }

    /// Marks those cohorts that still are; returns how many. A dry run stops here: the network would show it.
    pub(crate) async fn wake_cohorts(
        &mut self,
        (cohorts, dry_run): (&[i64], DryRun),
        joins: (&Spread, Timestamp),
    ) -> Done<u64> {
        let mut there = Vec::new();
        for cohort in cohorts {
            // A dry run counts for all that are named.
            let is_there = query("SELECT 1 FROM cohorts WHERE id = ?").bind(cohort);
            if dry_run == DryRun::Yes || self.exists(is_there).await? {
                there.push(*cohort);
            }
        }
        let mut gathering = Gathering::default();
        let marked = gathering.wake_cohorts((&there, dry_run), joins);
        gathering.write(self).await?;
        Ok(marked)
    }
}

/// Lets devices join a window though nothing has happened to their users.
pub(crate) async fn gather(
    tables: &mut Tables<'_>,
    window_end: Timestamp,
    ids: &[SubscriptionId],
) -> Done<()> {
    let Some(company) = tables.mixing().map(|mixing| mixing.kinds.company.clone()) else {
        return Ok(());
    };
    let mut gathering = Gathering::default();
    let answered = Answered { devices: ids.iter().copied().collect(), ..Answered::default() };
    gathering.devices(Trail::None, &company, &answered, (&Spread::default(), window_end));
    gathering.count_only(change_of(&answered).0);
    gathering.write(tables).await
}
