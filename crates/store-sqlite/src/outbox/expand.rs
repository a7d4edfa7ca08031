//! The end of a window: gathered rows become wake-ups.

use reveille_model::limits::TARGETS_PER_ROW_MAX;
use reveille_model::{
    Audience, CredentialSet, DryRun, Settled, SubscriptionId, Timestamp, Token, Topic, User,
};
use reveille_store::{Expanded, StoreError, TokenKey, WakeupKey};
use rusqlite::{OptionalExtension as _, params};

use super::accept::gather_audience;
use super::tables::{Change, Shape, corrupt, sql};
use crate::codec::{
    credential_set, dry_run, message_type, subscription_id, time, topic, unpack_subscriptions,
    unpack_texts,
};
use crate::engine::Tables;

pub(super) fn close(tables: &mut Tables, until: Timestamp) -> rusqlite::Result<()> {
    tables.closed_until = tables.closed_until.max(until.as_ms());
    tables
        .connection
        .prepare_cached("UPDATE state SET closed_until = ?1")?
        .execute([tables.closed_until])
        .map(drop)
}

impl Tables {
    /// A clock that once ran ahead closed windows that are still to come; nothing could join those. They are open again.
    pub(crate) fn reopen_future_windows(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.closed_until <= now.as_ms() {
            return Ok(());
        }
        tracing::warn!(
            "the clock stands before the last closed window; windows that are still to come are open again"
        );
        self.closed_until = now.as_ms();
        self.expanded_until = self.expanded_until.min(now.as_ms());
        sql(self
            .connection
            .execute(
                "UPDATE state SET closed_until = ?1, expanded_until = ?2",
                [self.closed_until, self.expanded_until],
            )
            .map(drop))
    }
}

pub(super) fn expand(
    tables: &mut Tables,
    until: Timestamp,
    order: Vec<i64>,
) -> Result<Expanded, StoreError> {
    let mut named = 0;
    while named < TARGETS_PER_ROW_MAX {
        match bring_in_scheduled(tables, until)? {
            Some(more) => named += more.max(1),
            None => break,
        }
    }
    if named > 0 {
        return Ok(Expanded::default());
    }
    let mut expanded = Expanded::default();
    let mut sort_keys = order.into_iter().take(TARGETS_PER_ROW_MAX);
    loop {
        let next: Option<(i64, usize)> = sql(tables
            .connection
            .prepare_cached(
                "SELECT id, count FROM gathered WHERE window_end <= ?1 ORDER BY window_end, id LIMIT 1",
            )
            .and_then(|mut select| {
                select.query_row([until.as_ms()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            }))?;
        match next {
            None => {
                sql(release(tables, until))?;
                expanded.done = true;
                return Ok(expanded);
            }
            Some((_, count)) if count > sort_keys.len() => return Ok(expanded),
            Some((id, _)) => expand_row(tables, id, &mut sort_keys, &mut expanded)?,
        }
    }
}

/// Everything closed up to here is expanded: it may leave.
fn release(tables: &mut Tables, until: Timestamp) -> rusqlite::Result<()> {
    tables.expanded_until = tables.expanded_until.max(until.as_ms());
    tables
        .connection
        .prepare_cached("UPDATE state SET expanded_until = ?1")?
        .execute([tables.expanded_until])
        .map(drop)
}

/// Lets one scheduled notification that fell due join the window that ends at `until`. Returns how many it
/// names; nothing where there is none.
fn bring_in_scheduled(tables: &mut Tables, until: Timestamp) -> Result<Option<usize>, StoreError> {
    let due: Option<(i64, Shape, i64, Vec<u8>)> = sql(tables
        .connection
        .prepare_cached(concat!(
            "SELECT trail, message_type, ttl_ms, dry_run, audience_kind, audience FROM scheduled",
            " WHERE due < ?1 ORDER BY due LIMIT 1"
        ))
        .and_then(|mut select| {
            select
                .query_row([until.as_ms()], |row| {
                    let shape = Shape {
                        message_type: message_type(row, 1)?,
                        ttl_ms: row.get(2)?,
                        dry_run: dry_run(row, 3)?,
                    };
                    Ok((row.get(0)?, shape, row.get(4)?, row.get(5)?))
                })
                .optional()
        }))?;
    let Some((seq, shape, kind, packed)) = due else { return Ok(None) };
    let audience = match kind {
        0 => Audience::Users(
            unpack_texts(&packed)
                .ok_or_else(corrupt)?
                .into_iter()
                .map(User::parse)
                .collect::<Result<_, _>>()
                .map_err(|_| corrupt())?,
        ),
        _ => Audience::Subscriptions(unpack_subscriptions(&packed).ok_or_else(corrupt)?),
    };
    gather_audience(tables, seq, &shape, &audience, until)?;
    tables.scheduled = tables.scheduled.saturating_sub(audience.len() as u64);
    sql(tables
        .connection
        .prepare_cached("DELETE FROM scheduled WHERE trail = ?1")
        .and_then(|mut delete| delete.execute([seq])))?;
    Ok(Some(audience.len()))
}

/// A gathered row, read.
struct Gathered {
    window_end: Timestamp,
    trail: Option<i64>,
    shape: Shape,
    set: Option<(i64, CredentialSet)>,
    topic: Option<Topic>,
    targets: Vec<u8>,
}

fn take_row(tables: &Tables, id: i64) -> rusqlite::Result<Gathered> {
    let row = tables
        .connection
        .prepare_cached(concat!(
            "SELECT g.window_end, g.trail, g.message_type, g.ttl_ms, g.dry_run, g.set_id, c.name,",
            " g.topic, g.targets FROM gathered g LEFT JOIN credential_sets c ON c.id = g.set_id",
            " WHERE g.id = ?1"
        ))?
        .query_row([id], |row| {
            Ok(Gathered {
                window_end: time(row, 0)?,
                trail: row.get(1)?,
                shape: Shape {
                    message_type: message_type(row, 2)?,
                    ttl_ms: row.get(3)?,
                    dry_run: dry_run(row, 4)?,
                },
                set: match row.get(5)? {
                    Some(id) => Some((id, credential_set(row, 6)?)),
                    None => None,
                },
                topic: topic(row, 7)?,
                targets: row.get(8)?,
            })
        })?;
    tables.connection.prepare_cached("DELETE FROM gathered WHERE id = ?1")?.execute([id])?;
    Ok(row)
}

/// Whom a wake-up is for.
enum Target<'a> {
    Token(&'a Token),
    Subscription(SubscriptionId),
}

fn expand_row(
    tables: &mut Tables,
    id: i64,
    sort_keys: &mut impl Iterator<Item = i64>,
    expanded: &mut Expanded,
) -> Result<(), StoreError> {
    let row = sql(take_row(tables, id))?;
    let (mut collapsed, mut cancelled) = (0_i64, 0_i64);
    let mut add = |tables: &Tables, set_id: i64, key: WakeupKey, target: Target<'_>| {
        let sort_key = sort_keys.next().unwrap_or_default();
        let made = insert(tables, &row, set_id, (key, sort_key), &target)?;
        if made {
            expanded.wakeups += 1;
        } else {
            collapsed += 1;
        }
        Ok::<(), rusqlite::Error>(())
    };
    let (kind, dry) = (&row.shape.message_type, row.shape.dry_run);
    if let Some((set_id, set)) = &row.set {
        for text in unpack_texts(&row.targets).ok_or_else(corrupt)? {
            let token = Token::parse(set.provider(), text).map_err(|_| corrupt())?;
            match sql(registered(tables, TokenKey::new(set.provider(), &token)))? {
                Some((subscription, set_id)) => {
                    let key = WakeupKey::for_subscription(subscription, kind, dry);
                    sql(add(tables, set_id, key, Target::Subscription(subscription)))?;
                }
                None => {
                    let key = WakeupKey::for_token(set, row.topic.as_ref(), &token, kind, dry);
                    sql(add(tables, *set_id, key, Target::Token(&token)))?;
                }
            }
        }
    } else {
        for subscription in unpack_subscriptions(&row.targets).ok_or_else(corrupt)? {
            match sql(set_of(tables, subscription))? {
                Some(set_id) => {
                    let key = WakeupKey::for_subscription(subscription, kind, dry);
                    sql(add(tables, set_id, key, Target::Subscription(subscription)))?;
                }
                // The device went between acceptance and the end of the window.
                None => cancelled += 1,
            }
        }
    }
    expanded.collapsed += collapsed.unsigned_abs();
    if collapsed > 0 {
        sql(tables.count(row.trail, Change::collapsed(collapsed)))?;
    }
    if cancelled > 0 {
        sql(tables.count(row.trail, Change::settled(Settled::Cancelled, cancelled)))?;
    }
    Ok(())
}

fn registered(tables: &Tables, key: TokenKey) -> rusqlite::Result<Option<(SubscriptionId, i64)>> {
    tables
        .connection
        .prepare_cached("SELECT id, set_id FROM subscriptions WHERE token_key = ?1")?
        .query_row([key.0], |row| Ok((subscription_id(row, 0)?, row.get(1)?)))
        .optional()
}

fn set_of(tables: &Tables, id: SubscriptionId) -> rusqlite::Result<Option<i64>> {
    tables
        .connection
        .prepare_cached("SELECT set_id FROM subscriptions WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()
}

/// Makes a wake-up, or prolongs the waiting one of the same key. Returns whether it made one.
fn insert(
    tables: &Tables,
    row: &Gathered,
    set_id: i64,
    (key, sort_key): (WakeupKey, i64),
    target: &Target<'_>,
) -> rusqlite::Result<bool> {
    let (subscription, token) = match target {
        Target::Token(token) => (None, Some(token.expose())),
        Target::Subscription(id) => (Some(id.as_bytes()), None),
    };
    let expires_at = row.window_end.as_ms().saturating_add(row.shape.ttl_ms);
    let made = tables
        .connection
        .prepare_cached(concat!(
            "INSERT OR IGNORE INTO wakeups (key, set_id, due_at, sort_key, lease, attempts, window_end,",
            " expires_at, dry_run, message_type, trail, subscription, topic, token)",
            " VALUES (?1, ?2, ?3, ?4, 0, 0, ?3, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            key.0,
            set_id,
            row.window_end.as_ms(),
            sort_key,
            expires_at,
            row.shape.dry_run == DryRun::Yes,
            row.shape.message_type.as_str(),
            row.trail,
            subscription,
            token.and(row.topic.as_ref()).map(Topic::as_str),
            token,
        ])?;
    if made == 0 {
        tables
            .connection
            // Where the device was registered with other credentials since, what it waited for is not theirs. A browser's keys may be newer.
            .prepare_cached(concat!(
                "UPDATE wakeups SET expires_at = MAX(expires_at, ?2), set_id = ?3,",
                " due_at = CASE set_id WHEN ?3 THEN due_at ELSE ?4 END, token = COALESCE(?5, token)",
                " WHERE key = ?1 AND lease = 0"
            ))?
            .execute(params![key.0, expires_at, set_id, row.window_end.as_ms(), token])?;
    }
    Ok(made > 0)
}
