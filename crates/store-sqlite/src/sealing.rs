//! Which key a database is sealed with, and how all of it is sealed anew: with the first key, or another one.

use std::path::{Path, PathBuf};

use reveille_model::{CredentialSet, Token};
use reveille_store::{TokenKey, WakeupKey};
use reveille_vault::{KeyFile, KeyId, Purpose, Vault};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, TransactionBehavior, params};

use crate::OpenError;
use crate::codec::{credential_set, dry_run, message_type, misfit, token_key, topic};
use crate::engine::rewrite;

/// Rows read before they are written again.
const CHUNK: usize = 1_000;

/// What a change of keys is told as it goes on: rows done, and rows there are.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// The file of keys where nothing else is said: beside the database.
pub(crate) fn default_key_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

/// The key of a database. A new database gets the newest key of the file, which is made where there is none.
pub(crate) fn unlock(connection: &mut Connection, key_file: &Path) -> Result<Vault, OpenError> {
    let file = KeyFile::read(key_file)?;
    if let Some(id) = sealed_with(connection)? {
        let vault = file.and_then(|file| file.vault(id));
        let missing = || OpenError::KeyMissing { id, path: key_file.to_owned() };
        let vault = vault.ok_or_else(missing)?;
        // A process before may have been killed between sealing and wiping.
        wipe(connection)?;
        return Ok(vault);
    }
    let file = match file {
        Some(file) => file,
        None => {
            let file = KeyFile::create(key_file)?;
            tracing::info!(file = %key_file.display(), "a key was made that seals the database; keep a copy of it apart from the database's");
            file
        }
    };
    let vault = file.newest();
    // What was there in plain must not stay in pages that are free now.
    seal_all(connection, (None, &vault), &mut |_, _| {})?;
    wipe(connection)?;
    Ok(vault)
}

/// Seals everything with a fresh key and forgets the one before. Wherever it is interrupted, the database opens with one of the keys in
/// the file, and the next call goes on.
pub(crate) fn change_key(
    connection: &mut Connection,
    key_file: &Path,
    progress: Progress<'_>,
) -> Result<(KeyId, KeyId), OpenError> {
    let old = unlock(connection, key_file)?;
    let missing = || OpenError::KeyMissing { id: old.id(), path: key_file.to_owned() };
    let mut file = KeyFile::read(key_file)?.ok_or_else(missing)?;
    if file.newest().id() == old.id() {
        file.add()?;
    }
    let new = file.newest();
    seal_all(connection, (Some(&old), &new), progress)?;
    wipe(connection)?;
    file.keep_only(new.id())?;
    Ok((old.id(), new.id()))
}

/// Leaves nothing of what was there before the database was sealed in the files, unless that is done.
fn wipe(connection: &Connection) -> Result<(), OpenError> {
    let is_done: bool = connection.query_row("SELECT wiped FROM sealing", [], |row| row.get(0))?;
    if is_done {
        return Ok(());
    }
    rewrite(connection)?;
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(OpenError::InUse);
    }
    connection.execute("UPDATE sealing SET wiped = 1", [])?;
    Ok(())
}

fn sealed_with(connection: &Connection) -> rusqlite::Result<Option<KeyId>> {
    connection.query_row("SELECT key_id FROM sealing", [], |row| row.get(0).map(KeyId)).optional()
}

/// Seals everything that is secret, in one transaction. `from` is nothing where it was not sealed. Returns how many rows there were.
fn seal_all(
    connection: &mut Connection,
    (from, to): (Option<&Vault>, &Vault),
    progress: Progress<'_>,
) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let total = transaction.query_row(
        concat!(
            "SELECT (SELECT COUNT(*) FROM subscriptions) + (SELECT COUNT(*) FROM suspects)",
            " + (SELECT COUNT(*) FROM deaths) + (SELECT COUNT(*) FROM keys)",
            " + (SELECT COUNT(*) FROM wakeups) + (SELECT COUNT(*) FROM gathered)",
            " + (SELECT COUNT(*) FROM unproven) + (SELECT COUNT(*) FROM inbox) + (SELECT COUNT(*) FROM scheduled)"
        ),
        [],
        |row| row.get::<_, i64>(0),
    )?;
    let mut sealing = Sealing {
        connection: &transaction,
        from,
        to,
        done: 0,
        total: total.cast_unsigned(),
        progress,
    };
    sealing.devices("subscriptions")?;
    sealing.devices("unproven")?;
    sealing.suspects()?;
    sealing.deaths()?;
    sealing.wakeups()?;
    sealing.gathered()?;
    sealing.contents()?;
    sealing.keys()?;
    // Nobody knows whose they are: periods begin anew.
    transaction.execute("DELETE FROM limit_counters", [])?;
    transaction.execute(
        concat!(
            "INSERT INTO sealing (one, key_id, wiped) VALUES (1, ?1, ?2)",
            " ON CONFLICT DO UPDATE SET key_id = ?1, wiped = ?2"
        ),
        params![to.id().0, total == 0],
    )?;
    transaction.commit()?;
    Ok(total.cast_unsigned())
}

struct Sealing<'a> {
    connection: &'a Connection,
    from: Option<&'a Vault>,
    to: &'a Vault,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Sealing<'_> {
    /// Carries `write` over the rows of a query, which goes on after the rowid `?1` and takes `?2` of them.
    fn each<T>(
        &mut self,
        query: &str,
        read: impl Fn(&Self, &Row<'_>) -> rusqlite::Result<T>,
        write: impl Fn(&Self, i64, T) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut after = i64::MIN;
        loop {
            let mut select = self.connection.prepare_cached(query)?;
            let rows: Vec<(i64, T)> = select
                .query_map(params![after, CHUNK], |row| Ok((row.get(0)?, read(self, row)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = *last;
            self.done += rows.len() as u64;
            for (id, row) in rows {
                write(self, id, row)?;
            }
            (self.progress)(self.done, self.total);
        }
    }

    fn open(&self, purpose: Purpose, row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
        let stored = row.get_ref(column)?;
        match self.from {
            None => Ok(stored.as_bytes()?.to_vec()),
            Some(vault) => vault.open(purpose, stored.as_blob()?).ok_or_else(|| misfit(column)),
        }
    }

    fn token(
        &self,
        row: &Row<'_>,
        set: usize,
        column: usize,
    ) -> rusqlite::Result<(CredentialSet, Token)> {
        let set = credential_set(row, set)?;
        let text = String::from_utf8(self.open(Purpose::Token, row, column)?);
        let token = text.ok().and_then(|text| Token::parse(set.provider(), &text).ok());
        Ok((set, token.ok_or_else(|| misfit(column))?))
    }

    fn sealed(&self, token: &Token) -> Vec<u8> {
        self.to.seal(Purpose::Token, token.expose().as_bytes())
    }

    fn key(&self, set: &CredentialSet, token: &Token) -> TokenKey {
        token_key(self.to, set.provider(), token)
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Of a table that has a row for each device.
    fn devices(&mut self, table: &str) -> rusqlite::Result<()> {
        let update = format!("UPDATE {table} SET token = ?2, token_key = ?3 WHERE rowid = ?1");
        self.each(
            &format!(
                "SELECT s.rowid, c.name, s.token FROM {table} s JOIN credential_sets c ON c.id = s.set_id
                 WHERE s.rowid > ?1 ORDER BY s.rowid LIMIT ?2"
            ),
            |this, row| this.token(row, 1, 2),
            |this, id, (set, token)| {
                let (sealed, key) = (this.sealed(&token), this.key(&set, &token));
                this.execute(&update, params![id, sealed, key.0])
            },
        )
    }

    /// Their key is what wake-ups are held with, too.
    fn suspects(&mut self) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare(
            "SELECT q.key, c.name, q.token FROM suspects q JOIN credential_sets c ON c.id = q.set_id",
        )?;
        let all: Vec<([u8; 16], (CredentialSet, Token))> = select
            .query_map([], |row| Ok((row.get(0)?, self.token(row, 1, 2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (before, (set, token)) in &all {
            let (sealed, key) = (self.sealed(token), self.key(set, token));
            self.execute(
                "UPDATE suspects SET key = ?2, token = ?3 WHERE key = ?1",
                params![before, key.0, sealed],
            )?;
            self.execute("UPDATE wakeups SET held = ?2 WHERE held = ?1", [before, &key.0])?;
        }
        self.done += all.len() as u64;
        Ok(())
    }

    fn deaths(&mut self) -> rusqlite::Result<()> {
        self.each(
            concat!(
                "SELECT d.id, c.name, d.token FROM deaths d JOIN credential_sets c ON c.id = d.set_id",
                " WHERE d.id > ?1 ORDER BY d.id LIMIT ?2"
            ),
            |this, row| this.token(row, 1, 2),
            |this, id, (set, token)| {
                let (sealed, key) = (this.sealed(&token), this.key(&set, &token));
                this.execute(
                    "UPDATE deaths SET token = ?2, key = ?3 WHERE id = ?1",
                    params![id, sealed, key.0],
                )
            },
        )
    }

    fn wakeups(&mut self) -> rusqlite::Result<()> {
        self.each(
            concat!(
                "SELECT w.id, c.name, w.token, w.topic, w.message_type, w.dry_run, w.nonce IS NULL",
                " FROM wakeups w JOIN credential_sets c ON c.id = w.set_id",
                " WHERE w.id > ?1 AND w.token IS NOT NULL ORDER BY w.id LIMIT ?2"
            ),
            |this, row| {
                let (set, token) = this.token(row, 1, 2)?;
                let (topic, kind, dry_run) =
                    (topic(row, 3)?, message_type(row, 4)?, dry_run(row, 5)?);
                let key = this.key(&set, &token);
                let key = WakeupKey::for_token(key, topic.as_ref(), &kind, dry_run);
                // One that asks for proof is found by its subscription's id.
                let is_by_token: bool = row.get(6)?;
                Ok((token, is_by_token.then_some(key.0)))
            },
            |this, id, (token, key)| {
                this.execute(
                    "UPDATE wakeups SET token = ?2, key = COALESCE(?3, key) WHERE id = ?1",
                    params![id, this.sealed(&token), key],
                )
            },
        )
    }

    fn gathered(&mut self) -> rusqlite::Result<()> {
        self.values(
            concat!(
                "SELECT id, targets FROM gathered WHERE id > ?1 AND set_id IS NOT NULL",
                " ORDER BY id LIMIT ?2"
            ),
            Purpose::Targets,
            "UPDATE gathered SET targets = ?2 WHERE id = ?1",
        )
    }

    fn contents(&mut self) -> rusqlite::Result<()> {
        self.values(
            "SELECT seq, content FROM inbox WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            Purpose::Content,
            "UPDATE inbox SET content = ?2 WHERE seq = ?1",
        )?;
        self.values(
            concat!(
                "SELECT trail, content FROM scheduled WHERE trail > ?1 AND content IS NOT NULL",
                " ORDER BY trail LIMIT ?2"
            ),
            Purpose::Content,
            "UPDATE scheduled SET content = ?2 WHERE trail = ?1",
        )
    }

    fn keys(&mut self) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare("SELECT name, key FROM keys")?;
        let all: Vec<(String, Vec<u8>)> = select
            .query_map([], |row| Ok((row.get(0)?, self.open(Purpose::Key, row, 1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (name, key) in &all {
            let sealed = self.to.seal(Purpose::Key, key);
            self.execute(
                "UPDATE keys SET key = ?2 WHERE name = ?1",
                [name as &dyn ToSql, &sealed as &dyn ToSql],
            )?;
        }
        self.done += all.len() as u64;
        Ok(())
    }

    /// Values that nothing is found by.
    fn values(&mut self, query: &str, purpose: Purpose, update: &str) -> rusqlite::Result<()> {
        self.each(
            query,
            |this, row| this.open(purpose, row, 1),
            |this, id, value| this.execute(update, params![id, this.to.seal(purpose, &value)]),
        )
    }
}
