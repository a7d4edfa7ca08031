//! Devices with verdicts against them, and the dead: the steps that settling, quarantine, feedback and registration share.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use reveille_model::limits::{FEEDBACK_MAX, SUSPECTS_MAX};
use reveille_model::{
    CredentialSet, Duration, Proof, Reason, Strike, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{Destination, SettleReport, Sweep, TokenKey};
use reveille_vault::Vault;
use sqlx::mysql::MySqlRow;

use crate::codec::{
    Read, array, credential_set, flag, number, optional_array, optional_bytes, optional_number,
    optional_user, seal_token, subscription_id, time, token, token_key, user,
};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::statement::query;

/// How often suspects are looked through, in milliseconds.
const SUSPECTS_SWEPT_EVERY_MS: i64 = 60_000;

/// Whether a device is held back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held {
    /// It is in no quarantine.
    Not,
    /// It is, and its time has come.
    Try(TokenKey),
    /// It is, and what is for it waits.
    Until(TokenKey, Timestamp),
}

/// The device a verdict is about.
#[derive(Debug)]
pub(crate) struct Suspect {
    pub(crate) key: TokenKey,
    set_id: i64,
    topic: Option<Vec<u8>>,
    token: Token,
    owner: Option<Registered>,
}

/// Its registration, if it has one.
#[derive(Debug)]
struct Registered {
    id: SubscriptionId,
    user: User,
    refreshed_at: Timestamp,
    /// Whether it was registered anew since the push left.
    is_newer: bool,
}

impl Suspect {
    /// Whether a registration speaks against this proof.
    pub(crate) fn is_renewed(&self, proof: Proof) -> bool {
        self.owner.as_ref().is_some_and(|owner| {
            // Nobody has registered what only came with messages.
            let is_older = matches!(proof, Proof::Dated(date) if date < owner.refreshed_at);
            owner.is_newer || (is_older && !owner.user.is_unnamed())
        })
    }

    fn subscription(&self) -> Option<Vec<u8>> {
        self.owner.as_ref().map(|owner| owner.id.as_bytes().to_vec())
    }
}

fn read(row: &MySqlRow, vault: &Vault, generation: Option<u32>) -> Read<Option<Suspect>> {
    let set = credential_set(row, 1)?;
    let is_registered = optional_bytes(row, 2)?.is_some();
    let owner = match (is_registered, optional_number(row, 5)?) {
        (true, None) => return Ok(None),
        (false, _) => None,
        (true, Some(current)) => Some(Registered {
            id: subscription_id(row, 2)?,
            user: user(row, 6)?,
            refreshed_at: time(row, 7)?,
            is_newer: match generation {
                None => false,
                // Or before that, with other credentials than the push left with.
                Some(sent_to) => {
                    i64::from(sent_to) != current
                        || optional_number(row, 8)? != Some(number(row, 0)?)
                }
            },
        }),
    };
    let token = token(row, 4, (set.provider(), vault))?;
    let key = token_key(vault, set.provider(), &token);
    Ok(Some(Suspect { key, set_id: number(row, 0)?, topic: optional_bytes(row, 3)?, token, owner }))
}

/// Which devices are held, as far as it was asked for: nothing where nobody is in quarantine.
pub(crate) struct Quarantine {
    next_tries: Option<BTreeMap<TokenKey, Option<Timestamp>>>,
}

impl Quarantine {
    /// Whether a device is held back. If its time has come, the try that is made now is the one for a while: that is written down, so that it
    /// is not made again after a crash, or when no answer comes.
    pub(crate) async fn try_one(
        &mut self,
        tables: &mut Tables<'_>,
        (set, token): (&CredentialSet, &Token),
        (now, hold): (Timestamp, Duration),
    ) -> Done<Held> {
        let Some(next_tries) = &mut self.next_tries else { return Ok(Held::Not) };
        let key = tables.token_key(set.provider(), token);
        let next_try = match next_tries.get(&key) {
            Some(known) => *known,
            None => {
                let select = query(
                    "SELECT next_try FROM suspects WHERE token_key = ? AND next_try IS NOT NULL FOR UPDATE",
                );
                let row = tables.one(select.bind(key.0.as_slice())).await?;
                row.map(|row| time(&row, 0)).transpose()?
            }
        };
        let Some(next_try) = next_try else {
            next_tries.insert(key, None);
            return Ok(Held::Not);
        };
        if next_try > now {
            next_tries.insert(key, Some(next_try));
            return Ok(Held::Until(key, next_try));
        }
        let next = now.plus(hold);
        let update = query("UPDATE suspects SET next_try = ? WHERE token_key = ?");
        tables.execute(update.bind(next.as_ms()).bind(key.0.as_slice())).await?;
        next_tries.insert(key, Some(next));
        Ok(Held::Try(key))
    }
}

impl Tables<'_> {
    /// Who is held back, to be asked one by one. Nearly always nobody is.
    pub(crate) async fn held(&mut self) -> Done<Quarantine> {
        let any = query("SELECT 1 FROM suspects LIMIT 1");
        let next_tries = self.exists(any).await?.then(BTreeMap::new);
        Ok(Quarantine { next_tries })
    }

    /// Whether there is anybody under suspicion, or dead and not told yet.
    pub(crate) async fn has_suspects_or_deaths(&mut self) -> Done<bool> {
        let any = query("SELECT EXISTS (SELECT 1 FROM suspects) OR EXISTS (SELECT 1 FROM deaths)");
        let row = self.one(any).await?.ok_or_else(corrupt)?;
        Ok(flag(&row, 0)?)
    }

    /// The device of a wake-up. Nothing where its subscription is gone.
    pub(crate) async fn suspect_of(
        &mut self,
        wakeup: i64,
        generation: Option<u32>,
    ) -> Done<Option<Suspect>> {
        let select = query(concat!(
            "SELECT w.set_id, c.name, w.subscription, COALESCE(s.topic, w.topic),",
            " COALESCE(s.token, w.token), s.generation, s.user_name, s.refreshed_at, s.set_id",
            " FROM wakeups w JOIN credential_sets c ON c.id = w.set_id",
            " LEFT JOIN subscriptions s ON s.id = w.subscription WHERE w.id = ?"
        ));
        let Some(row) = self.one(select.bind(wakeup)).await? else { return Ok(None) };
        if optional_bytes(&row, 4)?.is_none() {
            return Ok(None);
        }
        let Some(mut found) = read(&row, self.vault(), generation)? else { return Ok(None) };
        if found.owner.is_none() {
            // It may have been registered since.
            found.owner = self.registered(found.key).await?;
        }
        Ok(Some(found))
    }

    /// A wake-up goes on with the credentials that its device is registered with now.
    pub(crate) async fn follow_device(&mut self, wakeup: i64) -> Done<()> {
        let update = query(concat!(
            "UPDATE wakeups w JOIN subscriptions s ON s.id = w.subscription SET w.set_id = s.set_id",
            " WHERE w.id = ? AND w.set_id <> s.set_id"
        ));
        self.execute(update.bind(wakeup)).await.map(drop)
    }

    async fn registered(&mut self, key: TokenKey) -> Done<Option<Registered>> {
        let select =
            query("SELECT id, user_name, refreshed_at FROM subscriptions WHERE token_key = ?");
        let Some(row) = self.one(select.bind(key.0.as_slice())).await? else { return Ok(None) };
        Ok(Some(Registered {
            id: subscription_id(&row, 0)?,
            user: user(&row, 1)?,
            refreshed_at: time(&row, 2)?,
            is_newer: false,
        }))
    }

    /// Since when a device is in quarantine, if it is.
    pub(crate) async fn held_since(&mut self, suspect: &Suspect) -> Done<Option<Timestamp>> {
        let select = query(
            "SELECT since FROM suspects WHERE token_key = ? AND next_try IS NOT NULL FOR UPDATE",
        );
        let row = self.one(select.bind(suspect.key.0.as_slice())).await?;
        Ok(row.map(|row| time(&row, 0)).transpose()?)
    }

    /// Puts a device into quarantine, or keeps it there. Returns whether there was room.
    pub(crate) async fn hold(
        &mut self,
        suspect: &Suspect,
        reason: &str,
        (now, next_try): (Timestamp, Timestamp),
    ) -> Done<bool> {
        if !self.make_suspect(suspect, reason, now).await? {
            return Ok(false);
        }
        // Assigned from left to right: `next_try`, which the others look at, comes last. What it was only watched for does not count as a verdict.
        let update = query(concat!(
            "UPDATE suspects SET since = IF(next_try IS NULL, ?, since),",
            " verdicts = IF(next_try IS NULL, 1, verdicts + 1), reason = ?, next_try = ? WHERE token_key = ?"
        ));
        let update = update.bind(now.as_ms()).bind(reason.as_bytes()).bind(next_try.as_ms());
        self.execute(update.bind(suspect.key.0.as_slice())).await?;
        if let Some(id) = suspect.subscription() {
            let update = query(
                "UPDATE subscriptions SET suspect_since = COALESCE(suspect_since, ?) WHERE id = ?",
            );
            self.execute(update.bind(now.as_ms()).bind(id)).await?;
        }
        Ok(true)
    }

    /// Notes a strike. Returns whether it is one too many.
    pub(crate) async fn strike(
        &mut self,
        suspect: &Suspect,
        (strike, reason): (Strike, Reason),
        now: Timestamp,
    ) -> Done<bool> {
        if suspect.is_renewed(Proof::Guarded) || !self.make_suspect(suspect, reason.0, now).await? {
            return Ok(false);
        }
        if self.held_since(suspect).await?.is_some() {
            return Ok(true);
        }
        let (key, reason) = (suspect.key.0.as_slice(), reason.0.as_bytes());
        let update = query(concat!(
            "UPDATE suspects SET since = IF(reason = ?, since, ?),",
            " verdicts = IF(reason = ?, verdicts + 1, 1), reason = ? WHERE token_key = ?"
        ));
        let update = update.bind(reason).bind(now.as_ms()).bind(reason).bind(reason).bind(key);
        self.execute(update).await?;
        let select = query("SELECT verdicts, since FROM suspects WHERE token_key = ?").bind(key);
        let row = self.one(select).await?.ok_or_else(corrupt)?;
        let (verdicts, since) = (number(&row, 0)?, time(&row, 1)?);
        Ok(verdicts >= i64::from(strike.count_min) && since.plus(strike.age_min) <= now)
    }

    /// Makes sure there is a row for a device, if there is room.
    async fn make_suspect(
        &mut self,
        suspect: &Suspect,
        reason: &str,
        now: Timestamp,
    ) -> Done<bool> {
        let key = suspect.key.0.as_slice();
        let known = query("SELECT 1 FROM suspects WHERE token_key = ? FOR UPDATE").bind(key);
        if self.exists(known).await? {
            return Ok(true);
        }
        if self.is_full("SELECT 1 FROM suspects LIMIT 1 OFFSET ?", SUSPECTS_MAX).await? {
            return Ok(false);
        }
        let insert = query(concat!(
            "INSERT INTO suspects (token_key, set_id, topic, token, subscription, reason, since, verdicts)",
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
        ));
        let insert = insert
            .bind(key)
            .bind(suspect.set_id)
            .bind(suspect.topic.as_deref())
            .bind(seal_token(self.vault(), &suspect.token))
            .bind(suspect.subscription())
            .bind(reason.as_bytes())
            .bind(now.as_ms());
        self.execute(insert).await?;
        Ok(true)
    }

    /// Whether a table has as many rows as it may.
    async fn is_full(&mut self, at_the_end: &'static str, max: u64) -> Done<bool> {
        let last = i64::try_from(max.saturating_sub(1)).unwrap_or(i64::MAX);
        self.exists(query(at_the_end).bind(last)).await
    }

    /// Deletes what belongs to a dead device and tells it.
    pub(crate) async fn bury(
        &mut self,
        dead: &Suspect,
        reason: &str,
        (tell, now): (&[Destination], Timestamp),
        report: &mut SettleReport,
    ) -> Done<()> {
        let named = dead.owner.as_ref().filter(|owner| !owner.user.is_unnamed());
        for to in tell {
            if self.is_full("SELECT 1 FROM deaths LIMIT 1 OFFSET ?", FEEDBACK_MAX).await? {
                report.not_told += 1;
                continue;
            }
            let insert = query(concat!(
                "INSERT INTO deaths (destination, token_key, set_id, topic, token, subscription, user_name,",
                " reason, at, attempts, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"
            ));
            let insert = insert
                .bind(to.as_str().as_bytes())
                .bind(dead.key.0.as_slice())
                .bind(dead.set_id)
                .bind(dead.topic.as_deref())
                .bind(seal_token(self.vault(), &dead.token))
                .bind(named.map(|owner| owner.id.as_bytes().as_slice()))
                .bind(named.map(|owner| owner.user.expose().as_bytes()))
                .bind(reason.as_bytes())
                .bind(now.as_ms())
                .bind(now.as_ms());
            self.execute(insert).await?;
            report.to_tell += 1;
        }
        self.forget_suspect(dead.key).await?;
        if let Some(owner) = &dead.owner {
            self.delete_subscription(owner.id).await?;
            report.dropped += 1;
        }
        Ok(())
    }

    /// A push to this device was taken: it lives, and what else waits for it is due.
    pub(crate) async fn clear_suspicion(&mut self, alive: &Suspect, now: Timestamp) -> Done<()> {
        self.take_back_deaths(alive.key).await?;
        self.release_one(alive.key, now).await
    }

    /// Nobody is told of deaths of a token that lives.
    pub(crate) async fn take_back_deaths(&mut self, key: TokenKey) -> Done<()> {
        let delete = query("DELETE FROM deaths WHERE token_key = ?").bind(key.0.as_slice());
        self.execute(delete).await.map(drop)
    }

    /// A device is under suspicion no more. What waits with it waits as long as it would have.
    pub(crate) async fn forget_suspect(&mut self, key: TokenKey) -> Done<()> {
        if self.remove_suspect(key).await? { self.forget_held(key).await } else { Ok(()) }
    }

    /// Returns whether there was a row.
    async fn remove_suspect(&mut self, key: TokenKey) -> Done<bool> {
        let delete = query("DELETE FROM suspects WHERE token_key = ?").bind(key.0.as_slice());
        Ok(self.execute(delete).await? > 0)
    }

    /// Forgets suspects of whom nothing was heard for long. There are few, so that they are looked through, and seldom.
    pub(crate) async fn sweep_suspects(&mut self, sweep: Sweep) -> Done<u64> {
        let last = self.engine.suspects_swept_at.load(Ordering::Relaxed);
        if sweep.now.as_ms() < last + SUSPECTS_SWEPT_EVERY_MS {
            return Ok(0);
        }
        let select = query(concat!(
            "SELECT token_key FROM suspects WHERE (subscription IS NULL OR next_try IS NULL)",
            " AND COALESCE(next_try, since) < ? LIMIT ?"
        ));
        let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
        let rows = self.all(select.bind(sweep.suspects_before.as_ms()).bind(limit)).await?;
        if rows.len() < sweep.limit {
            self.engine.suspects_swept_at.store(sweep.now.as_ms(), Ordering::Relaxed);
        }
        for row in &rows {
            self.release_one(TokenKey(array(row, 0)?), sweep.now).await?;
        }
        Ok(rows.len() as u64)
    }

    /// Ends a quarantine because the device lives. What waited with it is due now.
    pub(crate) async fn release_one(&mut self, key: TokenKey, now: Timestamp) -> Done<()> {
        if !self.remove_suspect(key).await? {
            return Ok(());
        }
        let key_array = key.0;
        let key = key_array.as_slice();
        let update = query("UPDATE subscriptions SET suspect_since = NULL WHERE token_key = ?");
        self.execute(update.bind(key)).await?;
        // What is in flight is left to whoever holds it.
        let update = query(concat!(
            "UPDATE wakeups w JOIN held_wakeups h ON h.wakeup = w.id SET w.held = NULL, w.due_at = ?",
            " WHERE h.token_key = ? AND w.held = h.token_key AND w.lease = 0"
        ));
        self.execute(update.bind(now.as_ms()).bind(key)).await?;
        self.forget_held(TokenKey(key_array)).await
    }

    /// A wake-up waits with a quarantined device.
    pub(crate) async fn hold_wakeup(&mut self, key: [u8; 16], wakeup: i64) -> Done<()> {
        let insert = query("INSERT IGNORE INTO held_wakeups (token_key, wakeup) VALUES (?, ?)");
        self.execute(insert.bind(key.to_vec()).bind(wakeup)).await.map(drop)
    }

    /// Nothing waits with a device any more.
    async fn forget_held(&mut self, key: TokenKey) -> Done<()> {
        let delete = query("DELETE FROM held_wakeups WHERE token_key = ?").bind(key.0.to_vec());
        self.execute(delete).await.map(drop)
    }

    /// A quarantined device as it stands in its row.
    pub(crate) async fn quarantined_suspect(&mut self, key: TokenKey) -> Done<Option<Suspect>> {
        let select = query(concat!(
            "SELECT q.set_id, c.name, s.id, q.topic, q.token, s.generation, s.user_name,",
            " s.refreshed_at FROM suspects q JOIN credential_sets c ON c.id = q.set_id",
            " LEFT JOIN subscriptions s ON s.token_key = q.token_key WHERE q.token_key = ?"
        ));
        let Some(row) = self.one(select.bind(key.0.as_slice())).await? else { return Ok(None) };
        Ok(read(&row, self.vault(), None)?)
    }
}

/// Whose a row's columns say something was, if it was anybody's: a subscription and its user.
pub(crate) fn owner(row: &MySqlRow, column: usize) -> Read<Option<(SubscriptionId, User)>> {
    let subscription = optional_array(row, column)?.map(SubscriptionId::from_bytes);
    Ok(subscription.zip(optional_user(row, column + 1)?))
}
