//! Ending and returning claimed wake-ups.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{Mixed, Proof, Settled, SubscriptionId, Timestamp};
use reveille_store::tables::{Change, Kind};
use reveille_store::{End, SettleBatch, SettleReport, Settlement, Suspicion, WakeupKey};
use sqlx::mysql::MySqlRow;

use super::returning::{Return, return_all};
use crate::codec::{Read, array, flag, number, optional_array, optional_number};
use crate::engine::Tables;
use crate::error::Done;
use crate::rows::{listing, padded};
use crate::statement::query;
use crate::suspects::Suspect;

/// A wake-up that ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) id: i64,
    pub(crate) trail: Option<i64>,
    pub(crate) how: Settled,
}

/// A wake-up whose lease is held.
#[derive(Debug, Clone, Copy)]
struct Leased {
    id: i64,
    lease: i64,
    key: WakeupKey,
    trail: Option<i64>,
    expires_at: i64,
    tries: Option<[u8; 16]>,
    /// Whether no other one of its key has come to wait meanwhile.
    has_place: bool,
}

impl Leased {
    fn read(row: &MySqlRow) -> Read<Self> {
        Ok(Self {
            id: number(row, 0)?,
            lease: number(row, 1)?,
            key: WakeupKey(array(row, 2)?),
            trail: optional_number(row, 3)?,
            expires_at: number(row, 4)?,
            tries: optional_array(row, 5)?,
            has_place: flag(row, 6)?,
        })
    }

    fn back(&self, due_at: Timestamp, attempts: i64) -> Return {
        let Self { id, key, trail, expires_at, has_place, .. } = *self;
        Return { id, key, trail, expires_at, due_at, attempts, held: None, has_place }
    }
}

/// What a batch comes to, written at its end.
#[derive(Default)]
struct Settling {
    report: SettleReport,
    ended: Vec<Ended>,
    returns: Vec<Return>,
}

pub(super) async fn settle(tables: &mut Tables<'_>, batch: &SettleBatch) -> Done<SettleReport> {
    let leased = leased(tables, batch).await?;
    let has_suspicion = tables.has_suspects_or_deaths().await?;
    let mut settling = Settling::default();
    for settlement in &batch.settlements {
        let held =
            leased.get(&settlement.id.0).filter(|held| held.lease == settlement.lease.as_i64());
        let Some(held) = held else {
            // Somebody else has it, or has ended it: whoever comes too late changes nothing.
            settling.report.lost += 1;
            continue;
        };
        let mut end = settlement.end;
        if let Some((strike, suspicion)) = settlement.strike
            && let Some(suspect) = find(tables, settlement).await?
            && tables.strike(&suspect, (strike, suspicion.reason), batch.now).await?
        {
            end = End::Suspected(suspicion);
        }
        match end {
            End::Settled(how) => {
                // Nearly always there is nobody under suspicion, and nothing to look up.
                if how == Settled::Sent
                    && has_suspicion
                    && let Some(alive) = find(tables, settlement).await?
                {
                    // What waits with it may have come back in this very batch.
                    settling.flush_returns(tables).await?;
                    tables.clear_suspicion(&alive, batch.now).await?;
                }
                settling.end(held, how);
            }
            End::Dead(proof, reason) => {
                settling.dead(tables, (settlement, held), (proof, reason.0), batch).await?;
            }
            End::Suspected(suspicion) => {
                settling.suspect(tables, (settlement, held), suspicion, batch).await?;
            }
            End::Retry(due_at) => {
                was_no_try(tables, held, due_at).await?;
                settling.returns.push(held.back(due_at, 1));
            }
            End::Postpone(due_at) => {
                was_no_try(tables, held, due_at).await?;
                settling.returns.push(held.back(due_at, 0));
            }
        }
    }
    settling.flush_returns(tables).await?;
    end_all(tables, &settling.ended).await?;
    Ok(settling.report)
}

impl Settling {
    async fn flush_returns(&mut self, tables: &mut Tables<'_>) -> Done<()> {
        let returns = std::mem::take(&mut self.returns);
        self.report.collapsed += return_all(tables, &returns).await?;
        Ok(())
    }

    fn end(&mut self, held: &Leased, how: Settled) {
        self.ended.push(Ended { id: held.id, trail: held.trail, how });
    }

    async fn dead(
        &mut self,
        tables: &mut Tables<'_>,
        (settlement, held): (&Settlement, &Leased),
        (proof, reason): (Proof, &str),
        batch: &SettleBatch,
    ) -> Done<()> {
        let dead = match proof {
            Proof::Guarded => None,
            _ => find(tables, settlement).await?,
        };
        if let Some(dead) = dead {
            if dead.is_renewed(Proof::Guarded) {
                // Its app came back while the push was under way: the verdict is about the registration before.
                self.report.renewed += 1;
                tables.follow_device(held.id).await?;
                self.returns.push(held.back(batch.now, 1));
                return Ok(());
            }
            if dead.is_renewed(proof) {
                self.report.renewed += 1;
            } else {
                tables.bury(&dead, reason, (&batch.tell, batch.now), &mut self.report).await?;
            }
        }
        self.end(held, Settled::Dead);
        Ok(())
    }

    async fn suspect(
        &mut self,
        tables: &mut Tables<'_>,
        (settlement, held): (&Settlement, &Leased),
        suspicion: Suspicion,
        batch: &SettleBatch,
    ) -> Done<()> {
        let Some(found) = find(tables, settlement).await? else {
            // Its subscription is gone, which the next claim says.
            self.returns.push(held.back(batch.now, 1));
            return Ok(());
        };
        if found.is_renewed(Proof::Guarded) {
            self.report.renewed += 1;
            tables.follow_device(held.id).await?;
            self.returns.push(held.back(batch.now, 1));
            return Ok(());
        }
        let reason = suspicion.reason.0;
        let held_since = tables.held_since(&found).await?;
        if suspicion.is_trusted
            && held_since.is_some_and(|since| since.plus(batch.hold) <= batch.now)
        {
            tables.bury(&found, reason, (&batch.tell, batch.now), &mut self.report).await?;
            self.end(held, Settled::Dead);
            return Ok(());
        }
        let next_try = batch.now.plus(batch.hold);
        if tables.hold(&found, reason, (batch.now, next_try)).await? && held_since.is_none() {
            self.report.suspected += 1;
        }
        self.returns.push(Return { held: Some(found.key.0), ..held.back(next_try, 1) });
        Ok(())
    }
}

/// The wake-ups of a batch that are still there. They stay as they are until the transaction is over.
async fn leased(tables: &mut Tables<'_>, batch: &SettleBatch) -> Done<BTreeMap<i64, Leased>> {
    let ids: BTreeSet<i64> = batch.settlements.iter().map(|each| each.id.0).collect();
    let ids = padded(ids);
    let mut found = BTreeMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let sql = "SELECT id, lease, wake_key, trail, expires_at, tries, waiting_key IS NOT NULL FROM wakeups WHERE id IN ({}) FOR UPDATE";
    let mut select = query(listing(sql, "?", ids.len()));
    for id in ids {
        select = select.bind(id);
    }
    for row in tables.all(select).await? {
        let leased = Leased::read(&row)?;
        found.insert(leased.id, leased);
    }
    Ok(found)
}

/// The device of a wake-up whose lease is held; nothing where its subscription is gone.
async fn find(tables: &mut Tables<'_>, settlement: &Settlement) -> Done<Option<Suspect>> {
    let generation = settlement.device.map(|device| device.generation);
    tables.suspect_of(settlement.id.0, generation).await
}

/// A try of a quarantined device came to nothing, so that it was none: it may be tried again when this wake-up is due.
async fn was_no_try(tables: &mut Tables<'_>, held: &Leased, due_at: Timestamp) -> Done<()> {
    let Some(key) = held.tries else { return Ok(()) };
    let update = query("UPDATE suspects SET next_try = ? WHERE token_key = ? AND next_try > ?");
    let update = update.bind(due_at.as_ms()).bind(key.to_vec()).bind(due_at.as_ms());
    tables.execute(update).await.map(drop)
}

/// Ends wake-ups that are ours to end.
pub(crate) async fn end_all(tables: &mut Tables<'_>, ended: &[Ended]) -> Done<()> {
    if ended.is_empty() {
        return Ok(());
    }
    tables.delete_wakeups(ended.iter().map(|each| each.id)).await?;
    for Ended { trail, how, .. } in ended {
        tables.count(*trail, Change::settled(*how, 1));
    }
    Ok(())
}

/// Takes note of those that expired, were a cohort's, and were never tried.
pub(super) async fn note_expired(
    tables: &mut Tables<'_>,
    expired: &[(Option<SubscriptionId>, u32, Option<i64>)],
) -> Done<()> {
    if tables.cohort_sizes().is_none() {
        return Ok(());
    }
    for (subscription, attempts, trail) in expired {
        let (Some(id), 0, None) = (subscription, attempts, trail) else { continue };
        let select = query("SELECT set_id, on_beat FROM subscriptions WHERE id = ?");
        let Some(row) = tables.one(select.bind(id.as_bytes().as_slice())).await? else { continue };
        let kind = Kind { set_id: number(&row, 0)?, is_sealed: flag(&row, 1)? };
        if tables.mixed(kind) == Mixed::Cohort {
            tables.engine.partial.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    Ok(())
}
