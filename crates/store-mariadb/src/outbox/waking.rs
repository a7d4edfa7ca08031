//! Wake-ups are made, many at a time, or join those that wait.

use std::collections::BTreeMap;

use reveille_model::{DryRun, SubscriptionId, Timestamp, Token, Topic};
use reveille_store::WakeupKey;
use reveille_store::tables::Shape;

use super::waiting::{make_room, waiting_with};
use crate::codec::seal_token;
use crate::engine::Tables;
use crate::error::Done;
use crate::rows::{chunks, known_rows, listing};
use crate::statement::query;

/// Whom a wake-up is for.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Token(Token),
    Subscription(SubscriptionId),
}

/// A wake-up to be made.
pub(crate) struct ToWake {
    pub(crate) shape: Shape,
    pub(crate) window_end: Timestamp,
    pub(crate) trail: Option<i64>,
    pub(crate) topic: Option<Topic>,
    pub(crate) set_id: i64,
    pub(crate) key: WakeupKey,
    pub(crate) sort_key: i64,
    pub(crate) target: Target,
}

/// What is to be written of a key: a new wake-up, or a change of the one that waits.
struct Planned<'a> {
    to_wake: &'a ToWake,
    /// The one that waits.
    id: Option<i64>,
    set_id: i64,
    due_at: i64,
    expires_at: i64,
    /// A browser's keys may be newer.
    token: Option<Vec<u8>>,
}

/// Makes wake-ups, in order, or prolongs the waiting ones of the same keys. Returns of each whether it was made.
pub(crate) async fn wake_all(tables: &mut Tables<'_>, to_wake: &[ToWake]) -> Done<Vec<bool>> {
    let waiting = waiting_with(tables, to_wake.iter().map(|each| each.key)).await?;
    let (mut planned, mut places) = (Vec::new(), BTreeMap::new());
    let mut made = Vec::with_capacity(to_wake.len());
    for each in to_wake {
        let due_at = each.window_end.as_ms();
        let expires_at = due_at.saturating_add(each.shape.ttl_ms);
        let token = match &each.target {
            Target::Token(token) => Some(seal_token(tables.vault(), token)),
            Target::Subscription(_) => None,
        };
        let place = *places.entry(each.key).or_insert(planned.len());
        let is_new = place == planned.len();
        if is_new {
            planned.push(match waiting.get(&each.key) {
                Some(row) => Planned {
                    to_wake: each,
                    id: Some(row.id),
                    set_id: row.set_id,
                    due_at: row.due_at,
                    expires_at: row.expires_at,
                    token: None,
                },
                None => Planned {
                    to_wake: each,
                    id: None,
                    set_id: each.set_id,
                    due_at,
                    expires_at,
                    token: token.clone(),
                },
            });
        }
        let Some(plan) = planned.get_mut(place) else { continue };
        made.push(is_new && plan.id.is_none());
        // Where the device was registered with other credentials since, what it waited for is not theirs.
        if plan.set_id != each.set_id {
            (plan.set_id, plan.due_at) = (each.set_id, due_at);
        }
        plan.expires_at = plan.expires_at.max(expires_at);
        plan.token = token.or(plan.token.take());
    }
    let (changed, new): (Vec<Planned<'_>>, Vec<Planned<'_>>) =
        planned.into_iter().partition(|plan| plan.id.is_some());
    make_room(tables, new.iter().map(|plan| plan.to_wake.key)).await?;
    insert(tables, &new).await?;
    prolong(tables, &changed).await?;
    Ok(made)
}

async fn insert(tables: &mut Tables<'_>, new: &[Planned<'_>]) -> Done<()> {
    let share = tables.engine.node.share();
    for part in chunks(new) {
        let sql = concat!(
            "INSERT INTO wakeups (wake_key, waiting_key, set_id, part, due_at, sort_key, window_end, expires_at,",
            " dry_run, message_type, trail, subscription, topic, token) VALUES {}"
        );
        let mut insert =
            query(listing(sql, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", part.len()));
        for plan in part {
            let ToWake { shape, key, sort_key, target, topic, trail, .. } = plan.to_wake;
            let (subscription, topic) = match target {
                Target::Token(_) => (None, topic.as_ref()),
                Target::Subscription(id) => (Some(id.as_bytes().as_slice()), None),
            };
            insert = insert
                .bind(key.0.as_slice())
                .bind(key.0.as_slice())
                .bind(plan.set_id)
                .bind(share.part(*sort_key))
                .bind(plan.due_at)
                .bind(sort_key)
                .bind(plan.to_wake.window_end.as_ms())
                .bind(plan.expires_at)
                .bind(shape.dry_run == DryRun::Yes)
                .bind(shape.message_type.as_str().as_bytes())
                .bind(*trail)
                .bind(subscription)
                .bind(topic.map(|topic| topic.as_str().as_bytes()))
                .bind(plan.token.as_deref());
        }
        tables.execute(insert).await?;
    }
    Ok(())
}

/// Lets other targets join waiting wake-ups.
async fn prolong(tables: &mut Tables<'_>, changed: &[Planned<'_>]) -> Done<()> {
    for part in chunks(changed) {
        let sql = concat!(
            "UPDATE wakeups w JOIN ({}) k ON k.id = w.id SET w.expires_at = k.expires_at, w.set_id = k.set_id,",
            " w.due_at = k.due_at, w.token = COALESCE(k.token, w.token)"
        );
        let columns = ["id", "expires_at", "set_id", "due_at", "token"];
        let mut update = query(known_rows(sql, &columns, part.len()));
        for plan in part {
            update = update
                .bind(plan.id)
                .bind(plan.expires_at)
                .bind(plan.set_id)
                .bind(plan.due_at)
                .bind(plan.token.as_deref());
        }
        tables.execute(update).await?;
    }
    Ok(())
}
