//! Subscriptions in `MariaDB`.

use async_trait::async_trait;
use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    CredentialSet, NewSubscription, Provider, Subscription, SubscriptionChange, SubscriptionId,
    Timestamp, Token, Topic, User,
};
use reveille_store::{Imported, Put, StoreError, Subscriptions, TokenKey};
use reveille_vault::Vault;
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlRow;

use crate::MariaDbStore;
use crate::codec::{
    Read, array, count, credential_set, flag, number, optional_time, seal_token, subscription_id,
    time, token, topic, user,
};
use crate::cohorts::Estate;
use crate::engine::{Counted, Tables};
use crate::error::{Done, Failed, corrupt};
use crate::statement::query;

/// The columns that [`read_subscription`] reads.
const SELECT: &str = concat!(
    "SELECT s.id, s.user_name, c.name, s.topic, s.token, s.generation, s.created_at, s.refreshed_at,",
    " s.suspect_since, s.sealed FROM subscriptions s JOIN credential_sets c ON c.id = s.set_id"
);

/// Ours, with what comes behind it.
fn select(rest: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{SELECT} {rest}"))
}

type ToPut = (NewSubscription, SubscriptionId, usize, Timestamp);
type ToChange = (User, SubscriptionId, SubscriptionChange, Timestamp);

#[async_trait]
impl Subscriptions for MariaDbStore {
    async fn put(
        &self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        let what: ToPut = (new, fresh, per_user_max, now);
        self.engine
            .write(&what, |tables, (new, fresh, per_user_max, now)| {
                Box::pin(tables.put(new.clone(), *fresh, *per_user_max, *now))
            })
            .await
    }

    async fn list(&self, user: &User) -> Result<Vec<Subscription>, StoreError> {
        let sql = select("WHERE s.user_name = ? ORDER BY s.created_at, s.id LIMIT ?");
        let limit = i64::try_from(SUBSCRIPTIONS_PER_USER_MAX).unwrap_or(i64::MAX);
        let rows = query(sql).bind(user.expose().as_bytes()).bind(limit);
        let rows = rows.fetch_all(&self.engine.pool).await.map_err(Failed::from)?;
        Ok(read_all(&rows, &self.engine.vault)?)
    }

    async fn get(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        let sql = select("WHERE s.id = ? AND s.user_name = ?");
        let row = query(sql).bind(id.as_bytes().as_slice()).bind(user.expose().as_bytes());
        let row = row.fetch_optional(&self.engine.pool).await.map_err(Failed::from)?;
        let read = |row: MySqlRow| read_subscription(&row, &self.engine.vault);
        Ok(row.map(read).transpose().map_err(Failed::from)?)
    }

    async fn change(
        &self,
        user: &User,
        id: SubscriptionId,
        change: SubscriptionChange,
        now: Timestamp,
    ) -> Result<Option<Subscription>, StoreError> {
        let what: ToChange = (user.clone(), id, change, now);
        self.engine.write(&what, |tables, what| Box::pin(change_known(tables, what))).await
    }

    async fn delete(
        &self,
        user: &User,
        id: SubscriptionId,
    ) -> Result<Option<Provider>, StoreError> {
        let what = (user.clone(), id);
        let gone = self
            .engine
            .write(&what, |tables, (user, id)| {
                Box::pin(tables.delete_subscriptions(user, Some(*id)))
            })
            .await?;
        Ok(gone.first().copied())
    }

    async fn delete_all(&self, user: &User) -> Result<Vec<Provider>, StoreError> {
        self.engine
            .write(user, |tables, user| Box::pin(tables.delete_subscriptions(user, None)))
            .await
    }

    async fn delete_tokens(
        &self,
        of: Option<&User>,
        tokens: Vec<(Provider, Token)>,
    ) -> Result<Vec<Provider>, StoreError> {
        let what = (of.cloned(), tokens);
        self.engine.write(&what, |tables, what| Box::pin(delete_tokens(tables, what))).await
    }

    async fn import(
        &self,
        devices: Vec<(NewSubscription, SubscriptionId, Timestamp)>,
        per_user_max: usize,
    ) -> Result<Vec<Imported>, StoreError> {
        let what = (devices, per_user_max);
        self.engine
            .write(&what, |tables, (devices, per_user_max)| {
                Box::pin(async move {
                    let mut imported = Vec::with_capacity(devices.len());
                    for (new, fresh, at) in devices {
                        let one = tables.import(new.clone(), (*fresh, *at), *per_user_max);
                        imported.push(one.await?);
                    }
                    Ok(imported)
                })
            })
            .await
    }

    async fn all(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Subscription>, StoreError> {
        let sql = select("WHERE s.id > ? AND s.user_name > ? ORDER BY s.id LIMIT ?");
        let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
        // What stands for nobody begins with a character that no name has.
        let rows = query(sql).bind(after).bind(User::LEAST.as_bytes());
        let rows = rows.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = rows.fetch_all(&self.engine.pool).await.map_err(Failed::from)?;
        Ok(read_all(&rows, &self.engine.vault)?)
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        let counted = self.engine.look(|pool| async move {
            let row = query(concat!(
                "SELECT (SELECT CAST(COALESCE(SUM(count), 0) AS SIGNED) FROM device_counts),",
                " (SELECT COUNT(*) FROM subscriptions WHERE suspect_since IS NOT NULL)"
            ));
            let row = row.fetch_one(&pool).await?;
            Ok((count(&row, 0)?, count(&row, 1)?))
        });
        Ok(counted.await?)
    }

    async fn refresh_days(&self) -> Result<Vec<(i64, u64)>, StoreError> {
        let counted = self.engine.look(|pool| async move {
            let rows = query(concat!(
                "SELECT day, CAST(SUM(count) AS SIGNED) FROM device_counts GROUP BY day",
                " HAVING SUM(count) > 0 ORDER BY day"
            ));
            let rows = rows.fetch_all(&pool).await?;
            let days = rows.iter().map(|row| Ok((number(row, 0)?, count(row, 1)?)));
            Ok(days.collect::<Read<_>>()?)
        });
        Ok(counted.await?)
    }

    async fn kinds(&self) -> Result<Vec<(CredentialSet, Option<Topic>, u64)>, StoreError> {
        let counted = self.engine.look(|pool| async move {
            let rows = query(concat!(
                "SELECT c.name, NULLIF(k.topic, ''), CAST(SUM(k.count) AS SIGNED) FROM device_kinds k",
                " JOIN credential_sets c ON c.id = k.set_id GROUP BY k.set_id, k.topic"
            ));
            let rows = rows.fetch_all(&pool).await?;
            let kinds = rows.iter().map(|row| Ok((credential_set(row, 0)?, topic(row, 1)?, count(row, 2)?)));
            Ok(kinds.collect::<Read<Vec<_>>>()?)
        });
        let mut kinds = counted.await?;
        kinds.sort();
        Ok(kinds)
    }
}

fn read_all(rows: &[MySqlRow], vault: &Vault) -> Done<Vec<Subscription>> {
    Ok(rows.iter().map(|row| read_subscription(row, vault)).collect::<Read<_>>()?)
}

fn read_subscription(row: &MySqlRow, vault: &Vault) -> Read<Subscription> {
    let set = credential_set(row, 2)?;
    Ok(Subscription {
        id: subscription_id(row, 0)?,
        user: user(row, 1)?,
        token: token(row, 4, (set.provider(), vault))?,
        set,
        topic: topic(row, 3)?,
        sealed: flag(row, 9)?,
        generation: u32::try_from(number(row, 5)?).unwrap_or(u32::MAX),
        created_at: time(row, 6)?,
        refreshed_at: time(row, 7)?,
        suspect_since: optional_time(row, 8)?,
    })
}

/// Changes a known subscription, in the row and beside it.
async fn change_known(
    tables: &mut Tables<'_>,
    (user, id, change, now): &ToChange,
) -> Done<Option<Subscription>> {
    let sql = select("WHERE s.id = ? AND s.user_name = ? FOR UPDATE");
    let row = query(sql).bind(id.as_bytes().as_slice()).bind(user.expose().as_bytes());
    let Some(row) = tables.one(row).await? else { return Ok(None) };
    let mut known = read_subscription(&row, tables.vault())?;
    let mut estate = Estate::default();
    if let Some((set, token)) = &change.device {
        let before = tables.token_key(known.set.provider(), &known.token);
        let key = tables.token_key(set.provider(), token);
        // What was held with the old token may try the new one.
        tables.release_one(before, *now).await?;
        tables.release_one(key, *now).await?;
        tables.take_back_deaths(key).await?;
        estate = tables.estate(key).await?;
        tables.delete_others(key, known.id).await?;
    }
    if known.sealed && change.sealed == Some(false) {
        // What happened since the last beat is not to wait for ever.
        let update = query("UPDATE subscriptions SET unsealing = 1 WHERE id = ?");
        tables.execute(update.bind(known.id.as_bytes().as_slice())).await?;
    }
    let before = Counted::of(tables, &known).await?;
    known.change(change.clone(), *now);
    write(tables, &known, before).await?;
    tables.has_changed(&known.user);
    tables.take_over(&estate, &known.user).await?;
    Ok(Some(known))
}

/// Writes a subscription that is there, and was counted like that.
async fn write(tables: &mut Tables<'_>, known: &Subscription, before: Counted) -> Done<()> {
    let set_id = tables.set_id(&known.set).await?;
    tables.count_device(before, -1);
    tables.count_device(Counted::of(tables, known).await?, 1);
    let token_key = tables.token_key(known.set.provider(), &known.token);
    let update = query(concat!(
        "UPDATE subscriptions SET set_id = ?, topic = ?, generation = ?, refreshed_at = ?,",
        " token = ?, token_key = ?, suspect_since = ?, sealed = ? WHERE id = ?"
    ));
    let update = update
        .bind(set_id)
        .bind(known.topic.as_ref().map(|topic| topic.as_str().as_bytes()))
        .bind(known.generation)
        .bind(known.refreshed_at.as_ms())
        .bind(seal_token(tables.vault(), &known.token))
        .bind(token_key.0.as_slice())
        .bind(known.suspect_since.map(Timestamp::as_ms))
        .bind(known.sealed)
        .bind(known.id.as_bytes().as_slice());
    tables.execute(update).await.map(drop)
}

/// What a device is counted by, from three columns: its credential set, its topic, and when it was last registered.
fn counted(row: &MySqlRow, column: usize) -> Read<Counted> {
    Ok(Counted {
        set_id: number(row, column)?,
        topic: topic(row, column + 1)?,
        refreshed_at: time(row, column + 2)?,
    })
}

impl Counted {
    async fn of(tables: &Tables<'_>, device: &Subscription) -> Done<Self> {
        let set_id = tables.set_id(&device.set).await?;
        Ok(Self { set_id, topic: device.topic.clone(), refreshed_at: device.refreshed_at })
    }
}

async fn delete_tokens(
    tables: &mut Tables<'_>,
    (of, tokens): &(Option<User>, Vec<(Provider, Token)>),
) -> Done<Vec<Provider>> {
    let mut deleted = Vec::new();
    for (provider, token) in tokens {
        let key = tables.token_key(*provider, token);
        let delete = query(concat!(
            "DELETE FROM subscriptions WHERE token_key = ? AND user_name = COALESCE(?, user_name)",
            " RETURNING user_name, set_id, topic, refreshed_at"
        ));
        let of = of.as_ref().map(|user| user.expose().as_bytes());
        let gone = tables.all(delete.bind(key.0.as_slice()).bind(of)).await?;
        for row in &gone {
            tables.has_changed(&user(row, 0)?);
            tables.count_device(counted(row, 1)?, -1);
            tables.forget_suspect(key).await?;
            deleted.push(*provider);
        }
    }
    Ok(deleted)
}

/// The user's devices that were refreshed least recently make room.
async fn evict(
    tables: &mut Tables<'_>,
    user: &User,
    keep: SubscriptionId,
    per_user_max: usize,
) -> Done<usize> {
    let name = user.expose().as_bytes();
    let others = query("SELECT COUNT(*) FROM subscriptions WHERE user_name = ? AND id <> ?");
    let others = tables.one(others.bind(name).bind(keep.as_bytes().as_slice())).await?;
    let others = number(&others.ok_or_else(corrupt)?, 0)?;
    let room = i64::try_from(per_user_max.max(1)).unwrap_or(i64::MAX) - 1;
    if others <= room {
        return Ok(0);
    }
    let oldest = query(concat!(
        "SELECT id, token_key FROM subscriptions WHERE user_name = ? AND id <> ?",
        " ORDER BY refreshed_at, id LIMIT ? FOR UPDATE"
    ));
    let oldest = oldest.bind(name).bind(keep.as_bytes().as_slice()).bind(others - room);
    let rows = tables.all(oldest).await?;
    for row in &rows {
        tables.delete_subscription(subscription_id(row, 0)?).await?;
        tables.forget_suspect(TokenKey(array(row, 1)?)).await?;
    }
    Ok(rows.len())
}

impl Tables<'_> {
    /// Registers a device, or refreshes its registration.
    pub(crate) async fn put(
        &mut self,
        new: NewSubscription,
        fresh: SubscriptionId,
        per_user_max: usize,
        now: Timestamp,
    ) -> Done<Put> {
        let key = self.token_key(new.set.provider(), &new.token);
        if self.is_registered(&new.user, key).await? {
            return self.refresh_known(key, new, now).await.map(Put::Refreshed);
        }
        let set_id = self.set_id(&new.set).await?;
        self.is_alive(key, now).await?;
        let estate = self.estate(key).await?;
        let moved = self.delete_others(key, fresh).await?;
        let insert = query(concat!(
            "INSERT INTO subscriptions (id, user_name, set_id, topic, token, token_key, generation,",
            " created_at, refreshed_at) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)"
        ));
        let insert = insert
            .bind(fresh.as_bytes().as_slice())
            .bind(new.user.expose().as_bytes())
            .bind(set_id)
            .bind(new.topic.as_ref().map(|topic: &Topic| topic.as_str().as_bytes()))
            .bind(seal_token(self.vault(), &new.token))
            .bind(key.0.as_slice())
            .bind(now.as_ms())
            .bind(now.as_ms());
        self.execute(insert).await?;
        let topic = new.topic.clone();
        self.count_device(Counted { set_id, topic, refreshed_at: now }, 1);
        self.has_changed(&new.user);
        let evicted = evict(self, &new.user, fresh, per_user_max).await?;
        self.take_over(&estate, &new.user).await?;
        let subscription = new.into_subscription(fresh, now);
        Ok(Put::Created { subscription, evicted, moved: moved > 0 })
    }

    /// Deletes whatever else is registered with a token.
    async fn delete_others(&mut self, key: TokenKey, keep: SubscriptionId) -> Done<usize> {
        let delete = query(concat!(
            "DELETE FROM subscriptions WHERE token_key = ? AND id <> ?",
            " RETURNING user_name, set_id, topic, refreshed_at"
        ));
        let delete = delete.bind(key.0.as_slice()).bind(keep.as_bytes().as_slice());
        let gone = self.all(delete).await?;
        for row in &gone {
            self.has_changed(&user(row, 0)?);
            self.count_device(counted(row, 1)?, -1);
        }
        Ok(gone.len())
    }

    /// Whose a registered token is.
    pub(crate) async fn owner_of(&mut self, key: TokenKey) -> Done<Option<User>> {
        let select = query("SELECT user_name FROM subscriptions WHERE token_key = ?");
        let row = self.one(select.bind(key.0.as_slice())).await?;
        Ok(row.map(|row| user(&row, 0)).transpose()?)
    }

    /// Whether a user has registered a token. If so, nobody changes that until the transaction is over.
    pub(crate) async fn is_registered(&mut self, user: &User, key: TokenKey) -> Done<bool> {
        let select =
            query("SELECT 1 FROM subscriptions WHERE token_key = ? AND user_name = ? FOR UPDATE");
        self.exists(select.bind(key.0.as_slice()).bind(user.expose().as_bytes())).await
    }

    /// Refreshes a registration that is there.
    pub(crate) async fn refresh_known(
        &mut self,
        key: TokenKey,
        new: NewSubscription,
        now: Timestamp,
    ) -> Done<Subscription> {
        self.is_alive(key, now).await?;
        let row = query(select("WHERE s.token_key = ?")).bind(key.0.as_slice());
        let row = self.one(row).await?.ok_or_else(corrupt)?;
        let mut known = read_subscription(&row, self.vault())?;
        let has_changed = known.set != new.set || known.topic != new.topic;
        let before = Counted::of(self, &known).await?;
        known.refresh(new, now);
        write(self, &known, before).await?;
        if has_changed {
            self.has_changed(&known.user);
        }
        Ok(known)
    }

    /// An app that registers its token is alive.
    async fn is_alive(&mut self, key: TokenKey, now: Timestamp) -> Done<()> {
        self.release_one(key, now).await?;
        self.take_back_deaths(key).await
    }

    /// Deletes one of a user's subscriptions, or all.
    pub(crate) async fn delete_subscriptions(
        &mut self,
        user: &User,
        id: Option<SubscriptionId>,
    ) -> Done<Vec<Provider>> {
        let delete = query(concat!(
            "DELETE FROM subscriptions WHERE user_name = ? AND id = COALESCE(?, id)",
            " RETURNING token_key, set_id, topic, refreshed_at"
        ));
        let id = id.map(|id| id.as_bytes().to_vec());
        let gone = self.all(delete.bind(user.expose().as_bytes()).bind(id)).await?;
        let mut providers = Vec::with_capacity(gone.len());
        for row in &gone {
            self.forget_suspect(TokenKey(array(row, 0)?)).await?;
            let counted = counted(row, 1)?;
            providers.push(self.set_of(counted.set_id).await?.provider());
            self.count_device(counted, -1);
        }
        if !gone.is_empty() {
            self.has_changed(user);
        }
        Ok(providers)
    }

    pub(crate) async fn delete_subscription(&mut self, id: SubscriptionId) -> Done<()> {
        let delete = query(concat!(
            "DELETE FROM subscriptions WHERE id = ?",
            " RETURNING user_name, set_id, topic, refreshed_at"
        ));
        for row in self.all(delete.bind(id.as_bytes().as_slice())).await? {
            self.has_changed(&user(&row, 0)?);
            self.count_device(counted(&row, 1)?, -1);
        }
        Ok(())
    }
}
