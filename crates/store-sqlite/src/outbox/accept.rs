//! Taking responsibility.

use std::collections::BTreeSet;

use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    Audience, CredentialSet, DryRun, Mixed, NewSubscription, Notification, NotificationId, Settled,
    Spread, SubscriptionId, Timestamp, Token, Topic, User,
};
use reveille_store::tables::{
    Change, Kind, Shape, fitting, pack_ids, pack_numbers, pack_texts, unpack_notifications,
};
use reveille_store::{
    AcceptError, Acceptance, Accepted, Idempotency, Item, StoreError, TokenMessage,
};
use reveille_vault::{BlindKey, Purpose, Vault};
use rusqlite::{OptionalExtension as _, params};

use super::audience::{Answered, Conditions, Gathered, ask_audience, gather_audience};
use super::tables::{corrupt, sql};
use crate::engine::Tables;
use crate::inbox::ToDeliver;

/// How much of a gathered row targets fill: with the rest of it, one page of 4 KiB.
pub(super) const ROW_BYTES: usize = 3_800;

/// What of an item is secret, sealed.
pub(super) enum Sealed {
    /// The tokens it names, as gathered rows.
    Tokens(Vec<SealedRow>),
    /// Its content.
    Content(Option<Vec<u8>>),
}

/// The tokens of one gathered row.
pub(super) struct SealedRow {
    count: usize,
    targets: Vec<u8>,
}

/// Packs and seals what is secret of each item, before the writer has it.
pub(super) fn seal(vault: &Vault, items: &[Item]) -> Vec<Sealed> {
    let seal_one = |item: &Item| match item {
        Item::Notification(Notification { content, .. }) => Sealed::Content(
            content.as_ref().map(|json| vault.seal(Purpose::Content, json.expose().as_bytes())),
        ),
        Item::Tokens(message) => Sealed::Tokens(seal_tokens(vault, &message.tokens)),
    };
    items.iter().map(seal_one).collect()
}

fn seal_tokens(vault: &Vault, tokens: &[Token]) -> Vec<SealedRow> {
    let seal_row = |tokens: &[Token]| {
        let packed = pack_texts(tokens.iter().map(Token::expose));
        SealedRow { count: tokens.len(), targets: vault.seal(Purpose::Targets, &packed) }
    };
    fitting(tokens, ROW_BYTES, Token::expose).map(seal_row).collect()
}

/// `sealed` has what is secret of each item.
pub(super) fn accept(
    tables: &mut Tables,
    acceptance: Acceptance,
    sealed: Vec<Sealed>,
) -> Result<Accepted, AcceptError> {
    if let Some(idempotency) = acceptance.idempotency
        && let Some(ids) = repeated(tables, idempotency)?
    {
        return Ok(Accepted::Repeated { ids });
    }
    if acceptance.window_end.as_ms() <= tables.closed_until {
        let closed_until = Timestamp::from_ms(tables.closed_until);
        return Err(AcceptError::WindowClosed { closed_until, acceptance: Box::new(acceptance) });
    }
    if tables.ledger.waiting + tables.scheduled >= acceptance.waiting_max {
        return Err(AcceptError::Full);
    }
    let (mut ids, mut wakeups, mut muted) = (Vec::new(), 0, 0);
    let times = (acceptance.now, acceptance.window_end);
    for (item, sealed) in acceptance.items.into_iter().zip(sealed) {
        match (item, sealed) {
            (Item::Tokens(mut message), _) if tables.cohort_sizes().is_some() => {
                let (alone, marked) = accept_company_tokens(tables, &message, times)?;
                let rows = seal_tokens(&tables.vault, &alone);
                message.tokens = alone;
                wakeups += marked + accept_tokens(tables, &message, rows, times.1)?;
            }
            (Item::Tokens(message), Sealed::Tokens(rows)) => {
                wakeups += accept_tokens(tables, &message, rows, times.1)?;
            }
            (Item::Notification(notification), Sealed::Content(content)) => {
                ids.push(notification.id);
                let gathered = accept_notification(tables, &notification, content, times)?;
                wakeups += gathered.wakeups;
                muted += gathered.muted;
            }
            // Each is sealed as what it is.
            _ => return Err(corrupt().into()),
        }
    }
    if let Some(Idempotency { key, body }) = acceptance.idempotency {
        let packed = pack_ids(ids.iter().map(|id| *id.as_bytes()));
        let insert = "INSERT INTO idempotency (key, body, ids, at) VALUES (?1, ?2, ?3, ?4)";
        sql(tables.connection.prepare_cached(insert).and_then(|mut insert| {
            insert.execute(params![key, body, packed, acceptance.now.as_ms()])
        }))?;
    }
    Ok(Accepted::New { ids, wakeups, muted })
}

fn repeated(
    tables: &Tables,
    idempotency: Idempotency,
) -> Result<Option<Vec<NotificationId>>, AcceptError> {
    let known: Option<([u8; 32], Vec<u8>)> = sql(tables
        .connection
        .prepare_cached("SELECT body, ids FROM idempotency WHERE key = ?1")
        .and_then(|mut select| {
            select.query_row([idempotency.key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        }))?;
    match known {
        None => Ok(None),
        Some((body, _)) if body != idempotency.body => Err(AcceptError::KeyReused),
        Some((_, packed)) => Ok(Some(unpack_notifications(&packed).ok_or_else(corrupt)?)),
    }
}

fn accept_tokens(
    tables: &mut Tables,
    message: &TokenMessage,
    rows: Vec<SealedRow>,
    window_end: Timestamp,
) -> Result<u64, StoreError> {
    let count = message.tokens.len();
    let set_id = sql(tables.set_id(&message.set))?;
    for row in rows {
        let id = tables.next_gathered();
        let mut insert = sql(tables.connection.prepare_cached(concat!(
            "INSERT INTO gathered (id, window_end, message_type, ttl_ms, dry_run, set_id, topic,",
            " count, targets) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        )))?;
        sql(insert.execute(params![
            id,
            window_end.as_ms(),
            message.message_type.as_str(),
            message.ttl.as_ms().cast_signed(),
            message.dry_run == DryRun::Yes,
            set_id,
            message.topic.as_ref().map(Topic::as_str),
            row.count,
            row.targets,
        ]))?;
    }
    let unusable = i64::from(message.unusable);
    let usable = i64::try_from(count).unwrap_or(i64::MAX);
    sql(tables.count(None, Change::accepted(usable + unusable)))?;
    sql(tables.count(None, Change::settled(Settled::PayloadError, unusable)))?;
    Ok(count as u64)
}

/// Finds out whose tokens these are, so that their users are woken as a whole. Those nobody has registered belong to one who has no name; those
/// whose devices are in no cohort are returned.
fn accept_company_tokens(
    tables: &mut Tables,
    message: &TokenMessage,
    (now, window_end): (Timestamp, Timestamp),
) -> Result<(Vec<Token>, u64), StoreError> {
    let set_id = sql(tables.set_id(&message.set))?;
    let is_silent = tables.mixed(Kind { set_id, is_sealed: false }) == Mixed::Cohort;
    let (mut users, mut fresh, mut alone) = (BTreeSet::new(), Vec::new(), Vec::new());
    for token in &message.tokens {
        let key = tables.token_key(message.set.provider(), token);
        match sql(tables.owner_and_kind(key))? {
            Some((owner, kind)) if tables.mixed(kind) == Mixed::Cohort => {
                users.insert(owner);
            }
            None if is_silent => fresh.push(token.clone()),
            _ => alone.push(token.clone()),
        }
    }
    if message.dry_run == DryRun::Yes {
        // Whoever only asks registers nobody.
        let count = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
        sql(tables.count(None, Change::accepted(count)))?;
        sql(tables.count(None, Change::settled(Settled::DryRun, count)))?;
        fresh.clear();
    }
    sql(register_unnamed(tables, message, (&fresh, &mut users), now))?;
    let mut cohorts = BTreeSet::new();
    for user in &users {
        cohorts.extend(sql(tables.cohorts_for(user))?);
    }
    let marked =
        sql(tables.wake_cohorts((&cohorts, message.dry_run), (&Spread::default(), window_end)))?;
    Ok((alone, marked))
}

/// Tokens that came together, or with those of one who has no name, are one's.
fn register_unnamed(
    tables: &mut Tables,
    message: &TokenMessage,
    (fresh, users): (&[Token], &mut BTreeSet<User>),
    now: Timestamp,
) -> rusqlite::Result<()> {
    if fresh.is_empty() {
        return Ok(());
    }
    let only = users.first().filter(|only| users.len() == 1 && only.is_unnamed()).cloned();
    let joined = match only {
        Some(only) => {
            let known: usize = tables
                .connection
                .prepare_cached("SELECT COUNT(*) FROM subscriptions WHERE user_name = ?1")?
                .query_row([only.expose()], |row| row.get(0))?;
            Some(only).filter(|_| known + fresh.len() <= SUBSCRIPTIONS_PER_USER_MAX)
        }
        None => None,
    };
    for tokens in fresh.chunks(SUBSCRIPTIONS_PER_USER_MAX) {
        let user = joined.clone().unwrap_or_else(|| User::unnamed(random_16()));
        for token in tokens {
            let new = NewSubscription {
                user: user.clone(),
                set: message.set.clone(),
                topic: message.topic.clone(),
                token: token.clone(),
            };
            tables.put(new, SubscriptionId::from_bytes(random_16()), usize::MAX, now)?;
        }
        users.insert(user);
    }
    tables.enrol_changed()
}

fn random_16() -> [u8; 16] {
    BlindKey::fresh().first_chunk().copied().unwrap_or_default()
}

fn accept_notification(
    tables: &mut Tables,
    notification: &Notification,
    content: Option<Vec<u8>>,
    (now, window_end): (Timestamp, Timestamp),
) -> Result<Gathered, StoreError> {
    let scheduled_for = notification.deliver_after.filter(|due| *due >= window_end);
    let seq = sql(tables
        .connection
        .prepare_cached("INSERT INTO trails (id, deliver_after, last_window) VALUES (?1, ?2, ?3)")
        .and_then(|mut insert| {
            insert.insert(params![
                notification.id.as_bytes(),
                notification.deliver_after.map(Timestamp::as_ms),
                scheduled_for.unwrap_or(window_end).as_ms(),
            ])
        }))?;
    let shape = Shape {
        message_type: notification.message_type.clone(),
        ttl_ms: notification.ttl.as_ms().cast_signed(),
        dry_run: notification.dry_run,
    };
    let Notification { id, event_type, policy, audience, spread, .. } = notification;
    let conditions = Conditions { event_type, policy: *policy, now };
    match scheduled_for {
        // Nobody's name waits here, but where there is something for their inbox.
        Some(due) if tables.cohort_sizes().is_some() && content.is_none() => {
            let asked = (Some(&conditions), None);
            let mut answered = sql(ask_audience(tables, &shape, audience, asked))?;
            sql(tables.count_gathered(seq, 0, answered.limited))?;
            answered.devices.append(&mut answered.sealed);
            let muted = answered.muted;
            sql(schedule(tables, (seq, due), &shape, (notification, ToKeep::Found(&answered))))?;
            Ok(Gathered { wakeups: 0, muted })
        }
        Some(due) => {
            let kept = ToKeep::Named(content);
            sql(schedule(tables, (seq, due), &shape, (notification, kept)))?;
            Ok(Gathered::default())
        }
        None => {
            let deliver = content.as_deref();
            let deliver = deliver.map(|sealed| ToDeliver { id: *id, event_type, at: now, sealed });
            let asked = (Some(&conditions), deliver.as_ref());
            gather_audience(tables, (seq, &shape), audience, asked, (spread, window_end))
        }
    }
}

/// The kind of audience that is scheduled as cohorts and subscriptions.
pub(super) const FOUND: i64 = 2;

/// What is kept of whom a scheduled notification is for.
enum ToKeep<'a> {
    /// Whom its caller named, and what there is for their inboxes.
    Named(Option<Vec<u8>>),
    /// Whom it wakes.
    Found(&'a Answered),
}

fn schedule(
    tables: &mut Tables,
    (seq, due): (i64, Timestamp),
    shape: &Shape,
    (notification, to_keep): (&Notification, ToKeep<'_>),
) -> rusqlite::Result<()> {
    let Notification { audience, event_type, policy, .. } = notification;
    let ids = |ids: &mut dyn Iterator<Item = &SubscriptionId>| {
        pack_ids(&mut ids.map(|id| *id.as_bytes()))
    };
    let (kind, packed, named, cohorts, content) = match (to_keep, audience) {
        (ToKeep::Found(answered), _) => {
            let cohorts = pack_numbers(answered.cohorts.iter().copied());
            let named = answered.cohorts.len() + answered.devices.len();
            (FOUND, ids(&mut answered.devices.iter()), named, cohorts, None)
        }
        (ToKeep::Named(content), Audience::Users(users)) => {
            let packed = pack_texts(users.iter().map(User::expose));
            (0, packed, audience.len(), Vec::new(), content)
        }
        (ToKeep::Named(content), Audience::Subscriptions(named)) => {
            (1, ids(&mut named.iter()), audience.len(), Vec::new(), content)
        }
    };
    tables
        .connection
        .prepare_cached(concat!(
            "INSERT INTO scheduled (trail, due, message_type, ttl_ms, dry_run, audience_kind, audience,",
            " named, event_type, wakes, limit_count, limit_per_ms, content, cohorts, since, spread)",
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
        ))?
        .execute(params![
            seq,
            due.as_ms(),
            shape.message_type.as_str(),
            shape.ttl_ms,
            shape.dry_run == DryRun::Yes,
            kind,
            packed,
            named,
            event_type.as_str(),
            policy.wakes,
            policy.limit.map(|limit| limit.count),
            policy.limit.map(|limit| limit.per.as_ms().cast_signed()),
            content,
            cohorts,
            tables.closed_until,
            pack_numbers(notification.spread.0.iter().map(|end| end.as_ms())),
        ])?;
    tables.scheduled += named as u64;
    Ok(())
}

/// Lets another credential set have what waits for a topic.
pub(super) fn adopt(
    tables: &mut Tables,
    from: &CredentialSet,
    topic: &Topic,
    to: &CredentialSet,
) -> rusqlite::Result<u64> {
    let (from, to) = (tables.set_id(from)?, tables.set_id(to)?);
    let gathered: i64 = tables
        .connection
        .prepare_cached(
            "SELECT COALESCE(SUM(count), 0) FROM gathered WHERE set_id = ?1 AND topic = ?2",
        )?
        .query_row(params![from, topic.as_str()], |row| row.get(0))?;
    tables
        .connection
        .prepare_cached("UPDATE gathered SET set_id = ?3 WHERE set_id = ?1 AND topic = ?2")?
        .execute(params![from, topic.as_str(), to])?;
    let wakeups = tables
        .connection
        .prepare_cached("UPDATE wakeups SET set_id = ?3 WHERE set_id = ?1 AND topic = ?2")?
        .execute(params![from, topic.as_str(), to])?;
    tables.cursors.remove(&to);
    Ok(gathered.cast_unsigned() + wakeups as u64)
}
