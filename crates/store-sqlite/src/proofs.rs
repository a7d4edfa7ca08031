//! Proofs in SQLite.

use async_trait::async_trait;
use reveille_model::limits::{PROOF_INTERVAL_S, PROOF_RETENTION_S, PROOFS_WRONG_MAX};
use reveille_model::{
    DryRun, Duration, MessageType, NewSubscription, Nonce, Settled, SubscriptionId, Timestamp,
    Topic, User,
};
use reveille_store::{AskProof, Asked, Proofs, Proved, StoreError, TokenKey, WakeupKey};
use reveille_vault::Vault;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::SqliteStore;
use crate::codec::{credential_set, seal_token, store_error, subscription_id, token, topic, user};
use crate::engine::Tables;
use crate::outbox::{Direct, end, waiting_of, wake_now};

#[async_trait]
impl Proofs for SqliteStore {
    async fn ask_proof(&self, ask: AskProof) -> Result<Asked, StoreError> {
        self.writer
            .write_or_refuse(move |tables| {
                let asked = ask_proof(tables, ask).map_err(|error| store_error(&error))?;
                asked.ok_or(StoreError::Busy)
            })
            .await
    }

    async fn prove(
        &self,
        user: &User,
        shown: (SubscriptionId, Nonce),
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Proved, StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                let proved = prove(tables, &user, shown, per_user_max, now);
                proved.map_err(|error| store_error(&error))
            })
            .await
    }
}

/// Asks a device, or `None` while the outbox is full. What needs no wake-up is never refused.
fn ask_proof(tables: &mut Tables, ask: AskProof) -> rusqlite::Result<Option<Asked>> {
    let AskProof { new, fresh, nonce, message_type, ttl, sort_key, .. } = ask;
    let AskProof { waiting_max, per_user_max, now, .. } = ask;
    let key = tables.token_key(new.set.provider(), &new.token);
    if tables.is_registered(&new.user, key)? {
        return tables.refresh_known(key, new, now).map(|known| Some(Asked::Refreshed(known)));
    }
    if let Some(id) = asked_lately(tables, &new.user, key, now)? {
        return Ok(Some(Asked::Waiting(new.into_subscription(id, now))));
    }
    if tables.ledger.waiting + tables.scheduled >= waiting_max {
        return Ok(None);
    }
    let set_id = tables.set_id(&new.set)?;
    let sealed = seal_token(&tables.vault, &new.token);
    let id = tables
        .connection
        .prepare_cached(concat!(
            "INSERT INTO unproven (id, user_name, set_id, topic, token, token_key, nonce, wrong, asked_at)",
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8) ON CONFLICT (user_name, token_key) DO UPDATE",
            " SET set_id = ?3, topic = ?4, token = ?5, nonce = ?7, wrong = 0, asked_at = ?8 RETURNING id"
        ))?
        .query_row(
            params![
                fresh.as_bytes(),
                new.user.expose(),
                set_id,
                new.topic.as_ref().map(Topic::as_str),
                sealed,
                key.0,
                nonce.as_bytes(),
                now.as_ms(),
            ],
            |row| subscription_id(row, 0),
        )?;
    let evicted: Vec<SubscriptionId> = tables
        .connection
        .prepare_cached(concat!(
            "DELETE FROM unproven WHERE id IN (SELECT id FROM unproven WHERE user_name = ?1 AND id <> ?2",
            " ORDER BY asked_at DESC, id DESC LIMIT -1 OFFSET ?3) RETURNING id"
        ))?
        .query_map(params![new.user.expose(), id.as_bytes(), per_user_max.max(1) - 1], |row| {
            subscription_id(row, 0)
        })?
        .collect::<rusqlite::Result<_>>()?;
    for evicted in evicted {
        tables.end_proof(evicted)?;
    }
    let direct = Direct {
        key: WakeupKey::for_subscription(id, &message_type, DryRun::No),
        set_id,
        topic: new.topic.as_ref(),
        token: &new.token,
        message_type: &message_type,
        nonce,
        sort_key,
        due_at: now,
        expires_at: now.plus(ttl),
    };
    wake_now(tables, &direct)?;
    Ok(Some(Asked::Waiting(new.into_subscription(id, now))))
}

/// The id of a device that was asked a moment ago.
fn asked_lately(
    tables: &Tables,
    user: &User,
    key: TokenKey,
    now: Timestamp,
) -> rusqlite::Result<Option<SubscriptionId>> {
    let after = now.minus(Duration::from_s(PROOF_INTERVAL_S));
    tables
        .connection
        .prepare_cached(concat!(
            "SELECT id FROM unproven WHERE user_name = ?1 AND token_key = ?2",
            " AND asked_at > ?3 AND asked_at <= ?4"
        ))?
        .query_row(params![user.expose(), key.0, after.as_ms(), now.as_ms()], |row| {
            subscription_id(row, 0)
        })
        .optional()
}

/// A device that waits, read.
struct Unproven {
    new: NewSubscription,
    nonce: [u8; 16],
    wrong: u32,
}

fn read(row: &Row<'_>, vault: &Vault) -> rusqlite::Result<Unproven> {
    let set = credential_set(row, 1)?;
    Ok(Unproven {
        new: NewSubscription {
            user: user(row, 0)?,
            token: token(row, 3, (set.provider(), vault))?,
            topic: topic(row, 2)?,
            set,
        },
        nonce: row.get(4)?,
        wrong: row.get(5)?,
    })
}

fn prove(
    tables: &mut Tables,
    user: &User,
    (id, nonce): (SubscriptionId, Nonce),
    per_user_max: usize,
    now: Timestamp,
) -> rusqlite::Result<Proved> {
    let found = tables
        .connection
        .prepare_cached(concat!(
            "SELECT p.user_name, c.name, p.topic, p.token, p.nonce, p.wrong FROM unproven p",
            " JOIN credential_sets c ON c.id = p.set_id WHERE p.id = ?1 AND p.user_name = ?2"
        ))?
        .query_row(params![id.as_bytes(), user.expose()], |row| read(row, &tables.vault))
        .optional()?;
    let Some(Unproven { new, nonce: expected, wrong }) = found else { return Ok(Proved::Unknown) };
    let is_right = expected == *nonce.as_bytes();
    if !is_right && wrong + 1 < PROOFS_WRONG_MAX {
        tables
            .connection
            .prepare_cached("UPDATE unproven SET wrong = wrong + 1 WHERE id = ?1")?
            .execute([id.as_bytes()])?;
        return Ok(Proved::Wrong);
    }
    tables
        .connection
        .prepare_cached("DELETE FROM unproven WHERE id = ?1")?
        .execute([id.as_bytes()])?;
    if !is_right {
        return Ok(Proved::Wrong);
    }
    tables.put(new, id, per_user_max, now).map(Proved::Registered)
}

impl Tables {
    /// A device is not asked any more.
    pub(crate) fn end_proof(&mut self, id: SubscriptionId) -> rusqlite::Result<()> {
        let key = WakeupKey::for_subscription(id, &MessageType::verify(), DryRun::No);
        match waiting_of(self, key)? {
            Some(waiting) => end(self, waiting, Settled::Cancelled),
            None => Ok(()),
        }
    }

    /// Forgets devices that have not proven themselves in time.
    pub(crate) fn sweep_unproven(&self, now: Timestamp, limit: i64) -> rusqlite::Result<()> {
        let before = now.minus(Duration::from_s(PROOF_RETENTION_S));
        self.connection
            .prepare_cached(concat!(
                "DELETE FROM unproven WHERE id IN",
                " (SELECT id FROM unproven WHERE asked_at < ?1 ORDER BY asked_at LIMIT ?2)"
            ))?
            .execute(params![before.as_ms(), limit])
            .map(drop)
    }
}
