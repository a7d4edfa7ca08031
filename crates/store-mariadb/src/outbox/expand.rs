//! Gathered targets become wake-ups.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{
    CredentialSet, Mixed, Settled, Spread, SubscriptionId, Timestamp, Token, Topic, User,
};
use reveille_store::tables::{Change, Entry, Kind, Shape, nth_id, nth_text, unpack_numbers};
use reveille_store::{Expanded, TokenKey, WakeupKey};
use reveille_vault::Purpose;
use sqlx::mysql::MySqlRow;

use super::place::fetched;
use super::waking::{Target, ToWake, wake_all};
use crate::codec::{
    array, bytes, dry_run, flag, message_type, number, optional_number, subscription_id, time,
    topic, user,
};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::rows::{listing, padded};
use crate::statement::query;

/// A gathered row, read.
struct Gathered {
    place: i64,
    window_end: Timestamp,
    trail: Option<i64>,
    shape: Shape,
    /// Where its targets are tokens: their credentials.
    set: Option<(i64, CredentialSet)>,
    topic: Option<Topic>,
    targets: Vec<u8>,
}

/// A registered device.
struct Registered {
    id: SubscriptionId,
    set_id: i64,
    /// Up to which gathered row of each lane its user has looked.
    fetched: Vec<i64>,
    is_sealed: bool,
    user: User,
}

/// Whom a target names.
enum Named {
    Subscription(SubscriptionId),
    Token(TokenKey, Token),
}

/// Whom a target stands for now.
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

/// What became of the targets of one trail.
#[derive(Debug, Clone, Copy, Default)]
struct Became {
    collapsed: i64,
    cancelled: i64,
}

/// Makes the wake-ups of some targets.
pub(super) async fn expand(tables: &mut Tables<'_>, entries: &[Entry]) -> Done<Expanded> {
    let rows = read_rows(tables, entries).await?;
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        let row = rows.get(&entry.row()).ok_or_else(corrupt)?;
        named.push((entry, row, name(tables, row, entry.index())?));
    }
    let devices = Devices::find(tables, named.iter().map(|(_, _, named)| named)).await?;
    let (mut expanded, mut became) = (Expanded::default(), BTreeMap::<Option<i64>, Became>::new());
    let mut to_wake = Vec::with_capacity(named.len());
    for (entry, row, named) in named {
        match devices.found(tables, row, named) {
            Found::Gone => became.entry(row.trail).or_default().cancelled += 1,
            Found::NextBeat => {
                expanded.collapsed += 1;
                became.entry(row.trail).or_default().collapsed += 1;
            }
            Found::Cohort(user) => {
                // Nobody goes to another one while it is marked, or their mark would stay behind.
                tables.take_members_turn().await?;
                let cohorts = tables.cohorts_of(std::slice::from_ref(&user)).await?;
                let cohorts: Vec<i64> = cohorts.into_values().flatten().collect();
                let joins = (&Spread::default(), row.window_end);
                tables.wake_cohorts((&cohorts, row.shape.dry_run), joins).await?;
                expanded.collapsed += 1;
                became.entry(row.trail).or_default().collapsed += 1;
            }
            Found::Wake(set_id, key, target) => to_wake.push(ToWake {
                shape: row.shape.clone(),
                window_end: row.window_end,
                trail: row.trail,
                topic: row.topic.clone(),
                set_id,
                key,
                sort_key: entry.sort_key,
                target,
            }),
        }
    }
    let made = wake_all(tables, &to_wake).await?;
    for (to_wake, is_made) in to_wake.iter().zip(made) {
        if is_made {
            expanded.wakeups += 1;
        } else {
            expanded.collapsed += 1;
            became.entry(to_wake.trail).or_default().collapsed += 1;
        }
    }
    for (trail, Became { collapsed, cancelled }) in became {
        tables.count(trail, Change::collapsed(collapsed));
        tables.count(trail, Change::settled(Settled::Cancelled, cancelled));
    }
    Ok(expanded)
}

async fn read_rows(tables: &mut Tables<'_>, entries: &[Entry]) -> Done<BTreeMap<i64, Gathered>> {
    let places: BTreeSet<i64> = entries.iter().map(|entry| entry.row()).collect();
    let places = padded(places);
    let sql = concat!(
        "SELECT place, window_end, trail, message_type, ttl_ms, dry_run, set_id, topic, targets",
        " FROM gathered WHERE place IN ({})"
    );
    let mut select = query(listing(sql, "?", places.len()));
    for place in &places {
        select = select.bind(place);
    }
    let mut rows = BTreeMap::new();
    for row in tables.all(select).await? {
        let gathered = read_row(tables, &row).await?;
        rows.insert(gathered.place, gathered);
    }
    Ok(rows)
}

async fn read_row(tables: &Tables<'_>, row: &MySqlRow) -> Done<Gathered> {
    let packed = bytes(row, 8)?;
    let (set, targets) = match optional_number(row, 6)? {
        Some(set_id) => {
            let opened = tables.vault().open(Purpose::Targets, &packed).ok_or_else(corrupt)?;
            (Some((set_id, tables.set_of(set_id).await?)), opened)
        }
        None => (None, packed),
    };
    Ok(Gathered {
        place: number(row, 0)?,
        window_end: time(row, 1)?,
        trail: optional_number(row, 2)?,
        shape: Shape {
            message_type: message_type(row, 3)?,
            ttl_ms: number(row, 4)?,
            dry_run: dry_run(row, 5)?,
        },
        set,
        topic: topic(row, 7)?,
        targets,
    })
}

/// Whom the target of a row names.
fn name(tables: &Tables<'_>, row: &Gathered, index: usize) -> Done<Named> {
    let Some((_, set)) = &row.set else {
        let id = nth_id(&row.targets, index).map(SubscriptionId::from_bytes);
        return id.map(Named::Subscription).ok_or_else(corrupt);
    };
    let text = nth_text(&row.targets, index).ok_or_else(corrupt)?;
    let token = Token::parse(set.provider(), text).map_err(|_| corrupt())?;
    Ok(Named::Token(tables.token_key(set.provider(), &token), token))
}

/// The devices that targets stand for.
struct Devices {
    by_id: BTreeMap<SubscriptionId, Registered>,
    by_token: BTreeMap<TokenKey, Registered>,
}

impl Devices {
    async fn find(tables: &mut Tables<'_>, named: impl Iterator<Item = &Named>) -> Done<Self> {
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for each in named {
            match each {
                Named::Subscription(id) => ids.insert(*id.as_bytes()),
                Named::Token(key, _) => keys.insert(key.0),
            };
        }
        let by_id = read_devices(tables, "id", ids).await?;
        let by_token = read_devices(tables, "token_key", keys).await?;
        Ok(Self {
            by_id: by_id.into_iter().map(|(_, device)| (device.id, device)).collect(),
            by_token: by_token.into_iter().map(|(key, device)| (TokenKey(key), device)).collect(),
        })
    }

    fn found(&self, tables: &Tables<'_>, row: &Gathered, named: Named) -> Found {
        match named {
            Named::Subscription(id) => {
                self.by_id.get(&id).map_or(Found::Gone, |device| registered(tables, row, device))
            }
            Named::Token(key, token) => match (self.by_token.get(&key), &row.set) {
                (Some(device), _) => registered(tables, row, device),
                (None, Some((set_id, _))) => {
                    let (kind, dry_run) = (&row.shape.message_type, row.shape.dry_run);
                    let wakeup = WakeupKey::for_token(key, row.topic.as_ref(), kind, dry_run);
                    Found::Wake(*set_id, wakeup, Target::Token(token))
                }
                (None, None) => Found::Gone,
            },
        }
    }
}

/// What becomes of a registered device.
fn registered(tables: &Tables<'_>, row: &Gathered, device: &Registered) -> Found {
    let Registered { id, set_id, is_sealed, .. } = *device;
    // Sealed devices on their beat, and decoys, belong to no request.
    let is_company = row.trail.is_none() && row.set.is_none();
    match tables.mixed(Kind { set_id, is_sealed }) {
        Mixed::Sealed if !is_company => Found::NextBeat,
        Mixed::Cohort if !is_company => Found::Cohort(device.user.clone()),
        _ if !is_company && fetched(&device.fetched, row.place) => Found::Gone,
        _ => {
            let key = WakeupKey::for_subscription(id, &row.shape.message_type, row.shape.dry_run);
            Found::Wake(set_id, key, Target::Subscription(id))
        }
    }
}

async fn read_devices(
    tables: &mut Tables<'_>,
    by: &str,
    wanted: BTreeSet<[u8; 16]>,
) -> Done<Vec<([u8; 16], Registered)>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = padded(wanted);
    let sql = format!(
        "SELECT {by}, id, set_id, fetched, on_beat, user_name FROM subscriptions WHERE {by} IN ({{}})"
    );
    let mut select = query(listing(&sql, "?", wanted.len()));
    for each in &wanted {
        select = select.bind(each.as_slice());
    }
    let mut found = Vec::new();
    for row in tables.all(select).await? {
        let device = Registered {
            id: subscription_id(&row, 1)?,
            set_id: number(&row, 2)?,
            fetched: unpack_numbers(&bytes(&row, 3)?).ok_or_else(corrupt)?,
            is_sealed: flag(&row, 4)?,
            user: user(&row, 5)?,
        };
        found.push((array(&row, 0)?, device));
    }
    Ok(found)
}
