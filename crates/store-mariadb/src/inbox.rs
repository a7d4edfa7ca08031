//! Inboxes in `MariaDB`.

use async_trait::async_trait;
use reveille_model::limits::INBOX_PER_USER_MAX;
use reveille_model::{Content, NotificationId, Timestamp, User};
use reveille_store::{Inbox, InboxItem, ReadWhich, Section, Seen, StoreError};
use reveille_vault::{Purpose, Vault};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlRow;

use crate::MariaDbStore;
use crate::codec::{Read, array, bytes, event_type, flag, misfit, number, time, user};
use crate::engine::Tables;
use crate::error::Done;
use crate::outbox::ToDeliver;
use crate::rows::{chunks, listing, padded};
use crate::statement::query;

#[async_trait]
impl Inbox for MariaDbStore {
    async fn items(
        &self,
        user: &User,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<Vec<InboxItem>, StoreError> {
        Ok(items(&self.engine.pool, &self.engine.vault, user, (before, limit)).await?)
    }

    async fn read(&self, user: &User, which: ReadWhich) -> Result<(), StoreError> {
        let what = (user.clone(), which);
        self.engine
            .write(&what, |tables, (user, which)| {
                Box::pin(async move {
                    match which {
                        ReadWhich::All => read_all(tables, user).await,
                        ReadWhich::Ids(ids) => mark(tables, user, ids, Mark::Read).await,
                    }
                })
            })
            .await
    }

    async fn unread(&self, user: &User, ids: Vec<NotificationId>) -> Result<(), StoreError> {
        let what = (user.clone(), ids);
        self.engine
            .write(&what, |tables, (user, ids)| Box::pin(mark(tables, user, ids, Mark::Unread)))
            .await
    }

    async fn seen(&self, user: &User) -> Result<Seen, StoreError> {
        Ok(read_seen(&self.engine.pool, user).await?)
    }

    async fn see(
        &self,
        user: &User,
        sections: Vec<Section>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let what = (user.clone(), sections, now);
        self.engine.write(&what, |tables, what| Box::pin(see(tables, what))).await
    }
}

async fn items(
    pool: &MySqlPool,
    vault: &Vault,
    user: &User,
    (before, limit): (Option<NotificationId>, usize),
) -> Done<Vec<InboxItem>> {
    let name = user.expose().as_bytes();
    let before = match before {
        Some(id) => {
            let place = query("SELECT seq FROM inbox WHERE user_name = ? AND id = ? LIMIT 1");
            let place =
                place.bind(name).bind(id.as_bytes().as_slice()).fetch_optional(pool).await?;
            let Some(row) = place else { return Ok(Vec::new()) };
            number(&row, 0)?
        }
        None => i64::MAX,
    };
    let select = query(concat!(
        "SELECT id, event_type, at, is_read, content FROM inbox WHERE user_name = ? AND seq < ?",
        " ORDER BY seq DESC LIMIT ?"
    ));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.bind(name).bind(before).bind(limit).fetch_all(pool).await?;
    Ok(rows.iter().map(|row| read_item(row, vault)).collect::<Read<_>>()?)
}

fn read_item(row: &MySqlRow, vault: &Vault) -> Read<InboxItem> {
    let opened = vault.open(Purpose::Content, &bytes(row, 4)?);
    let json = opened.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(InboxItem {
        id: NotificationId::from_bytes(array(row, 0)?),
        event_type: event_type(row, 1)?,
        at: time(row, 2)?,
        is_read: flag(row, 3)?,
        content: Content::from_json(json.ok_or_else(|| misfit(4))?),
    })
}

async fn read_all(tables: &mut Tables<'_>, user: &User) -> Done<()> {
    let update = query("UPDATE inbox SET is_read = 1 WHERE user_name = ? AND is_read = 0");
    tables.execute(update.bind(user.expose().as_bytes())).await.map(drop)
}

/// What an item is marked as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Read,
    Unread,
}

async fn mark(
    tables: &mut Tables<'_>,
    user: &User,
    ids: &[NotificationId],
    mark: Mark,
) -> Done<()> {
    let ids = padded(ids.iter().copied());
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE inbox SET is_read = ? WHERE user_name = ? AND id IN ({})";
    let mut update = query(listing(sql, "?", ids.len()));
    update = update.bind(mark == Mark::Read).bind(user.expose().as_bytes());
    for id in &ids {
        update = update.bind(id.as_bytes().as_slice());
    }
    tables.execute(update).await.map(drop)
}

/// A kind's number in the table.
const fn section_number(section: Section) -> i64 {
    match section {
        Section::Alert => 0,
        Section::Message => 1,
    }
}

async fn read_seen(pool: &MySqlPool, user: &User) -> Done<Seen> {
    let select = query("SELECT section, at FROM seen WHERE user_name = ?");
    let rows = select.bind(user.expose().as_bytes()).fetch_all(pool).await?;
    let mut seen = Seen::default();
    for row in &rows {
        let section = number(row, 0)?;
        let known = [Section::Alert, Section::Message];
        let section = known.into_iter().find(|each| section_number(*each) == section);
        seen.see(section.ok_or_else(|| misfit(0))?, time(row, 1)?);
    }
    Ok(seen)
}

async fn see(
    tables: &mut Tables<'_>,
    (user, sections, now): &(User, Vec<Section>, Timestamp),
) -> Done<()> {
    for section in sections {
        let upsert = query(concat!(
            "INSERT INTO seen (user_name, section, at) VALUES (?, ?, ?)",
            " ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at))"
        ));
        let upsert = upsert.bind(user.expose().as_bytes()).bind(section_number(*section));
        tables.execute(upsert.bind(now.as_ms())).await?;
    }
    Ok(())
}

impl Tables<'_> {
    /// Puts content into inboxes; the oldest items make room.
    pub(crate) async fn deliver(&mut self, deliveries: &[(User, ToDeliver)]) -> Done<()> {
        for part in chunks(deliveries) {
            let sql =
                "INSERT INTO inbox (user_name, id, event_type, at, is_read, content) VALUES {}";
            let mut insert = query(listing(sql, "(?, ?, ?, ?, 0, ?)", part.len()));
            for (user, what) in part {
                insert = insert
                    .bind(user.expose().as_bytes())
                    .bind(what.id.as_bytes().as_slice())
                    .bind(what.event_type.as_str().as_bytes())
                    .bind(what.at.as_ms())
                    .bind(what.sealed.as_slice());
            }
            self.execute(insert).await?;
            self.make_room(part).await?;
        }
        Ok(())
    }

    async fn make_room(&mut self, deliveries: &[(User, ToDeliver)]) -> Done<()> {
        let max = i64::try_from(INBOX_PER_USER_MAX).unwrap_or(i64::MAX);
        let sql = concat!(
            "SELECT user_name FROM inbox WHERE user_name IN ({}) GROUP BY user_name",
            " HAVING COUNT(*) > ?"
        );
        let names = padded(deliveries.iter().map(|(user, _)| user.expose().as_bytes()));
        let mut select = query(listing(sql, "?", names.len()));
        for name in &names {
            select = select.bind(*name);
        }
        for row in self.all(select.bind(max)).await? {
            let full = user(&row, 0)?;
            let oldest = query(
                "SELECT seq FROM inbox WHERE user_name = ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
            );
            let name = full.expose().as_bytes();
            let Some(row) = self.one(oldest.bind(name).bind(max)).await? else { continue };
            let delete = query("DELETE FROM inbox WHERE user_name = ? AND seq <= ?");
            self.execute(delete.bind(name).bind(number(&row, 0)?)).await?;
        }
        Ok(())
    }

    /// Forgets items that came before a time, and what was seen before it.
    pub(crate) async fn sweep_inbox(&mut self, before: Timestamp, limit: i64) -> Done<u64> {
        let delete = query("DELETE FROM inbox WHERE at < ? ORDER BY at LIMIT ?");
        let gone = self.execute(delete.bind(before.as_ms()).bind(limit)).await?;
        // Whatever was there then is gone, too.
        let delete = query("DELETE FROM seen WHERE at < ? ORDER BY at LIMIT ?");
        self.execute(delete.bind(before.as_ms()).bind(limit)).await?;
        Ok(gone)
    }
}
