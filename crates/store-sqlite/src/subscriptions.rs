//! Subscriptions in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    CredentialSet, NewSubscription, Provider, Subscription, SubscriptionChange, SubscriptionId,
    Timestamp, Token, Topic, User,
};
use reveille_store::tables::Kind;
use reveille_store::{Imported, Put, StoreError, Subscriptions, TokenKey};
use reveille_vault::Vault;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::SqliteStore;
use crate::codec::{
    credential_set, optional_time, seal_token, store_error, subscription_id, time, token, topic,
    user,
};
use crate::cohorts::Estate;
use crate::engine::Tables;
use crate::importing::all;

pub(crate) const SELECT: &str = concat!(
    "SELECT s.id, s.user_name, c.name, s.topic, s.token, s.generation, s.created_at, s.refreshed_at,",
    " s.suspect_since, s.sealed FROM subscriptions s JOIN credential_sets c ON c.id = s.set_id"
);

#[async_trait]
impl Subscriptions for SqliteStore {
    async fn put(
        &self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        self.writer
            .write_or_refuse(move |tables| {
                tables.put(new, fresh, per_user_max, now).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn list(&self, user: &User) -> Result<Vec<Subscription>, StoreError> {
        let (user, vault) = (user.clone(), Arc::clone(&self.vault));
        self.readers
            .read(move |connection| {
                let sql =
                    format!("{SELECT} WHERE s.user_name = ?1 ORDER BY s.created_at, s.id LIMIT ?2");
                connection
                    .prepare_cached(&sql)
                    .and_then(|mut select| {
                        select
                            .query_map(params![user.expose(), SUBSCRIPTIONS_PER_USER_MAX], |row| {
                                read_row(row, &vault)
                            })?
                            .collect()
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn get(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        let (user, vault) = (user.clone(), Arc::clone(&self.vault));
        self.readers
            .read(move |connection| {
                find((connection, &vault), &user, id).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn change(
        &self,
        user: &User,
        id: SubscriptionId,
        change: SubscriptionChange,
        now: Timestamp,
    ) -> Result<Option<Subscription>, StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                let known = find((&tables.connection, &tables.vault), &user, id);
                let changed = known.and_then(|known| match known {
                    Some(known) => apply(tables, known, change, now).map(Some),
                    None => Ok(None),
                });
                changed.map_err(|error| store_error(&error))
            })
            .await
    }

    async fn delete(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Provider>, StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                let gone = tables
                    .delete_subscriptions(&user, Some(id))
                    .map_err(|error| store_error(&error))?;
                Ok(gone.first().copied())
            })
            .await
    }

    async fn delete_all(&self, user: &User) -> Result<Vec<Provider>, StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                tables.delete_subscriptions(&user, None).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn delete_tokens(
        &self,
        of: Option<&User>,
        tokens: Vec<(Provider, Token)>,
    ) -> Result<Vec<Provider>, StoreError> {
        let of = of.cloned();
        self.writer
            .write_or_refuse(move |tables| {
                let mut deleted = Vec::new();
                for (provider, token) in &tokens {
                    let key = tables.token_key(*provider, token);
                    let is_gone = tables.delete_token(of.as_ref(), key);
                    if is_gone.map_err(|error| store_error(&error))? {
                        deleted.push(*provider);
                    }
                }
                Ok(deleted)
            })
            .await
    }

    async fn import(
        &self,
        devices: Vec<(NewSubscription, SubscriptionId, Timestamp)>,
        per_user_max: usize,
    ) -> Result<Vec<Imported>, StoreError> {
        self.writer
            .write_or_refuse(move |tables| {
                let import = |(new, fresh, at)| tables.import(new, (fresh, at), per_user_max);
                let imported: rusqlite::Result<_> = devices.into_iter().map(import).collect();
                imported.map_err(|error| store_error(&error))
            })
            .await
    }

    async fn all(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Subscription>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.readers
            .read(move |connection| {
                all((connection, &vault), after, limit).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        self.readers
            .read(|connection| {
                let sql = concat!(
                    "SELECT (SELECT COUNT(*) FROM subscriptions),",
                    " (SELECT COUNT(*) FROM subscriptions WHERE suspect_since IS NOT NULL)"
                );
                connection
                    .query_row(sql, [], |row| {
                        Ok((
                            row.get::<_, i64>(0)?.cast_unsigned(),
                            row.get::<_, i64>(1)?.cast_unsigned(),
                        ))
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn refresh_days(&self) -> Result<Vec<(i64, u64)>, StoreError> {
        self.readers
            .read(|connection| {
                connection
                    .prepare_cached("SELECT day, count FROM refresh_days ORDER BY day")
                    .and_then(|mut select| {
                        let read = |row: &Row<'_>| {
                            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
                        };
                        select.query_map([], read)?.collect()
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn kinds(&self) -> Result<Vec<(CredentialSet, Option<Topic>, u64)>, StoreError> {
        const KINDS: &str = concat!(
            "SELECT c.name, NULLIF(k.topic, ''), k.count FROM device_kinds k",
            " JOIN credential_sets c ON c.id = k.set_id"
        );
        self.readers
            .read(|connection| {
                let kinds = connection.prepare_cached(KINDS).and_then(|mut select| {
                    let read = |row: &Row<'_>| {
                        let count = row.get::<_, i64>(2)?.cast_unsigned();
                        Ok((credential_set(row, 0)?, topic(row, 1)?, count))
                    };
                    select.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()
                });
                let mut kinds = kinds.map_err(|error| store_error(&error))?;
                kinds.sort();
                Ok(kinds)
            })
            .await
    }
}

pub(crate) fn read_row(row: &Row<'_>, vault: &Vault) -> rusqlite::Result<Subscription> {
    let set = credential_set(row, 2)?;
    Ok(Subscription {
        id: subscription_id(row, 0)?,
        user: user(row, 1)?,
        token: token(row, 4, (set.provider(), vault))?,
        set,
        topic: topic(row, 3)?,
        sealed: row.get(9)?,
        generation: row.get(5)?,
        created_at: time(row, 6)?,
        refreshed_at: time(row, 7)?,
        suspect_since: optional_time(row, 8)?,
    })
}

/// Changes a known subscription, in the row and beside it.
fn apply(
    tables: &mut Tables,
    mut known: Subscription,
    change: SubscriptionChange,
    now: Timestamp,
) -> rusqlite::Result<Subscription> {
    let mut estate = Estate::default();
    if let Some((set, token)) = &change.device {
        let before = tables.token_key(known.set.provider(), &known.token);
        let key = tables.token_key(set.provider(), token);
        // What was held with the old token may try the new one.
        tables.release_one(before, now)?;
        tables.release_one(key, now)?;
        tables.take_back_deaths(key)?;
        estate = tables.estate(key)?;
        tables
            .connection
            .prepare_cached("DELETE FROM subscriptions WHERE token_key = ?1 AND id <> ?2")?
            .execute(params![key.0, known.id.as_bytes()])?;
    }
    if known.sealed && change.sealed == Some(false) {
        // What happened since the last beat is not to wait for ever.
        tables
            .connection
            .prepare_cached("UPDATE subscriptions SET unsealing = 1 WHERE id = ?1")?
            .execute([known.id.as_bytes()])?;
    }
    known.change(change, now);
    write(tables, &known)?;
    tables.take_over(&estate, &known.user)?;
    Ok(known)
}

/// Writes a subscription that is there.
fn write(tables: &mut Tables, known: &Subscription) -> rusqlite::Result<()> {
    let set_id = tables.set_id(&known.set)?;
    let token_key = tables.token_key(known.set.provider(), &known.token);
    tables
        .connection
        .prepare_cached(concat!(
            "UPDATE subscriptions SET set_id = ?2, topic = ?3, generation = ?4, refreshed_at = ?5,",
            " token = ?6, token_key = ?7, suspect_since = ?8, sealed = ?9 WHERE id = ?1"
        ))?
        .execute(params![
            known.id.as_bytes(),
            set_id,
            known.topic.as_ref().map(Topic::as_str),
            known.generation,
            known.refreshed_at.as_ms(),
            seal_token(&tables.vault, &known.token),
            token_key.0,
            known.suspect_since.map(Timestamp::as_ms),
            known.sealed,
        ])
        .map(drop)
}

fn find(
    (connection, vault): (&Connection, &Vault),
    user: &User,
    id: SubscriptionId,
) -> rusqlite::Result<Option<Subscription>> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE s.id = ?1 AND s.user_name = ?2"))?
        .query_row(params![id.as_bytes(), user.expose()], |row| read_row(row, vault))
        .optional()
}

fn evict(
    tables: &mut Tables,
    user: &User,
    keep: SubscriptionId,
    per_user_max: usize,
) -> rusqlite::Result<usize> {
    let others: i64 = tables
        .connection
        .prepare_cached("SELECT COUNT(*) FROM subscriptions WHERE user_name = ?1 AND id <> ?2")?
        .query_row(params![user.expose(), keep.as_bytes()], |row| row.get(0))?;
    let room = i64::try_from(per_user_max.max(1)).unwrap_or(i64::MAX) - 1;
    let gone: Vec<TokenKey> = tables
        .connection
        .prepare_cached(concat!(
            "DELETE FROM subscriptions WHERE id IN (SELECT id FROM subscriptions",
            " WHERE user_name = ?1 AND id <> ?2 ORDER BY refreshed_at, id LIMIT ?3) RETURNING token_key"
        ))?
        .query_map(params![user.expose(), keep.as_bytes(), (others - room).max(0)], |row| {
            row.get(0).map(TokenKey)
        })?
        .collect::<rusqlite::Result<_>>()?;
    for key in &gone {
        tables.forget_suspect(*key)?;
    }
    Ok(gone.len())
}

impl Tables {
    /// Registers a device, or refreshes its registration.
    pub(crate) fn put(
        &mut self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> rusqlite::Result<Put> {
        let key = self.token_key(new.set.provider(), &new.token);
        if self.is_registered(&new.user, key)? {
            return self.refresh_known(key, new, now).map(Put::Refreshed);
        }
        let set_id = self.set_id(&new.set)?;
        self.is_alive(key, now)?;
        let estate = self.estate(key)?;
        let moved = self
            .connection
            .prepare_cached("DELETE FROM subscriptions WHERE token_key = ?1")?
            .execute([key.0])?;
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO subscriptions (id, user_name, set_id, topic, token, token_key, generation,",
                " created_at, refreshed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)"
            ))?
            .execute(params![
                fresh.as_bytes(),
                new.user.expose(),
                set_id,
                new.topic.as_ref().map(Topic::as_str),
                seal_token(&self.vault, &new.token),
                key.0,
                now.as_ms()
            ])?;
        let evicted = evict(self, &new.user, fresh, per_user_max)?;
        self.take_over(&estate, &new.user)?;
        let subscription = new.into_subscription(fresh, now);
        Ok(Put::Created { subscription, evicted, moved: moved > 0 })
    }

    /// Whose a registered token is, and what its device's mixing depends on.
    pub(crate) fn owner_and_kind(&self, key: TokenKey) -> rusqlite::Result<Option<(User, Kind)>> {
        self.connection
            .prepare_cached(concat!(
                "SELECT user_name, set_id, sealed + unsealing FROM subscriptions",
                " WHERE token_key = ?1"
            ))?
            .query_row([key.0], |row| {
                Ok((user(row, 0)?, Kind { set_id: row.get(1)?, is_sealed: row.get(2)? }))
            })
            .optional()
    }

    /// Whose a registered token is.
    pub(crate) fn owner_of(&self, key: TokenKey) -> rusqlite::Result<Option<User>> {
        self.connection
            .prepare_cached("SELECT user_name FROM subscriptions WHERE token_key = ?1")?
            .query_row([key.0], |row| user(row, 0))
            .optional()
    }

    /// Whether a user has registered a token.
    pub(crate) fn is_registered(&self, user: &User, key: TokenKey) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM subscriptions WHERE token_key = ?1 AND user_name = ?2")?
            .exists(params![key.0, user.expose()])
    }

    /// Refreshes a registration that is there.
    pub(crate) fn refresh_known(
        &mut self,
        key: TokenKey,
        new: NewSubscription,
        now: Timestamp,
    ) -> rusqlite::Result<Subscription> {
        self.is_alive(key, now)?;
        let mut known = self
            .connection
            .prepare_cached(&format!("{SELECT} WHERE s.token_key = ?1"))?
            .query_row([key.0], |row| read_row(row, &self.vault))?;
        known.refresh(new, now);
        write(self, &known)?;
        Ok(known)
    }

    /// An app that registers its token is alive.
    fn is_alive(&mut self, key: TokenKey, now: Timestamp) -> rusqlite::Result<()> {
        self.release_one(key, now)?;
        self.take_back_deaths(key)
    }

    /// Deletes one of a user's subscriptions, or all.
    pub(crate) fn delete_subscriptions(
        &mut self,
        user: &User,
        id: Option<SubscriptionId>,
    ) -> rusqlite::Result<Vec<Provider>> {
        let gone: Vec<(TokenKey, Provider)> = self
            .connection
            .prepare_cached(concat!(
                "DELETE FROM subscriptions WHERE user_name = ?1 AND id = COALESCE(?2, id)",
                " RETURNING token_key, (SELECT name FROM credential_sets c WHERE c.id = set_id)"
            ))?
            .query_map(params![user.expose(), id.map(|id| *id.as_bytes())], |row| {
                Ok((TokenKey(row.get(0)?), credential_set(row, 1)?.provider()))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (key, _) in &gone {
            self.forget_suspect(*key)?;
        }
        Ok(gone.into_iter().map(|(_, provider)| provider).collect())
    }

    /// Deletes what is registered with a token, by this user or by anybody. Returns whether there was something.
    fn delete_token(&mut self, of: Option<&User>, key: TokenKey) -> rusqlite::Result<bool> {
        let deleted = self
            .connection
            .prepare_cached(
                "DELETE FROM subscriptions WHERE token_key = ?1 AND user_name = COALESCE(?2, user_name)",
            )?
            .execute(params![key.0, of.map(User::expose)])?;
        if deleted > 0 {
            self.forget_suspect(key)?;
        }
        Ok(deleted > 0)
    }

    pub(crate) fn delete_subscription(&self, id: SubscriptionId) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?
            .execute([id.as_bytes()])
            .map(drop)
    }
}
