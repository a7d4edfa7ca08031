//! Proofs in `MariaDB`.

use async_trait::async_trait;
use reveille_model::limits::{PROOF_INTERVAL_S, PROOFS_WRONG_MAX};
use reveille_model::{
    DryRun, Duration, MessageType, NewSubscription, Nonce, SubscriptionId, Timestamp, User,
};
use reveille_store::{AskProof, Asked, Proofs, Proved, StoreError, TokenKey, WakeupKey};

use crate::MariaDbStore;
use crate::codec::{
    array, credential_set, number, seal_token, subscription_id, token, topic, user,
};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::outbox::{Direct, wake_now};
use crate::statement::query;
use crate::users::end_waiting;

#[async_trait]
impl Proofs for MariaDbStore {
    async fn ask_proof(&self, ask: AskProof) -> Result<Asked, StoreError> {
        self.engine.write(&ask, |tables, ask| Box::pin(ask_proof(tables, ask))).await
    }

    async fn prove(
        &self,
        user: &User,
        shown: (SubscriptionId, Nonce),
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Proved, StoreError> {
        let what = (user.clone(), shown, per_user_max, now);
        self.engine.write(&what, |tables, what| Box::pin(prove(tables, what))).await
    }
}

/// Asks a device. What needs no wake-up is never refused.
async fn ask_proof(tables: &mut Tables<'_>, ask: &AskProof) -> Done<Asked> {
    let AskProof { new, nonce, message_type, now, .. } = ask;
    let key = tables.token_key(new.set.provider(), &new.token);
    if tables.is_registered(&new.user, key).await? {
        return tables.refresh_known(key, new.clone(), *now).await.map(Asked::Refreshed);
    }
    if let Some(id) = asked_lately(tables, &new.user, key, *now).await? {
        return Ok(Asked::Waiting(new.clone().into_subscription(id, *now)));
    }
    if tables.pass_gate().await?.waiting >= ask.waiting_max {
        return Err(StoreError::Busy.into());
    }
    let set_id = tables.set_id(&new.set).await?;
    let id = keep(tables, ask, (key, set_id)).await?;
    evict(tables, ask, id).await?;
    let direct = Direct {
        key: WakeupKey::for_subscription(id, message_type, DryRun::No),
        set_id,
        topic: new.topic.as_ref(),
        token: &new.token,
        message_type,
        nonce: *nonce,
        sort_key: ask.sort_key,
        due_at: *now,
        expires_at: now.plus(ask.ttl),
    };
    wake_now(tables, &direct).await?;
    Ok(Asked::Waiting(new.clone().into_subscription(id, *now)))
}

/// Keeps a device until it has proven itself. Returns its id, which is the one it had if it was asked before.
async fn keep(
    tables: &mut Tables<'_>,
    AskProof { new, fresh, nonce, now, .. }: &AskProof,
    (key, set_id): (TokenKey, i64),
) -> Done<SubscriptionId> {
    let insert = query(concat!(
        "INSERT INTO unproven (id, user_name, set_id, topic, token, token_key, nonce, wrong, asked_at)",
        " VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?) ON DUPLICATE KEY UPDATE set_id = VALUES(set_id),",
        " topic = VALUES(topic), token = VALUES(token), nonce = VALUES(nonce), wrong = 0,",
        " asked_at = VALUES(asked_at)"
    ));
    let name = new.user.expose().as_bytes();
    let insert = insert
        .bind(fresh.as_bytes().as_slice())
        .bind(name)
        .bind(set_id)
        .bind(new.topic.as_ref().map(|topic| topic.as_str().as_bytes()))
        .bind(seal_token(tables.vault(), &new.token))
        .bind(key.0.as_slice())
        .bind(nonce.as_bytes().as_slice())
        .bind(now.as_ms());
    tables.execute(insert).await?;
    let select = query("SELECT id FROM unproven WHERE user_name = ? AND token_key = ?");
    let row = tables.one(select.bind(name).bind(key.0.as_slice())).await?;
    Ok(subscription_id(&row.ok_or_else(corrupt)?, 0)?)
}

/// Of the devices of one user that wait for their proof the oldest go.
async fn evict(tables: &mut Tables<'_>, ask: &AskProof, keep: SubscriptionId) -> Done<()> {
    let select = query(concat!(
        "SELECT id FROM unproven WHERE user_name = ? AND id <> ? ORDER BY asked_at DESC, id DESC",
        " LIMIT 1000 OFFSET ?"
    ));
    let room = i64::try_from(ask.per_user_max.max(1) - 1).unwrap_or(i64::MAX);
    let name = ask.new.user.expose().as_bytes();
    let select = select.bind(name).bind(keep.as_bytes().as_slice()).bind(room);
    for row in tables.all(select).await? {
        let evicted = subscription_id(&row, 0)?;
        let delete = query("DELETE FROM unproven WHERE id = ?");
        tables.execute(delete.bind(evicted.as_bytes().as_slice())).await?;
        tables.end_proof(evicted).await?;
    }
    Ok(())
}

/// The id of a device that was asked a moment ago.
async fn asked_lately(
    tables: &mut Tables<'_>,
    user: &User,
    key: TokenKey,
    now: Timestamp,
) -> Done<Option<SubscriptionId>> {
    let after = now.minus(Duration::from_s(PROOF_INTERVAL_S));
    let select = query(concat!(
        "SELECT id FROM unproven WHERE user_name = ? AND token_key = ?",
        " AND asked_at > ? AND asked_at <= ? FOR UPDATE"
    ));
    let select = select.bind(user.expose().as_bytes()).bind(key.0.as_slice());
    let row = tables.one(select.bind(after.as_ms()).bind(now.as_ms())).await?;
    Ok(row.map(|row| subscription_id(&row, 0)).transpose()?)
}

type Shown = (User, (SubscriptionId, Nonce), usize, Timestamp);

async fn prove(
    tables: &mut Tables<'_>,
    (whose, (id, nonce), per_user_max, now): &Shown,
) -> Done<Proved> {
    let select = query(concat!(
        "SELECT p.user_name, c.name, p.topic, p.token, p.nonce, p.wrong FROM unproven p",
        " JOIN credential_sets c ON c.id = p.set_id WHERE p.id = ? AND p.user_name = ? FOR UPDATE"
    ));
    let id_bytes = id.as_bytes().as_slice();
    let select = select.bind(id_bytes).bind(whose.expose().as_bytes());
    let Some(row) = tables.one(select).await? else { return Ok(Proved::Unknown) };
    let set = credential_set(&row, 1)?;
    let new = NewSubscription {
        user: user(&row, 0)?,
        token: token(&row, 3, (set.provider(), tables.vault()))?,
        topic: topic(&row, 2)?,
        set,
    };
    let (expected, wrong): ([u8; 16], i64) = (array(&row, 4)?, number(&row, 5)?);
    let is_right = expected == *nonce.as_bytes();
    if !is_right && wrong + 1 < i64::from(PROOFS_WRONG_MAX) {
        let update = query("UPDATE unproven SET wrong = wrong + 1 WHERE id = ?").bind(id_bytes);
        tables.execute(update).await?;
        return Ok(Proved::Wrong);
    }
    tables.execute(query("DELETE FROM unproven WHERE id = ?").bind(id_bytes)).await?;
    if !is_right {
        return Ok(Proved::Wrong);
    }
    tables.put(new, *id, *per_user_max, *now).await.map(Proved::Registered)
}

impl Tables<'_> {
    /// A device is not asked any more.
    pub(crate) async fn end_proof(&mut self, id: SubscriptionId) -> Done<()> {
        let key = WakeupKey::for_subscription(id, &MessageType::verify(), DryRun::No);
        end_waiting(self, &[key]).await.map(drop)
    }
}
