//! Taking wake-ups for a while. It is written down who has them, and until when: from then on they are due again, for anybody.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::limits::CLAIM_MAX;
use reveille_model::{
    CredentialSet, DryRun, Duration, MessageType, Nonce, Settled, SubscriptionId, Timestamp, Token,
    Topic, WakeupId,
};
use reveille_store::{Claim, Claimed, Device, WakeupKey};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlRow;

use super::doubtful::give_back;
use super::returning::{Joining, join_all};
use super::settle::{Ended, end_all, note_expired};
use super::waiting::{make_room, waiting_with};
use crate::codec::{
    array, dry_run, flag, message_type, number, open_token, optional_array, optional_bytes,
    optional_number, subscription_id, time, token, topic,
};
use crate::engine::{NOW_US, Tables};
use crate::error::{Done, corrupt};
use crate::rows::{chunks, known_rows, listing, padded};
use crate::statement::query;
use crate::suspects::Held;

/// What another node should have taken is anybody's after so long.
const OVERDUE: Duration = Duration::from_s(2);

/// A due wake-up, read.
struct Candidate {
    id: i64,
    key: WakeupKey,
    due: Timestamp,
    sort_key: i64,
    /// Whether it was in flight, under a lease that ran out.
    ran_out: bool,
    attempts: u32,
    window_end: Timestamp,
    expires_at: Timestamp,
    dry_run: DryRun,
    message_type: MessageType,
    trail: Option<i64>,
    subscription: Option<SubscriptionId>,
    topic: Option<Topic>,
    token: Option<Vec<u8>>,
    nonce: Option<Nonce>,
    held: Option<[u8; 16]>,
    /// Whether no other one of its key has come to wait meanwhile.
    has_place: bool,
}

const COLUMNS: &str = concat!(
    "id, wake_key, due_at, sort_key, lease, attempts, window_end, expires_at, dry_run, message_type,",
    " trail, subscription, topic, token, nonce, held, waiting_key IS NOT NULL"
);

fn read(row: &MySqlRow) -> Result<Candidate, sqlx::Error> {
    Ok(Candidate {
        id: number(row, 0)?,
        key: WakeupKey(array(row, 1)?),
        due: time(row, 2)?,
        sort_key: number(row, 3)?,
        ran_out: number(row, 4)? != 0,
        attempts: u32::try_from(number(row, 5)?).unwrap_or(u32::MAX),
        window_end: time(row, 6)?,
        expires_at: time(row, 7)?,
        dry_run: dry_run(row, 8)?,
        message_type: message_type(row, 9)?,
        trail: optional_number(row, 10)?,
        subscription: optional_array(row, 11)?.map(SubscriptionId::from_bytes),
        topic: topic(row, 12)?,
        token: optional_bytes(row, 13)?,
        nonce: optional_array(row, 14)?.map(Nonce::from_bytes),
        held: optional_array(row, 15)?,
        has_place: flag(row, 16)?,
    })
}

/// A registered device's address.
struct Address {
    token: Token,
    topic: Option<Topic>,
    generation: u32,
}

pub(super) async fn claim(tables: &mut Tables<'_>, claim: &Claim) -> Done<Vec<Claimed>> {
    let set_id = tables.set_id(&claim.set).await?;
    give_back(tables, set_id, claim).await?;
    let due = find_due(tables, set_id, claim).await?;
    let due = join_those_that_ran_out(tables, due).await?;
    let addresses = addresses(tables, &claim.set, &due).await?;
    let mut held = tables.held().await?;
    let (mut claimed, mut ended, mut taken, mut put_off) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for due in due {
        if due.expires_at <= claim.now {
            note_expired(tables, &[(due.subscription, due.attempts, due.trail)]).await?;
            ended.push(Ended { id: due.id, trail: due.trail, how: Settled::Expired });
            continue;
        }
        let Some((token, topic, device)) = address(tables, &claim.set, &due, &addresses)? else {
            ended.push(Ended { id: due.id, trail: due.trail, how: Settled::Cancelled });
            continue;
        };
        // A push that asks for a proof is no try of whoever else has the token.
        let hold = match due.nonce {
            Some(_) => Held::Not,
            None => held.try_one(tables, (&claim.set, &token), (claim.now, claim.hold)).await?,
        };
        let tries = match hold {
            Held::Not => None,
            Held::Try(key) => Some(key.0),
            Held::Until(key, until) => {
                put_off.push((due.id, due.key, key.0, until, due.has_place));
                continue;
            }
        };
        taken.push((due.id, tries));
        claimed.push(Claimed {
            id: WakeupId(due.id),
            lease: claim.lease,
            token,
            topic,
            message_type: due.message_type,
            dry_run: due.dry_run,
            nonce: due.nonce,
            attempts: due.attempts,
            window_end: due.window_end,
            expires_at: due.expires_at,
            sort_key: due.sort_key,
            device,
        });
    }
    end_all(tables, &ended).await?;
    put_off_all(tables, &put_off).await?;
    take_all(tables, &taken, claim).await?;
    Ok(claimed)
}

/// What is due, first those due first: of our own parts, and of others' what should have left by now. What others are claiming at this moment is passed over.
async fn find_due(tables: &mut Tables<'_>, set_id: i64, claim: &Claim) -> Done<Vec<Candidate>> {
    let limit = claim.limit.min(CLAIM_MAX);
    let (ours, others) = tables.engine.node.share().parts();
    let mut due = Vec::new();
    for part in ours {
        due.extend(due_in(tables, (set_id, part), claim.now, limit).await?);
    }
    for part in others {
        if due.len() < limit {
            let before = claim.now.minus(OVERDUE);
            due.extend(due_in(tables, (set_id, part), before, limit - due.len()).await?);
        }
    }
    due.sort_by_key(|each| (each.due, each.sort_key));
    due.truncate(limit);
    // Asked last: of a batch that is being expanded something may have been seen, and then this says so.
    let select = format!("SELECT closed_until, expanded_until, {NOW_US} FROM state");
    let state = tables.one(query(AssertSqlSafe(select))).await?.ok_or_else(corrupt)?;
    tables.engine.is_ahead(claim.now, number(&state, 2)?)?;
    let (closed_until, expanded_until) = (time(&state, 0)?, time(&state, 1)?);
    if expanded_until < closed_until {
        due.retain(|each| each.due <= expanded_until);
    }
    Ok(due)
}

async fn due_in(
    tables: &mut Tables<'_>,
    (set_id, part): (i64, i64),
    until: Timestamp,
    limit: usize,
) -> Done<Vec<Candidate>> {
    let sql = "SELECT {} FROM wakeups FORCE INDEX (wakeups_due) WHERE set_id = ? AND part = ? AND due_at <= ?
         ORDER BY due_at, sort_key LIMIT ? FOR UPDATE SKIP LOCKED";
    let select = query(listing(sql, COLUMNS, 1)).bind(set_id).bind(part).bind(until.as_ms());
    let rows = tables.all(select.bind(i64::try_from(limit).unwrap_or(i64::MAX))).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Wake-ups whose leases ran out join newer ones that wait, where there are any, which may prolong those, instead of being sent beside them.
async fn join_those_that_ran_out(
    tables: &mut Tables<'_>,
    due: Vec<Candidate>,
) -> Done<Vec<Candidate>> {
    let keys: Vec<WakeupKey> =
        due.iter().filter(|each| each.ran_out).map(|each| each.key).collect();
    if keys.is_empty() {
        return Ok(due);
    }
    let newer = waiting_with(tables, keys).await?;
    // Of several of one key only one goes on.
    let (mut seen, mut joining, mut stay) = (BTreeSet::new(), Vec::new(), Vec::new());
    for each in due {
        match newer.get(&each.key) {
            Some(newer) if each.ran_out => joining.push(Joining {
                older: (each.id, each.trail),
                into: newer.id,
                due_at: i64::MIN,
                expires_at: each.expires_at.as_ms(),
                held: each.held,
            }),
            _ if each.ran_out && !seen.insert(each.key) => {
                // Its twin, which ran out too, goes on in its place.
                let first = stay.iter().find(|other: &&Candidate| other.key == each.key);
                let Some(first) = first else { continue };
                joining.push(Joining {
                    older: (each.id, each.trail),
                    into: first.id,
                    due_at: i64::MIN,
                    expires_at: each.expires_at.as_ms(),
                    held: each.held,
                });
            }
            _ => stay.push(each),
        }
    }
    join_all(tables, &joining).await?;
    for join in &joining {
        if let Some(newer) = stay.iter_mut().find(|each| each.id == join.into) {
            newer.expires_at = newer.expires_at.max(Timestamp::from_ms(join.expires_at));
        }
    }
    Ok(stay)
}

/// The addresses of registered devices, as they are now.
async fn addresses(
    tables: &mut Tables<'_>,
    set: &CredentialSet,
    due: &[Candidate],
) -> Done<BTreeMap<SubscriptionId, Address>> {
    let ids: BTreeSet<SubscriptionId> = due.iter().filter_map(|each| each.subscription).collect();
    let ids = padded(ids);
    let mut found = BTreeMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let sql = "SELECT id, topic, token, generation FROM subscriptions WHERE id IN ({})";
    let mut select = query(listing(sql, "?", ids.len()));
    for id in &ids {
        select = select.bind(id.as_bytes().as_slice());
    }
    for row in tables.all(select).await? {
        let address = Address {
            topic: topic(&row, 1)?,
            token: token(&row, 2, (set.provider(), tables.vault()))?,
            generation: u32::try_from(number(&row, 3)?).unwrap_or(u32::MAX),
        };
        found.insert(subscription_id(&row, 0)?, address);
    }
    Ok(found)
}

type To = (Token, Option<Topic>, Option<Device>);

/// Where a wake-up goes; nothing where its subscription is gone.
fn address(
    tables: &Tables<'_>,
    set: &CredentialSet,
    due: &Candidate,
    addresses: &BTreeMap<SubscriptionId, Address>,
) -> Done<Option<To>> {
    let Some(subscription) = due.subscription else {
        let sealed = due.token.as_deref().ok_or_else(corrupt)?;
        let token = open_token(sealed, (set.provider(), tables.vault())).ok_or_else(corrupt)?;
        return Ok(Some((token, due.topic.clone(), None)));
    };
    Ok(addresses.get(&subscription).map(|Address { token, topic, generation }| {
        let device = Device { subscription, generation: *generation };
        (token.clone(), topic.clone(), Some(device))
    }))
}

/// Takes wake-ups. They are due again when the lease ends.
async fn take_all(
    tables: &mut Tables<'_>,
    taken: &[(i64, Option<[u8; 16]>)],
    claim: &Claim,
) -> Done<()> {
    let (trying, others): (Vec<_>, Vec<_>) = taken.iter().partition(|(_, tries)| tries.is_some());
    let ids: Vec<i64> = others.into_iter().map(|(id, _)| id).collect();
    let take = async |tables: &mut Tables<'_>, ids: &[i64], tries: Option<[u8; 16]>| {
        let ids = padded(ids.iter().copied());
        if ids.is_empty() {
            return Ok(());
        }
        let sql = concat!(
            "UPDATE wakeups SET lease = ?, holder = ?, due_at = ?, held = NULL, tries = ?",
            " WHERE id IN ({})"
        );
        let mut update = query(listing(sql, "?", ids.len()));
        update = update.bind(claim.lease.as_i64()).bind(tables.engine.node.slot());
        update = update.bind(claim.lease_until.as_ms());
        update = update.bind(tries.map(|key| key.to_vec()));
        for id in ids {
            update = update.bind(id);
        }
        tables.execute(update).await.map(drop)
    };
    take(tables, &ids, None).await?;
    for (id, tries) in trying {
        take(tables, &[id], tries).await?;
    }
    Ok(())
}

/// A wake-up, its key, the quarantined device it waits with, until when, and whether it has its place among those that wait.
type PutOff = (i64, WakeupKey, [u8; 16], Timestamp, bool);

/// What is for devices in quarantine waits until they may be tried.
async fn put_off_all(tables: &mut Tables<'_>, put_off: &[PutOff]) -> Done<()> {
    let displaced = put_off.iter().filter(|(.., has_place)| !has_place);
    make_room(tables, displaced.map(|(_, wakeup, ..)| *wakeup)).await?;
    for (id, _, key, ..) in put_off {
        tables.hold_wakeup(*key, *id).await?;
    }
    for part in chunks(put_off) {
        let sql = concat!(
            "UPDATE wakeups w JOIN ({}) k ON k.id = w.id SET w.held = k.held, w.due_at = k.due_at,",
            " w.lease = 0, w.holder = NULL, w.waiting_key = w.wake_key"
        );
        let mut update = query(known_rows(sql, &["id", "held", "due_at"], part.len()));
        for (id, _, key, until, _) in part {
            update = update.bind(id).bind(key.as_slice()).bind(until.as_ms());
        }
        tables.execute(update).await?;
    }
    Ok(())
}

/// When the next wake-up of a set is due, or a lease of one ends.
pub(super) async fn next_due(
    engine: &crate::engine::Engine,
    set: &CredentialSet,
) -> Done<Option<Timestamp>> {
    let set_id = engine.ask(engine.sets.id(&engine.pool, set)).await?;
    let (ours, others) = engine.node.share().parts();
    let mut next: Option<Timestamp> = None;
    for (parts, delay) in [(ours, Duration::from_s(0)), (others, OVERDUE)] {
        for part in parts {
            let select = query("SELECT MIN(due_at) FROM wakeups WHERE set_id = ? AND part = ?");
            let row = engine.ask(select.bind(set_id).bind(part).fetch_one(&engine.pool)).await?;
            if let Some(due) = crate::codec::optional_time(&row, 0)? {
                let due = due.plus(delay);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
    }
    Ok(next)
}
