//! The one kind of wake-up that joins no window: it asks a device for proof.

use reveille_model::{MessageType, Nonce, Timestamp, Token, Topic};
use reveille_store::WakeupKey;
use reveille_store::tables::Change;

use super::waiting::{make_room, waiting_with};
use crate::codec::seal_token;
use crate::engine::Tables;
use crate::error::Done;
use crate::statement::query;

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
pub(crate) async fn wake_now(tables: &mut Tables<'_>, direct: &Direct<'_>) -> Done<()> {
    tables.count(None, Change::accepted(1));
    let sealed = seal_token(tables.vault(), direct.token);
    let topic = direct.topic.map(|topic| topic.as_str().as_bytes());
    if let Some(waiting) = waiting_with(tables, [direct.key]).await?.get(&direct.key) {
        let update = query(concat!(
            "UPDATE wakeups SET nonce = ?, expires_at = ?, set_id = ?, due_at = ?, topic = ?, token = ?",
            " WHERE id = ?"
        ));
        let update = update
            .bind(direct.nonce.as_bytes().as_slice())
            .bind(direct.expires_at.as_ms())
            .bind(direct.set_id)
            .bind(direct.due_at.as_ms())
            .bind(topic)
            .bind(sealed)
            .bind(waiting.id);
        tables.execute(update).await?;
        tables.count(None, Change::collapsed(1));
        return Ok(());
    }
    make_room(tables, [direct.key]).await?;
    let insert = query(concat!(
        "INSERT INTO wakeups (wake_key, waiting_key, set_id, part, due_at, sort_key, window_end, expires_at,",
        " dry_run, message_type, topic, token, nonce) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)"
    ));
    let insert = insert
        .bind(direct.key.0.as_slice())
        .bind(direct.key.0.as_slice())
        .bind(direct.set_id)
        .bind(tables.engine.node.share().part(direct.sort_key))
        .bind(direct.due_at.as_ms())
        .bind(direct.sort_key)
        .bind(direct.due_at.as_ms())
        .bind(direct.expires_at.as_ms())
        .bind(direct.message_type.as_str().as_bytes())
        .bind(topic)
        .bind(sealed)
        .bind(direct.nonce.as_bytes().as_slice());
    tables.execute(insert).await.map(drop)
}
