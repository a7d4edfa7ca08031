//! Whom a notification wakes: the devices of those who want it and have not had too many.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    Audience, DryRun, EventType, Policy, Settled, SubscriptionId, Timestamp, User,
};
use reveille_store::StoreError;
use rusqlite::{OptionalExtension as _, params};

use super::accept::ROW_BYTES;
use super::tables::{Change, Shape, sql};
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

/// The devices of one user.
type OfUser = (User, Vec<SubscriptionId>);

/// Lets the devices of an audience join a window, as far as conditions allow.
pub(super) fn gather_audience(
    tables: &mut Tables,
    (seq, shape): (i64, &Shape),
    audience: &Audience,
    (conditions, deliver): (Option<&Conditions<'_>>, Option<&ToDeliver<'_>>),
    window_end: Timestamp,
) -> Result<Gathered, StoreError> {
    let (mut woken, mut limited, mut muted) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (user, ids) in sql(resolve(tables, audience))? {
        if let Some(content) = deliver {
            sql(tables.deliver(&user, content))?;
        }
        // Whoever has no device leaves no trace.
        if ids.is_empty() {
            continue;
        }
        match sql(ask(tables, &user, shape, conditions))? {
            Answer::Wake => woken.extend(ids),
            Answer::Limited => limited.extend(ids),
            Answer::Muted => muted += 1,
        }
    }
    let ids: Vec<SubscriptionId> = woken.into_iter().collect();
    for chunk in ids.chunks(ROW_BYTES / 16) {
        sql(tables.gather(seq, shape, window_end, chunk))?;
    }
    sql(tables
        .connection
        .prepare_cached("UPDATE trails SET window_end = ?2, last_window = ?2 WHERE seq = ?1")
        .and_then(|mut update| update.execute([seq, window_end.as_ms()])))?;
    let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    sql(tables.count(Some(seq), Change::accepted(count(ids.len() + limited.len()))))?;
    if !limited.is_empty() {
        sql(tables.count(Some(seq), Change::settled(Settled::Limited, count(limited.len()))))?;
    }
    Ok(Gathered { wakeups: ids.len() as u64, muted })
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
            let mut select = tables.connection.prepare_cached(
                "SELECT id FROM subscriptions WHERE user_name = ?1 ORDER BY created_at, id LIMIT ?2",
            )?;
            let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
            for user in users.iter().filter(|user| seen.insert(*user)) {
                let ids: Vec<SubscriptionId> = select
                    .query_map(params![user.expose(), SUBSCRIPTIONS_PER_USER_MAX], |row| {
                        subscription_id(row, 0)
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                found.push((user.clone(), ids));
            }
            Ok(found)
        }
        Audience::Subscriptions(ids) => {
            let mut select = tables
                .connection
                .prepare_cached("SELECT user_name FROM subscriptions WHERE id = ?1")?;
            let mut found: BTreeMap<User, Vec<SubscriptionId>> = BTreeMap::new();
            for id in ids {
                let owner = select.query_row([id.as_bytes()], |row| user(row, 0)).optional()?;
                if let Some(owner) = owner {
                    found.entry(owner).or_default().push(*id);
                }
            }
            Ok(found.into_iter().collect())
        }
    }
}
