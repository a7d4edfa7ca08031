//! Steps that several transactions share.

use reveille_model::{DryRun, Ledger, MessageType, Settled, SubscriptionId, Timestamp};
use reveille_store::StoreError;
use rusqlite::params;

use crate::codec::{pack_ids, store_error};
use crate::engine::Tables;

/// What all wake-ups of one gathered row have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) message_type: MessageType,
    pub(crate) ttl_ms: i64,
    pub(crate) dry_run: DryRun,
}

impl Tables {
    /// Adds counts to the ledger and to a notification's trail. What waits may shrink, everything else only grows.
    pub(crate) fn count(&mut self, trail: Option<i64>, change: Change) -> rusqlite::Result<()> {
        change.apply(&mut self.ledger);
        let Some(seq) = trail else { return Ok(()) };
        let Change { accepted, waiting, collapsed, settled } = change;
        let count =
            |how: Settled| settled.map_or(0, |(each, count)| if each == how { count } else { 0 });
        self.connection
            .prepare_cached(concat!(
                "UPDATE trails SET accepted = accepted + ?2, waiting = waiting + ?3,",
                " collapsed = collapsed + ?4, settled_sent = settled_sent + ?5,",
                " settled_dead = settled_dead + ?6, settled_expired = settled_expired + ?7,",
                " settled_cancelled = settled_cancelled + ?8,",
                " settled_payload_error = settled_payload_error + ?9,",
                " settled_dry_run = settled_dry_run + ?10, settled_limited = settled_limited + ?11 WHERE seq = ?1"
            ))?
            .execute([
                seq,
                accepted,
                waiting,
                collapsed,
                count(Settled::Sent),
                count(Settled::Dead),
                count(Settled::Expired),
                count(Settled::Cancelled),
                count(Settled::PayloadError),
                count(Settled::DryRun),
                count(Settled::Limited),
            ])
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

/// A change of counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    pub(super) accepted: i64,
    pub(super) waiting: i64,
    pub(super) collapsed: i64,
    pub(super) settled: Option<(Settled, i64)>,
}

impl Change {
    /// Newly accepted.
    pub(crate) fn accepted(count: i64) -> Self {
        Self { accepted: count, waiting: count, ..Self::default() }
    }

    /// No longer waiting because they joined others.
    pub(crate) fn collapsed(count: i64) -> Self {
        Self { waiting: -count, collapsed: count, ..Self::default() }
    }

    /// No longer waiting because they ended.
    pub(crate) fn settled(how: Settled, count: i64) -> Self {
        Self { waiting: -count, settled: Some((how, count)), ..Self::default() }
    }

    fn apply(self, ledger: &mut Ledger) {
        ledger.accepted = ledger.accepted.saturating_add_signed(self.accepted);
        ledger.waiting = ledger.waiting.saturating_add_signed(self.waiting);
        ledger.collapsed = ledger.collapsed.saturating_add_signed(self.collapsed);
        if let Some((how, count)) = self.settled {
            ledger.settle(how, count.unsigned_abs());
        }
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
