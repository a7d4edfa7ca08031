//! The one kind of wake-up that joins no window: it asks a device for proof.

use reveille_model::{MessageType, Nonce, Timestamp, Token, Topic};
use reveille_store::WakeupKey;
use reveille_store::tables::Change;
use rusqlite::params;

use super::waiting::{head, waiting_with};
use crate::codec::seal_token;
use crate::engine::Tables;

/// Whom to ask, and with what.
pub(crate) struct Direct<'a> {
    pub(crate) key: WakeupKey,
    pub(crate) set_id: i64,
    pub(crate) topic: Option<&'a Topic>,
    pub(crate) token: &'a Token,
    pub(crate) message_type: &'a MessageType,
    pub(crate) nonce: Nonce,
    pub(crate) sort_key: i64,
    pub(crate) due_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Makes a wake-up that is due at once, or makes the one that waits the newer one.
pub(crate) fn wake_now(tables: &mut Tables, direct: &Direct<'_>) -> rusqlite::Result<()> {
    tables.count(None, Change::accepted(1))?;
    if let Some(waiting) = waiting_with(tables, direct.key)? {
        tables
            .connection
            .prepare_cached(concat!(
                "UPDATE wakeups SET nonce = ?2, expires_at = ?3, set_id = ?4, due_at = ?5, topic = ?6,",
                " token = ?7 WHERE id = ?1"
            ))?
            .execute(params![
                waiting.id,
                direct.nonce.as_bytes(),
                direct.expires_at.as_ms(),
                direct.set_id,
                direct.due_at.as_ms(),
                direct.topic.map(Topic::as_str),
                seal_token(&tables.vault, direct.token),
            ])?;
        tables.lower_cursor(direct.set_id, (direct.due_at.as_ms(), waiting.sort_key));
        return tables.count(None, Change::collapsed(1));
    }
    let (due_at, sort_key) = (direct.due_at.as_ms(), direct.sort_key);
    let id = tables
        .connection
        .prepare_cached(concat!(
            "INSERT INTO wakeups (key, set_id, due_at, sort_key, attempts, window_end, expires_at,",
            " dry_run, message_type, topic, token, nonce)",
            " VALUES (?1, ?2, ?3, ?4, 0, ?3, ?5, 0, ?6, ?7, ?8, ?9)"
        ))?
        .insert(params![
            direct.key.0,
            direct.set_id,
            due_at,
            sort_key,
            direct.expires_at.as_ms(),
            direct.message_type.as_str(),
            direct.topic.map(Topic::as_str),
            seal_token(&tables.vault, direct.token),
            direct.nonce.as_bytes(),
        ])?;
    tables.waiting.insert(head(direct.key), id);
    tables.lower_cursor(direct.set_id, (due_at, sort_key));
    Ok(())
}
