//! Steps that several transactions share.

use reveille_model::{DryRun, SubscriptionId, Timestamp};
use reveille_store::StoreError;
use reveille_store::tables::{Change, Shape, pack_ids};
use rusqlite::{params, params_from_iter};

use crate::codec::store_error;
use crate::engine::Tables;

impl Tables {
    /// Adds counts to the ledger and to a notification's trail. What waits may shrink, everything else only grows.
    pub(crate) fn count(&mut self, trail: Option<i64>, change: Change) -> rusqlite::Result<()> {
        change.apply(&mut self.ledger);
        let Some(seq) = trail else { return Ok(()) };
        self.connection
            .prepare_cached(concat!(
                "UPDATE trails SET accepted = accepted + ?2, waiting = waiting + ?3,",
                " collapsed = collapsed + ?4, settled_sent = settled_sent + ?5,",
                " settled_dead = settled_dead + ?6, settled_expired = settled_expired + ?7,",
                " settled_cancelled = settled_cancelled + ?8,",
                " settled_payload_error = settled_payload_error + ?9,",
                " settled_dry_run = settled_dry_run + ?10, settled_limited = settled_limited + ?11 WHERE seq = ?1"
            ))?
            .execute(params_from_iter(std::iter::once(seq).chain(change.counts())))
            .map(drop)
    }

    /// Writes one gathered row of subscriptions.
    pub(crate) fn gather(
        &mut self,
        trail: Option<i64>,
        shape: &Shape,
        window_end: Timestamp,
        ids: &[SubscriptionId],
    ) -> rusqlite::Result<()> {
        let id = self.next_gathered();
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO gathered (id, window_end, trail, message_type, ttl_ms, dry_run, count, targets)",
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            ))?
            .execute(params![
                id,
                window_end.as_ms(),
                trail,
                shape.message_type.as_str(),
                shape.ttl_ms,
                shape.dry_run == DryRun::Yes,
                ids.len(),
                pack_ids(ids.iter().map(|id| *id.as_bytes())),
            ])
            .map(drop)
    }
}

/// A stored blob that cannot be read.
pub(super) fn corrupt() -> StoreError {
    StoreError::Corrupt("a list of targets cannot be read".to_owned())
}

/// For commands whose error is wider than the driver's.
pub(super) fn sql<T>(result: rusqlite::Result<T>) -> Result<T, StoreError> {
    result.map_err(|error| store_error(&error))
}
