//! Whom a notification wakes: the devices of those who want it and have not had too many.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    Audience, DryRun, EventType, Mixed, Policy, Settled, Spread, SubscriptionId, Timestamp, User,
};
use reveille_store::StoreError;
use reveille_store::tables::{Change, Kind, Shape};
use rusqlite::{OptionalExtension as _, params};

use super::accept::ROW_BYTES;
use super::tables::sql;
use crate::codec::{subscription_id, user};
use crate::engine::Tables;
use crate::inbox::ToDeliver;

/// What is asked before somebody is woken.
pub(super) struct Conditions<'a> {
    pub(super) event_type: &'a EventType,
    pub(super) policy: Policy,
    /// When it came, or fell due.
    pub(super) now: Timestamp,
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gathered {
    /// Wake-ups that joined the window.
    pub(super) wakeups: u64,
    /// Users who do not want it.
    pub(super) muted: u64,
}

/// One user, and the devices of theirs that are named.
struct OfUser {
    user: User,
    devices: Vec<Device>,
}

#[derive(Debug, Clone, Copy)]
struct Device {
    id: SubscriptionId,
    kind: Kind,
}

/// Whom an audience wakes.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) cohorts: BTreeSet<i64>,
    pub(super) devices: BTreeSet<SubscriptionId>,
    /// Sealed devices. They are woken on their beat, unless they are sealed no longer by then.
    pub(super) sealed: BTreeSet<SubscriptionId>,
    /// Wake-ups that a limit keeps back: a user's cohorts are one.
    pub(super) limited: usize,
    /// Users who do not want it.
    pub(super) muted: u64,
}

impl Answered {
    /// What was asked when it was scheduled.
    pub(super) fn found(cohorts: Vec<i64>, devices: Vec<SubscriptionId>) -> Self {
        let (cohorts, devices) = (cohorts.into_iter().collect(), devices.into_iter().collect());
        Self { cohorts, devices, ..Self::default() }
    }
}

/// Lets the devices of an audience join a window, and marks its cohorts, as far as conditions allow.
pub(super) fn gather_audience(
    tables: &mut Tables,
    (seq, shape): (i64, &Shape),
    audience: &Audience,
    (conditions, deliver): (Option<&Conditions<'_>>, Option<&ToDeliver<'_>>),
    joins: (&Spread, Timestamp),
) -> Result<Gathered, StoreError> {
    let answered = sql(ask_audience(tables, shape, audience, (conditions, deliver)))?;
    sql(gather_answered(tables, (seq, shape), answered, joins))
}

/// Finds out whom an audience wakes, and delivers content to all of it.
pub(super) fn ask_audience(
    tables: &mut Tables,
    shape: &Shape,
    audience: &Audience,
    (conditions, deliver): (Option<&Conditions<'_>>, Option<&ToDeliver<'_>>),
) -> rusqlite::Result<Answered> {
    let mut answered = Answered::default();
    for OfUser { user, devices: named } in resolve(tables, audience)? {
        if let Some(content) = deliver {
            tables.deliver(&user, content)?;
        }
        let sealed = named.iter().filter(|device| tables.mixed(device.kind) == Mixed::Sealed);
        answered.sealed.extend(sealed.map(|device| device.id));
        let devices: Vec<SubscriptionId> = named
            .iter()
            .filter(|device| tables.mixed(device.kind) == Mixed::Batch)
            .map(|device| device.id)
            .collect();
        // Also of a user whose devices belong to none any more: of one who has left it a ghost.
        let cohorts = tables.cohorts_for(&user)?;
        // Anybody else who has no device leaves no trace.
        if devices.is_empty() && cohorts.is_empty() {
            continue;
        }
        match ask(tables, &user, shape, conditions)? {
            Answer::Wake => {
                answered.devices.extend(devices);
                answered.cohorts.extend(cohorts);
            }
            Answer::Limited => {
                answered.limited += devices.len() + usize::from(!cohorts.is_empty());
            }
            Answer::Muted => answered.muted += 1,
        }
    }
    Ok(answered)
}

/// Lets those join a window who are to be woken.
pub(super) fn gather_answered(
    tables: &mut Tables,
    (seq, shape): (i64, &Shape),
    answered: Answered,
    (spread, window_end): (&Spread, Timestamp),
) -> rusqlite::Result<Gathered> {
    let devices = answered.devices.len();
    for (window_end, ids) in spread.of_devices(answered.devices, window_end) {
        for chunk in ids.chunks(ROW_BYTES / 16) {
            tables.gather(Some(seq), shape, window_end, chunk)?;
        }
    }
    let joins = (spread, window_end);
    let marked = tables.wake_cohorts((&answered.cohorts, shape.dry_run), joins)?;
    tables
        .connection
        .prepare_cached(
            "UPDATE trails SET window_end = ?2, last_window = ?2, cohorts = ?3 WHERE seq = ?1",
        )?
        .execute(params![seq, spread.last(window_end).as_ms(), marked])?;
    tables.count_gathered(seq, devices, answered.limited)?;
    Ok(Gathered { wakeups: devices as u64 + marked, muted: answered.muted })
}

impl Tables {
    pub(super) fn count_gathered(
        &mut self,
        seq: i64,
        woken: usize,
        limited: usize,
    ) -> rusqlite::Result<()> {
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        self.count(Some(seq), Change::accepted(count(woken + limited)))?;
        if limited == 0 {
            return Ok(());
        }
        self.count(Some(seq), Change::settled(Settled::Limited, count(limited)))
    }
}

enum Answer {
    Wake,
    /// They do not want it.
    Muted,
    /// They have had enough for now.
    Limited,
}

fn ask(
    tables: &Tables,
    user: &User,
    shape: &Shape,
    conditions: Option<&Conditions<'_>>,
) -> rusqlite::Result<Answer> {
    let Some(Conditions { event_type, policy, now }) = conditions else { return Ok(Answer::Wake) };
    if !tables.said(user, event_type)?.unwrap_or(policy.wakes) {
        return Ok(Answer::Muted);
    }
    match policy.limit {
        // Nobody is woken by a dry run, so that it counts for nothing.
        Some(limit) if shape.dry_run == DryRun::No => {
            let is_within = tables.is_within(user, event_type, (limit, *now))?;
            Ok(if is_within { Answer::Wake } else { Answer::Limited })
        }
        _ => Ok(Answer::Wake),
    }
}

/// The devices an audience stands for, by user.
fn resolve(tables: &Tables, audience: &Audience) -> rusqlite::Result<Vec<OfUser>> {
    match audience {
        Audience::Users(users) => {
            let mut select = tables.connection.prepare_cached(concat!(
                "SELECT id, set_id, sealed + unsealing FROM subscriptions WHERE user_name = ?1",
                " ORDER BY created_at, id LIMIT ?2"
            ))?;
            let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
            for user in users.iter().filter(|user| seen.insert(*user)) {
                let devices = select
                    .query_map(params![user.expose(), SUBSCRIPTIONS_PER_USER_MAX], |row| {
                        let kind = Kind { set_id: row.get(1)?, is_sealed: row.get(2)? };
                        Ok(Device { id: subscription_id(row, 0)?, kind })
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                found.push(OfUser { user: user.clone(), devices });
            }
            Ok(found)
        }
        Audience::Subscriptions(ids) => {
            let mut select = tables.connection.prepare_cached(
                "SELECT user_name, set_id, sealed + unsealing FROM subscriptions WHERE id = ?1",
            )?;
            let mut found: BTreeMap<User, Vec<Device>> = BTreeMap::new();
            for id in ids {
                let device = select
                    .query_row([id.as_bytes()], |row| {
                        let kind = Kind { set_id: row.get(1)?, is_sealed: row.get(2)? };
                        Ok((user(row, 0)?, Device { id: *id, kind }))
                    })
                    .optional()?;
                if let Some((owner, device)) = device {
                    found.entry(owner).or_default().push(device);
                }
            }
            Ok(found.into_iter().map(|(user, devices)| OfUser { user, devices }).collect())
        }
    }
}
