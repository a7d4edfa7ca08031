//! The inbox in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::limits::INBOX_PER_USER_MAX;
use reveille_model::{Content, EventType, NotificationId, Timestamp, User};
use reveille_store::{Inbox, InboxItem, ReadWhich, Section, Seen, StoreError};
use reveille_vault::{Purpose, Vault};
use rusqlite::{Connection, Row, params};

use crate::SqliteStore;
use crate::codec::{event_type, misfit, store_error, time};
use crate::engine::Tables;

#[async_trait]
impl Inbox for SqliteStore {
    async fn items(
        &self,
        user: &User,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<Vec<InboxItem>, StoreError> {
        let (user, vault) = (user.clone(), Arc::clone(&self.vault));
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(concat!(
                        "SELECT id, event_type, at, is_read, content FROM inbox WHERE user_name = ?1",
                        " AND seq < CASE WHEN ?2 IS NULL THEN 9223372036854775807 ELSE COALESCE(",
                        " (SELECT seq FROM inbox WHERE user_name = ?1 AND id = ?2), 0) END",
                        " ORDER BY seq DESC LIMIT ?3"
                    ))
                    .and_then(|mut select| {
                        let before = before.map(|id| *id.as_bytes());
                        select
                            .query_map(params![user.expose(), before, limit], |row| {
                                read_item(row, &vault)
                            })?
                            .collect()
                    })
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn read(&self, user: &User, which: ReadWhich) -> Result<(), StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                mark_read(tables, &user, &which).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn unread(&self, user: &User, ids: Vec<NotificationId>) -> Result<(), StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                mark(tables, &user, &ids, Mark::Unread).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn seen(&self, user: &User) -> Result<Seen, StoreError> {
        let user = user.clone();
        self.readers
            .read(move |connection| {
                read_seen(connection, &user).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn see(
        &self,
        user: &User,
        sections: Vec<Section>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let user = user.clone();
        self.writer
            .write_or_refuse(move |tables| {
                see(&tables.connection, &user, &sections, now).map_err(|error| store_error(&error))
            })
            .await
    }
}

/// A kind's number in the table.
const fn number(section: Section) -> i64 {
    match section {
        Section::Alert => 0,
        Section::Message => 1,
    }
}

fn read_seen(connection: &Connection, user: &User) -> rusqlite::Result<Seen> {
    let mut select =
        connection.prepare_cached("SELECT section, at FROM seen WHERE user_name = ?1")?;
    let mut rows = select.query([user.expose()])?;
    let mut seen = Seen::default();
    while let Some(row) = rows.next()? {
        let section: i64 = row.get(0)?;
        let known = [Section::Alert, Section::Message];
        let section = known.into_iter().find(|each| number(*each) == section);
        seen.see(section.ok_or_else(|| misfit(0))?, time(row, 1)?);
    }
    Ok(seen)
}

fn see(
    connection: &Connection,
    user: &User,
    sections: &[Section],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(concat!(
        "INSERT INTO seen (user_name, section, at) VALUES (?1, ?2, ?3)",
        " ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at"
    ))?;
    for section in sections {
        upsert.execute(params![user.expose(), number(*section), now.as_ms()])?;
    }
    Ok(())
}

fn read_item(row: &Row<'_>, vault: &Vault) -> rusqlite::Result<InboxItem> {
    let opened = vault.open(Purpose::Content, row.get_ref(4)?.as_blob()?);
    let json = opened.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(InboxItem {
        id: NotificationId::from_bytes(row.get(0)?),
        event_type: event_type(row, 1)?,
        at: time(row, 2)?,
        is_read: row.get(3)?,
        content: Content::from_json(json.ok_or_else(|| misfit(4))?),
    })
}

fn mark_read(tables: &Tables, user: &User, which: &ReadWhich) -> rusqlite::Result<()> {
    let connection = &tables.connection;
    match which {
        ReadWhich::All => connection
            .prepare_cached("UPDATE inbox SET is_read = 1 WHERE user_name = ?1 AND is_read = 0")?
            .execute([user.expose()])
            .map(drop),
        ReadWhich::Ids(ids) => mark(tables, user, ids, Mark::Read),
    }
}

/// What an item is marked as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Read,
    Unread,
}

fn mark(tables: &Tables, user: &User, ids: &[NotificationId], mark: Mark) -> rusqlite::Result<()> {
    let mut update = tables.connection.prepare_cached(
        "UPDATE inbox SET is_read = ?3 WHERE user_name = ?1 AND id = ?2 AND is_read <> ?3",
    )?;
    for id in ids {
        update.execute(params![user.expose(), id.as_bytes(), mark == Mark::Read])?;
    }
    Ok(())
}

/// Content on its way to inboxes.
pub(crate) struct ToDeliver<'a> {
    pub(crate) id: NotificationId,
    pub(crate) event_type: &'a EventType,
    pub(crate) at: Timestamp,
    pub(crate) sealed: &'a [u8],
}

impl Tables {
    /// Puts content into a user's inbox; the oldest items make room.
    pub(crate) fn deliver(&self, user: &User, what: &ToDeliver<'_>) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO inbox (user_name, id, event_type, at, is_read, content)",
                " VALUES (?1, ?2, ?3, ?4, 0, ?5)"
            ))?
            .execute(params![
                user.expose(),
                what.id.as_bytes(),
                what.event_type.as_str(),
                what.at.as_ms(),
                what.sealed
            ])?;
        self.connection
            .prepare_cached(concat!(
                "DELETE FROM inbox WHERE user_name = ?1 AND seq <= (SELECT seq FROM inbox",
                " WHERE user_name = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)"
            ))?
            .execute(params![user.expose(), INBOX_PER_USER_MAX])
            .map(drop)
    }

    /// Forgets items that came before a time. They stand in the order in which they came.
    pub(crate) fn sweep_inbox(&self, before: Timestamp, limit: i64) -> rusqlite::Result<u64> {
        let gone = self
            .connection
            .prepare_cached(concat!(
                "DELETE FROM inbox WHERE seq IN (SELECT seq FROM (SELECT seq, at FROM inbox",
                " ORDER BY seq LIMIT ?2) WHERE at < ?1)"
            ))?
            .execute(params![before.as_ms(), limit])?;
        // Whatever was there then is gone, too.
        self.connection
            .prepare_cached(concat!(
                "DELETE FROM seen WHERE (user_name, section) IN (SELECT user_name, section FROM seen",
                " WHERE at < ?1 LIMIT ?2)"
            ))?
            .execute(params![before.as_ms(), limit])?;
        Ok(gone as u64)
    }
}
