//! Gathered targets become wake-ups.

use std::collections::BTreeMap;

use reveille_model::{
    CredentialSet, DryRun, Mixed, Settled, Spread, SubscriptionId, Timestamp, Token, Topic, User,
};
use reveille_store::tables::{Change, Entry, Kind, Shape, nth_id, nth_text};
use reveille_store::{Expanded, StoreError, TokenKey, WakeupKey};
use reveille_vault::Purpose;
use rusqlite::{OptionalExtension as _, Row, params};

use super::tables::{corrupt, sql};
use super::waiting::{self, head, waiting_with};
use crate::codec::{dry_run, message_type, seal_token, subscription_id, time, topic, user};
use crate::engine::Tables;

/// A gathered row, read.
struct Gathered {
    id: i64,
    window_end: Timestamp,
    trail: Option<i64>,
    shape: Shape,
    set_id: Option<i64>,
    topic: Option<Topic>,
    targets: Vec<u8>,
}

impl Gathered {
    fn read(tables: &Tables, id: i64) -> rusqlite::Result<Self> {
        tables
            .connection
            .prepare_cached(concat!(
                "SELECT window_end, trail, message_type, ttl_ms, dry_run, set_id, topic, targets",
                " FROM gathered WHERE id = ?1"
            ))?
            .query_row([id], |row| {
                Ok(Self {
                    id,
                    window_end: time(row, 0)?,
                    trail: row.get(1)?,
                    shape: Shape {
                        message_type: message_type(row, 2)?,
                        ttl_ms: row.get(3)?,
                        dry_run: dry_run(row, 4)?,
                    },
                    set_id: row.get(5)?,
                    topic: topic(row, 6)?,
                    targets: row.get(7)?,
                })
            })
    }
}

/// Whom a wake-up is for.
pub(crate) enum Target {
    Token(Token),
    Subscription(SubscriptionId),
}

/// What became of the targets of one trail.
#[derive(Debug, Clone, Copy, Default)]
struct Became {
    collapsed: i64,
    cancelled: i64,
}

/// Makes the wake-ups of some targets.
pub(super) fn expand(tables: &mut Tables, entries: &[Entry]) -> Result<Expanded, StoreError> {
    let mut expanded = Expanded::default();
    let mut became: BTreeMap<Option<i64>, Became> = BTreeMap::new();
    for entry in entries {
        let row = sql(Gathered::read(tables, entry.row()))?;
        let is_made = match target_of(tables, &row, entry.index())? {
            // The device went between acceptance and the end of the window, or its user has looked.
            Found::Gone => {
                became.entry(row.trail).or_default().cancelled += 1;
                continue;
            }
            Found::NextBeat => false,
            Found::Cohort(user) => {
                let cohorts = sql(tables.cohorts_for(&user))?.into_iter().collect();
                let joins = (&Spread::default(), row.window_end);
                sql(tables.wake_cohorts((&cohorts, row.shape.dry_run), joins))?;
                false
            }
            Found::Wake(set_id, key, target) => {
                let to_wake = ToWake {
                    shape: &row.shape,
                    window_end: row.window_end,
                    trail: row.trail,
                    topic: row.topic.as_ref(),
                    set_id,
                    key,
                    sort_key: entry.sort_key,
                    target,
                };
                sql(wake(tables, &to_wake))?
            }
        };
        if is_made {
            expanded.wakeups += 1;
        } else {
            expanded.collapsed += 1;
            became.entry(row.trail).or_default().collapsed += 1;
        }
    }
    for (trail, Became { collapsed, cancelled }) in became {
        if collapsed > 0 {
            sql(tables.count(trail, Change::collapsed(collapsed)))?;
        }
        if cancelled > 0 {
            sql(tables.count(trail, Change::settled(Settled::Cancelled, cancelled)))?;
        }
    }
    Ok(expanded)
}

/// Whom the target of a row stands for now.
enum Found {
    /// Somebody, with these credentials.
    Wake(i64, WakeupKey, Target),
    /// A device that has been sealed since: it is woken with the others that are.
    NextBeat,
    /// A device that is woken with its user's cohort since.
    Cohort(User),
    /// Its subscription is gone, or its user has looked.
    Gone,
}

impl Found {
    /// What becomes of a registered device.
    fn registered(tables: &Tables, row: &Gathered, device: &Registered) -> Self {
        let Registered { id, set_id, .. } = *device;
        // Sealed devices on their beat, and decoys, belong to no request.
        let kind = Kind { set_id, is_sealed: device.is_sealed };
        let is_company = row.trail.is_none() && row.set_id.is_none();
        let mixed = tables.mixed(kind);
        if !is_company && mixed == Mixed::Sealed {
            Self::NextBeat
        } else if !is_company && mixed == Mixed::Cohort {
            Self::Cohort(device.user.clone())
        } else if !is_company && device.has_looked(row) {
            Self::Gone
        } else {
            let key = WakeupKey::for_subscription(id, &row.shape.message_type, row.shape.dry_run);
            Self::Wake(set_id, key, Target::Subscription(id))
        }
    }
}

fn target_of(tables: &mut Tables, row: &Gathered, index: usize) -> Result<Found, StoreError> {
    let Some(set_id) = row.set_id else {
        let id = nth_id(&row.targets, index).map(SubscriptionId::from_bytes).ok_or_else(corrupt)?;
        let device = sql(device_of(tables, id))?;
        return Ok(match device {
            Some(device) => Found::registered(tables, row, &device),
            None => Found::Gone,
        });
    };
    let set: CredentialSet = sql(tables.set_of(set_id))?;
    let opened = tables.vault.open(Purpose::Targets, &row.targets).ok_or_else(corrupt)?;
    let text = nth_text(&opened, index).ok_or_else(corrupt)?;
    let token = Token::parse(set.provider(), text).map_err(|_| corrupt())?;
    let token_key = tables.token_key(set.provider(), &token);
    Ok(match sql(subscription_of(tables, token_key))? {
        Some(device) => Found::registered(tables, row, &device),
        None => {
            let (kind, dry_run) = (&row.shape.message_type, row.shape.dry_run);
            let key = WakeupKey::for_token(token_key, row.topic.as_ref(), kind, dry_run);
            Found::Wake(set_id, key, Target::Token(token))
        }
    })
}

/// A registered device.
struct Registered {
    id: SubscriptionId,
    set_id: i64,
    /// Up to which gathered row its user has looked.
    fetched_until: i64,
    is_sealed: bool,
    user: User,
}

impl Registered {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: subscription_id(row, 0)?,
            set_id: row.get(1)?,
            fetched_until: row.get(2)?,
            is_sealed: row.get(3)?,
            user: user(row, 4)?,
        })
    }

    fn has_looked(&self, row: &Gathered) -> bool {
        row.id <= self.fetched_until
    }
}

fn subscription_of(tables: &Tables, key: TokenKey) -> rusqlite::Result<Option<Registered>> {
    tables
        .connection
        .prepare_cached(concat!(
            "SELECT id, set_id, fetched_until, sealed + unsealing, user_name FROM subscriptions",
            " WHERE token_key = ?1"
        ))?
        .query_row([key.0], Registered::read)
        .optional()
}

fn device_of(tables: &Tables, id: SubscriptionId) -> rusqlite::Result<Option<Registered>> {
    tables
        .connection
        .prepare_cached(concat!(
            "SELECT id, set_id, fetched_until, sealed + unsealing, user_name FROM subscriptions",
            " WHERE id = ?1"
        ))?
        .query_row([id.as_bytes()], Registered::read)
        .optional()
}

/// A wake-up to be made.
pub(crate) struct ToWake<'a> {
    shape: &'a Shape,
    window_end: Timestamp,
    trail: Option<i64>,
    topic: Option<&'a Topic>,
    set_id: i64,
    key: WakeupKey,
    sort_key: i64,
    target: Target,
}

impl<'a> ToWake<'a> {
    /// One that nothing has caused, or nobody knows whether something has.
    pub(crate) fn company(
        shape: &'a Shape,
        window_end: Timestamp,
        (set_id, key, sort_key): (i64, WakeupKey, i64),
        device: SubscriptionId,
    ) -> Self {
        let target = Target::Subscription(device);
        Self { shape, window_end, trail: None, topic: None, set_id, key, sort_key, target }
    }
}

/// Makes a wake-up, or prolongs the waiting one of the same key. Returns whether it made one.
pub(crate) fn wake(tables: &mut Tables, to_wake: &ToWake<'_>) -> rusqlite::Result<bool> {
    let ToWake { shape, set_id, key, sort_key, .. } = *to_wake;
    let (subscription, token) = match &to_wake.target {
        Target::Token(token) => (None, Some(seal_token(&tables.vault, token))),
        Target::Subscription(id) => (Some(id.as_bytes()), None),
    };
    let due_at = to_wake.window_end.as_ms();
    let expires_at = due_at.saturating_add(shape.ttl_ms);
    if let Some(waiting) = waiting_with(tables, key)? {
        prolong(tables, waiting, (set_id, due_at, expires_at), token.as_deref())?;
        return Ok(false);
    }
    let id = tables
        .connection
        .prepare_cached(concat!(
            "INSERT INTO wakeups (key, set_id, due_at, sort_key, attempts, window_end, expires_at,",
            " dry_run, message_type, trail, subscription, topic, token)",
            " VALUES (?1, ?2, ?3, ?4, 0, ?3, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .insert(params![
            key.0,
            set_id,
            due_at,
            sort_key,
            expires_at,
            shape.dry_run == DryRun::Yes,
            shape.message_type.as_str(),
            to_wake.trail,
            subscription,
            token.as_ref().and(to_wake.topic).map(Topic::as_str),
            token,
        ])?;
    tables.waiting.insert(head(key), id);
    tables.lower_cursor(set_id, (due_at, sort_key));
    Ok(true)
}

/// Lets another target join a waiting wake-up.
fn prolong(
    tables: &mut Tables,
    waiting: waiting::Row,
    (set_id, due_at, expires_at): (i64, i64, i64),
    token: Option<&[u8]>,
) -> rusqlite::Result<()> {
    // Where the device was registered with other credentials since, what it waited for is not theirs.
    let due_at = if waiting.set_id == set_id { waiting.due_at } else { due_at };
    tables
        .connection
        // A browser's keys may be newer.
        .prepare_cached(concat!(
            "UPDATE wakeups SET expires_at = MAX(expires_at, ?2), set_id = ?3, due_at = ?4,",
            " token = COALESCE(?5, token) WHERE id = ?1"
        ))?
        .execute(params![waiting.id, expires_at, set_id, due_at, token])?;
    tables.lower_cursor(set_id, (due_at, waiting.sort_key));
    Ok(())
}
