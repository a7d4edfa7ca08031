//! Notifications whose time has not come: written, and brought in when it has.

use reveille_model::{
    Audience, Duration, EventType, Limit, Notification, NotificationId, Policy, SubscriptionId,
    Timestamp, User,
};
use reveille_store::tables::{
    Shape, pack_ids, pack_numbers, pack_texts, unpack_numbers, unpack_spread, unpack_subscriptions,
    unpack_texts,
};
use sqlx::mysql::MySqlRow;

use super::audience::{Answered, Asked, Conditions, Known, ToDeliver};
use super::gathering::{Draft, Gathering};
use crate::codec::{
    Read, array, bytes, dry_run, event_type, flag, message_type, number, optional_bytes,
    optional_number, time,
};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::statement::query;

/// The kinds of audience there are: users, subscriptions, and what was found of them.
const USERS: i64 = 0;
const SUBSCRIPTIONS: i64 = 1;
const FOUND: i64 = 2;

/// What is kept of whom a scheduled notification is for.
pub(super) enum Kept {
    /// Whom its caller named, and what there is for their inboxes.
    Named(Option<Vec<u8>>),
    /// Whom it wakes.
    Found(Answered),
}

/// A notification that is to wait.
pub(super) struct ToSchedule {
    pub(super) draft: Draft,
    pub(super) due: Timestamp,
    pub(super) shape: Shape,
    pub(super) kept: Kept,
    pub(super) since: Timestamp,
}

/// A row of what waits.
pub(super) struct Scheduled {
    pub(super) draft: Draft,
    due: Timestamp,
    shape: Shape,
    kind: i64,
    named: i64,
    audience: Vec<u8>,
    event_type: EventType,
    policy: Policy,
    content: Option<Vec<u8>>,
    cohorts: Vec<u8>,
    since: Timestamp,
    spread: Vec<u8>,
}

/// What a notification that is to wait is written as.
pub(super) fn schedule(notification: &Notification, what: ToSchedule) -> Scheduled {
    let Notification { audience, event_type, policy, .. } = notification;
    let ToSchedule { draft, due, shape, kept, since } = what;
    let ids = |ids: &mut dyn Iterator<Item = &SubscriptionId>| {
        pack_ids(&mut ids.map(|id| *id.as_bytes()))
    };
    let (kind, packed, named, cohorts, content) = match (kept, audience) {
        (Kept::Found(answered), _) => {
            let cohorts = pack_numbers(answered.cohorts.iter().copied());
            let named = answered.cohorts.len() + answered.devices.len();
            (FOUND, ids(&mut answered.devices.iter()), named, cohorts, None)
        }
        (Kept::Named(content), Audience::Users(users)) => {
            let packed = pack_texts(users.iter().map(User::expose));
            (USERS, packed, audience.len(), Vec::new(), content)
        }
        (Kept::Named(content), Audience::Subscriptions(named)) => {
            (SUBSCRIPTIONS, ids(&mut named.iter()), audience.len(), Vec::new(), content)
        }
    };
    let named = i64::try_from(named).unwrap_or(i64::MAX);
    let (event_type, policy) = (event_type.clone(), *policy);
    Scheduled {
        draft,
        due,
        shape,
        kind,
        named,
        audience: packed,
        event_type,
        policy,
        content,
        cohorts,
        since,
        spread: pack_numbers(notification.spread.0.iter().map(|end| end.as_ms())),
    }
}

impl Scheduled {
    /// Writes it under its trail's number.
    pub(super) async fn write(&self, tables: &mut Tables<'_>, seq: i64) -> Done<()> {
        let insert = query(concat!(
            "INSERT INTO scheduled (trail, due, message_type, ttl_ms, dry_run, audience_kind, audience,",
            " named, event_type, wakes, limit_count, limit_per_ms, content, cohorts, since, spread)",
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ));
        let insert = insert
            .bind(seq)
            .bind(self.due.as_ms())
            .bind(self.shape.message_type.as_str().as_bytes())
            .bind(self.shape.ttl_ms)
            .bind(self.shape.dry_run == reveille_model::DryRun::Yes)
            .bind(self.kind)
            .bind(self.audience.as_slice())
            .bind(self.named)
            .bind(self.event_type.as_str().as_bytes())
            .bind(self.policy.wakes)
            .bind(self.policy.limit.map(|limit| limit.count))
            .bind(self.policy.limit.map(|limit| limit.per.as_ms().cast_signed()))
            .bind(self.content.as_deref())
            .bind(self.cohorts.as_slice())
            .bind(self.since.as_ms())
            .bind(self.spread.as_slice());
        tables.count_scheduled(1, self.named);
        tables.execute(insert).await.map(drop)
    }
}

/// A scheduled notification that fell due.
struct FellDue {
    seq: i64,
    due: Timestamp,
    shape: Shape,
    kind: i64,
    audience: Vec<u8>,
    event_type: EventType,
    policy: Policy,
    id: NotificationId,
    content: Option<Vec<u8>>,
    cohorts: Vec<u8>,
    since: i64,
    spread: Vec<u8>,
}

fn read(row: &MySqlRow) -> Read<FellDue> {
    let limit = match (optional_number(row, 9)?, optional_number(row, 10)?) {
        (Some(count), Some(per_ms)) => Some(Limit {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            per: Duration::from_ms(per_ms.unsigned_abs()),
        }),
        _ => None,
    };
    Ok(FellDue {
        seq: number(row, 0)?,
        due: time(row, 6)?,
        shape: Shape {
            message_type: message_type(row, 1)?,
            ttl_ms: number(row, 2)?,
            dry_run: dry_run(row, 3)?,
        },
        kind: number(row, 4)?,
        audience: bytes(row, 5)?,
        event_type: event_type(row, 7)?,
        policy: Policy { wakes: flag(row, 8)?, limit },
        id: NotificationId::from_bytes(array(row, 11)?),
        content: optional_bytes(row, 12)?,
        cohorts: bytes(row, 13)?,
        since: number(row, 14)?,
        spread: bytes(row, 15)?,
    })
}

/// Lets one scheduled notification that fell due join the window that ends at `until`. Returns how many it names; nothing where there is none.
pub(super) async fn bring_in(tables: &mut Tables<'_>, until: Timestamp) -> Done<Option<usize>> {
    let select = query(concat!(
        "SELECT s.trail, s.message_type, s.ttl_ms, s.dry_run, s.audience_kind, s.audience, s.due,",
        " s.event_type, s.wakes, s.limit_count, s.limit_per_ms, t.id, s.content, s.cohorts, s.since, s.spread FROM scheduled s",
        " JOIN trails t ON t.seq = s.trail WHERE s.due < ? ORDER BY s.due LIMIT 1 FOR UPDATE"
    ));
    let Some(row) = tables.one(select.bind(until.as_ms())).await? else { return Ok(None) };
    let fell_due = read(&row)?;
    let (answered, named) = answer(tables, &fell_due, until).await?;
    let FellDue { seq, shape, spread, .. } = fell_due;
    let spread = unpack_spread(&spread).ok_or_else(corrupt)?;
    let mut gathering = Gathering::default();
    let (_, change) = gathering.answered_later(seq, &shape, &answered, (&spread, until));
    tables.count(Some(seq), change);
    gathering.write(tables).await?;
    let cohorts: Vec<i64> = answered.cohorts.into_iter().collect();
    let marked = tables.wake_cohorts((&cohorts, shape.dry_run), (&spread, until)).await?;
    let last = spread.last(until);
    let update =
        query("UPDATE trails SET window_end = ?, last_window = ?, cohorts = ? WHERE seq = ?");
    let update = update.bind(last.as_ms()).bind(last.as_ms()).bind(marked.cast_signed()).bind(seq);
    tables.execute(update).await?;
    unschedule(tables, seq).await?;
    Ok(Some(named))
}

/// What was scheduled is no longer. Returns whether it was.
pub(crate) async fn unschedule(tables: &mut Tables<'_>, seq: i64) -> Done<bool> {
    let delete = query("DELETE FROM scheduled WHERE trail = ? RETURNING named").bind(seq);
    let Some(row) = tables.one(delete).await? else { return Ok(false) };
    tables.count_scheduled(-1, -number(&row, 0)?);
    Ok(true)
}

async fn answer(
    tables: &mut Tables<'_>,
    fell_due: &FellDue,
    until: Timestamp,
) -> Done<(Answered, usize)> {
    let FellDue { due, shape, kind, event_type, policy, id, .. } = fell_due;
    if *kind == FOUND {
        let cohorts = unpack_numbers(&fell_due.cohorts).ok_or_else(corrupt)?;
        let devices = unpack_subscriptions(&fell_due.audience).ok_or_else(corrupt)?;
        let named = cohorts.len() + devices.len();
        let cohorts = tables.with_successors(cohorts, fell_due.since).await?;
        return Ok((Answered::found(cohorts, devices), named));
    }
    let audience = unpack_audience(*kind, &fell_due.audience)?;
    let conditions = Conditions { event_type: event_type.clone(), policy: *policy, now: until };
    let asked = Asked { audience: &audience, dry_run: shape.dry_run, conditions: Some(conditions) };
    let deliver = fell_due.content.clone();
    let deliver = deliver.map(|sealed| ToDeliver {
        id: *id,
        event_type: event_type.clone(),
        at: *due,
        sealed,
    });
    let mut known = Known::load(tables, std::slice::from_ref(&asked)).await?;
    let answered = known.answer(&asked, deliver.as_ref());
    known.write(tables).await?;
    Ok((answered, audience.len()))
}

fn unpack_audience(kind: i64, packed: &[u8]) -> Done<Audience> {
    if kind != USERS {
        return unpack_subscriptions(packed).map(Audience::Subscriptions).ok_or_else(corrupt);
    }
    let names = unpack_texts(packed).ok_or_else(corrupt)?;
    let users = names.into_iter().map(User::parse).collect::<Result<_, _>>();
    users.map(Audience::Users).map_err(|_| corrupt())
}
