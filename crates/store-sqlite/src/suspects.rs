//! Devices with verdicts against them, and the dead: the steps that settling, quarantine, feedback and registration share.

use reveille_model::limits::{FEEDBACK_MAX, SUSPECTS_MAX};
use reveille_model::{
    CredentialSet, Proof, Reason, Strike, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{Claim, Destination, SettleReport, Sweep, TokenKey};
use reveille_vault::Vault;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::codec::{credential_set, seal_token, subscription_id, time, token, token_key, user};
use crate::engine::Tables;

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
    topic: Option<String>,
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

    fn subscription(&self) -> Option<[u8; 16]> {
        self.owner.as_ref().map(|owner| *owner.id.as_bytes())
    }
}

fn read(
    row: &Row<'_>,
    vault: &Vault,
    generation: Option<u32>,
) -> rusqlite::Result<Option<Suspect>> {
    let set = credential_set(row, 1)?;
    let is_registered = row.get_ref(2)?.as_blob_or_null()?.is_some();
    let current: Option<u32> = row.get(5)?;
    let owner = match (is_registered, current) {
        (true, None) => return Ok(None),
        (false, _) => None,
        (true, Some(current)) => Some(Registered {
            id: subscription_id(row, 2)?,
            user: user(row, 6)?,
            refreshed_at: time(row, 7)?,
            is_newer: match generation {
                None => false,
                // Or before that, with other credentials than the push left with.
                Some(sent_to) => sent_to != current || row.get::<_, i64>(8)? != row.get(0)?,
            },
        }),
    };
    let token = token(row, 4, (set.provider(), vault))?;
    let key = token_key(vault, set.provider(), &token);
    Ok(Some(Suspect { key, set_id: row.get(0)?, topic: row.get(3)?, token, owner }))
}

impl Tables {
    /// The device of a leased wake-up. Nothing where the lease is not held, or the subscription is gone.
    pub(crate) fn suspect_of(
        &self,
        wakeup: i64,
        lease: i64,
        generation: Option<u32>,
    ) -> rusqlite::Result<Option<Suspect>> {
        if !self.is_leased(wakeup, lease) {
            return Ok(None);
        }
        let found = self
            .connection
            .prepare_cached(concat!(
                "SELECT w.set_id, c.name, w.subscription, COALESCE(s.topic, w.topic),",
                " COALESCE(s.token, w.token), s.generation, s.user_name, s.refreshed_at, s.set_id",
                " FROM wakeups w JOIN credential_sets c ON c.id = w.set_id",
                " LEFT JOIN subscriptions s ON s.id = w.subscription",
                " WHERE w.id = ?1"
            ))?
            .query_row([wakeup], |row| {
                let is_gone = row.get_ref(4)?.as_blob_or_null()?.is_none();
                if is_gone { Ok(None) } else { read(row, &self.vault, generation) }
            })
            .optional()?;
        let Some(mut found) = found.flatten() else { return Ok(None) };
        if found.owner.is_none() {
            // It may have been registered since.
            found.owner = self.registered(found.key)?;
        }
        Ok(Some(found))
    }

    /// A wake-up goes on with the credentials that its device is registered with now.
    pub(crate) fn follow_device(&mut self, wakeup: i64) -> rusqlite::Result<()> {
        let set_id: Option<i64> = self
            .connection
            .prepare_cached(concat!(
                "UPDATE wakeups SET set_id = s.set_id FROM subscriptions s",
                " WHERE wakeups.id = ?1 AND s.id = wakeups.subscription AND wakeups.set_id <> s.set_id",
                " RETURNING set_id"
            ))?
            .query_row([wakeup], |row| row.get(0))
            .optional()?;
        // There it may be due before what was looked at last.
        if let Some(set_id) = set_id {
            self.cursors.remove(&set_id);
        }
        Ok(())
    }

    fn registered(&self, key: TokenKey) -> rusqlite::Result<Option<Registered>> {
        self.connection
            .prepare_cached(
                "SELECT id, user_name, refreshed_at FROM subscriptions WHERE token_key = ?1",
            )?
            .query_row([key.0], |row| {
                Ok(Registered {
                    id: subscription_id(row, 0)?,
                    user: user(row, 1)?,
                    refreshed_at: time(row, 2)?,
                    is_newer: false,
                })
            })
            .optional()
    }

    /// Since when a device is in quarantine, if it is.
    pub(crate) fn held_since(&self, suspect: &Suspect) -> rusqlite::Result<Option<Timestamp>> {
        if self.suspects == 0 {
            return Ok(None);
        }
        self.connection
            .prepare_cached("SELECT since FROM suspects WHERE key = ?1 AND next_try IS NOT NULL")?
            .query_row([suspect.key.0], |row| time(row, 0))
            .optional()
    }

    /// Puts a device into quarantine, or keeps it there. Returns whether there was room.
    pub(crate) fn hold(
        &mut self,
        suspect: &Suspect,
        reason: &str,
        (now, next_try): (Timestamp, Timestamp),
    ) -> rusqlite::Result<bool> {
        if !self.make_suspect(suspect, reason, now)? {
            return Ok(false);
        }
        self.connection
            .prepare_cached(concat!(
                // What it was only watched for does not count as a verdict.
                "UPDATE suspects SET since = CASE WHEN next_try IS NULL THEN ?3 ELSE since END,",
                " verdicts = CASE WHEN next_try IS NULL THEN 1 ELSE verdicts + 1 END,",
                " reason = ?2, next_try = ?4 WHERE key = ?1"
            ))?
            .execute(params![suspect.key.0, reason, now.as_ms(), next_try.as_ms()])?;
        if let Some(id) = suspect.subscription() {
            self.connection
                .prepare_cached(concat!(
                    "UPDATE subscriptions SET suspect_since = COALESCE(suspect_since, ?2)",
                    " WHERE id = ?1"
                ))?
                .execute(params![id, now.as_ms()])?;
        }
        Ok(true)
    }

    /// Notes a strike. Returns whether it is one too many.
    pub(crate) fn strike(
        &mut self,
        suspect: &Suspect,
        (strike, reason): (Strike, Reason),
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        if suspect.is_renewed(Proof::Guarded) || !self.make_suspect(suspect, reason.0, now)? {
            return Ok(false);
        }
        if self.held_since(suspect)?.is_some() {
            return Ok(true);
        }
        let (verdicts, since): (u32, Timestamp) = self
            .connection
            .prepare_cached(concat!(
                "UPDATE suspects SET since = CASE reason WHEN ?2 THEN since ELSE ?3 END,",
                " verdicts = CASE reason WHEN ?2 THEN verdicts + 1 ELSE 1 END, reason = ?2",
                " WHERE key = ?1 RETURNING verdicts, since"
            ))?
            .query_row(params![suspect.key.0, reason.0, now.as_ms()], |row| {
                Ok((row.get(0)?, time(row, 1)?))
            })?;
        Ok(verdicts >= strike.count_min && since.plus(strike.age_min) <= now)
    }

    /// Makes sure there is a row for a device, if there is room.
    fn make_suspect(
        &mut self,
        suspect: &Suspect,
        reason: &str,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let is_known = self
            .connection
            .prepare_cached("SELECT 1 FROM suspects WHERE key = ?1")?
            .exists([suspect.key.0])?;
        if is_known {
            return Ok(true);
        }
        if self.suspects >= SUSPECTS_MAX {
            return Ok(false);
        }
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO suspects (key, set_id, topic, token, subscription, reason, since, verdicts)",
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)"
            ))?
            .execute(params![
                suspect.key.0,
                suspect.set_id,
                suspect.topic,
                seal_token(&self.vault, &suspect.token),
                suspect.subscription(),
                reason,
                now.as_ms()
            ])?;
        self.suspects += 1;
        Ok(true)
    }

    /// Whether a device is held back. If its time has come, the try that is made now is the one for a while: that is written down, so that it
    /// is not made again after a crash, or when no answer comes.
    pub(crate) fn try_held(
        &self,
        set: &CredentialSet,
        token: &Token,
        claim: &Claim,
    ) -> rusqlite::Result<Held> {
        if self.suspects == 0 {
            return Ok(Held::Not);
        }
        let key = self.token_key(set.provider(), token);
        let next_try = self
            .connection
            .prepare_cached(
                "SELECT next_try FROM suspects WHERE key = ?1 AND next_try IS NOT NULL",
            )?
            .query_row([key.0], |row| time(row, 0))
            .optional()?;
        let Some(next_try) = next_try else { return Ok(Held::Not) };
        if next_try > claim.now {
            return Ok(Held::Until(key, next_try));
        }
        self.connection
            .prepare_cached("UPDATE suspects SET next_try = ?2 WHERE key = ?1")?
            .execute(params![key.0, claim.now.plus(claim.hold).as_ms()])?;
        Ok(Held::Try(key))
    }

    /// Deletes what belongs to a dead device and tells it.
    pub(crate) fn bury(
        &mut self,
        dead: &Suspect,
        reason: &str,
        (tell, now): (&[Destination], Timestamp),
        report: &mut SettleReport,
    ) -> rusqlite::Result<()> {
        let named = dead.owner.as_ref().filter(|owner| !owner.user.is_unnamed());
        for to in tell {
            if self.deaths >= FEEDBACK_MAX {
                report.not_told += 1;
                continue;
            }
            self.connection
                .prepare_cached(concat!(
                    "INSERT INTO deaths (destination, key, set_id, topic, token, subscription, user_name,",
                    " reason, at, attempts, due_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?9)"
                ))?
                .execute(params![
                    to.as_str(),
                    dead.key.0,
                    dead.set_id,
                    dead.topic,
                    seal_token(&self.vault, &dead.token),
                    named.map(|owner| *owner.id.as_bytes()),
                    named.map(|owner| owner.user.expose()),
                    reason,
                    now.as_ms()
                ])?;
            self.deaths += 1;
            report.to_tell += 1;
        }
        self.forget_suspect(dead.key)?;
        if let Some(owner) = &dead.owner {
            self.delete_subscription(owner.id)?;
            report.dropped += 1;
        }
        Ok(())
    }

    /// A push to this device was taken: it lives, and what else waits for it is due.
    pub(crate) fn clear_suspicion(
        &mut self,
        alive: &Suspect,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        self.take_back_deaths(alive.key)?;
        self.release_one(alive.key, now)
    }

    /// Nobody is told of deaths of a token that lives.
    pub(crate) fn take_back_deaths(&mut self, key: TokenKey) -> rusqlite::Result<()> {
        if self.deaths > 0 {
            let taken = self
                .connection
                .prepare_cached("DELETE FROM deaths WHERE key = ?1")?
                .execute([key.0])?;
            self.deaths = self.deaths.saturating_sub(taken as u64);
        }
        Ok(())
    }

    /// Returns whether there was a row.
    pub(crate) fn forget_suspect(&mut self, key: TokenKey) -> rusqlite::Result<bool> {
        if self.suspects == 0 {
            return Ok(false);
        }
        let forgotten = self
            .connection
            .prepare_cached("DELETE FROM suspects WHERE key = ?1")?
            .execute([key.0])?;
        self.suspects = self.suspects.saturating_sub(forgotten as u64);
        Ok(forgotten > 0)
    }

    /// Forgets suspects of whom nothing was heard for long. There are few, so that they are looked through, and seldom.
    pub(crate) fn sweep_suspects(&mut self, sweep: Sweep) -> rusqlite::Result<u64> {
        if self.suspects == 0
            || sweep.now.as_ms() < self.suspects_swept_at + SUSPECTS_SWEPT_EVERY_MS
        {
            return Ok(0);
        }
        let old: Vec<TokenKey> = self
            .connection
            .prepare_cached(concat!(
                "SELECT key FROM suspects WHERE (subscription IS NULL OR next_try IS NULL)",
                " AND COALESCE(next_try, since) < ?1 LIMIT ?2"
            ))?
            .query_map(params![sweep.suspects_before.as_ms(), sweep.limit], |row| {
                row.get(0).map(TokenKey)
            })?
            .collect::<rusqlite::Result<_>>()?;
        if old.len() < sweep.limit {
            self.suspects_swept_at = sweep.now.as_ms();
        }
        for key in &old {
            self.release_one(*key, sweep.now)?;
        }
        Ok(old.len() as u64)
    }

    /// Ends a quarantine because the device lives. What waited with it is due now.
    pub(crate) fn release_one(&mut self, key: TokenKey, now: Timestamp) -> rusqlite::Result<()> {
        if !self.forget_suspect(key)? {
            return Ok(());
        }
        self.connection
            .prepare_cached("UPDATE subscriptions SET suspect_since = NULL WHERE token_key = ?1")?
            .execute([key.0])?;
        self.connection
            .prepare_cached("UPDATE wakeups SET held = NULL, due_at = ?2 WHERE held = ?1")?
            .execute(params![key.0, now.as_ms()])?;
        self.cursors.clear();
        Ok(())
    }

    /// A quarantined device as it stands in its row.
    pub(crate) fn quarantined_suspect(&self, key: TokenKey) -> rusqlite::Result<Option<Suspect>> {
        let found = self
            .connection
            .prepare_cached(concat!(
                "SELECT q.set_id, c.name, s.id, q.topic, q.token, s.generation, s.user_name,",
                " s.refreshed_at FROM suspects q JOIN credential_sets c ON c.id = q.set_id",
                " LEFT JOIN subscriptions s ON s.token_key = q.key WHERE q.key = ?1"
            ))?
            .query_row([key.0], |row| read(row, &self.vault, None))
            .optional()?;
        Ok(found.flatten())
    }
}
