//! Which processes there are, and which share of the work is ours. Whether that is right is a matter of speed only: what a process holds it holds by a lease.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::{AssertSqlSafe, MySqlPool};

use super::transaction::{NOW_US, pause};
use crate::codec::{array, number};
use crate::error::Done;
use crate::statement::{Sent, query};

/// Places for processes.
pub(crate) const NODES_MAX: usize = 64;
/// How often a process says that it is there.
const BEAT: Duration = Duration::from_secs(3);
/// How often it is tried to take one.
const TRIES_MAX: u32 = 20;
/// One that was not heard of for so long is gone, in microseconds.
const GONE_AFTER_US: i64 = 15_000_000;
/// How statements of its transactions are sent: rare ones, so that it is the way that is right everywhere.
const SENT: Sent = Sent::Text;
/// Longer than any lease, in milliseconds.
const LEASE_MAX_MS: i64 = 600_000;

/// Our process among others.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    id: [u8; 16],
    slot: i64,
    share: Arc<RwLock<Share>>,
}

/// Which parts of what is due a process claims first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// The how-many-th it is of those that live.
    ordinal: i64,
    /// How many live.
    count: i64,
    /// Into how many parts wake-ups are dealt.
    parts: i64,
}

impl Share {
    /// The part a wake-up is dealt to. Sort keys are random, and so is this.
    pub(crate) const fn part(self, sort_key: i64) -> i64 {
        sort_key.rem_euclid(self.parts)
    }

    /// The parts that are ours, then those that are others'.
    pub(crate) fn parts(self) -> (Vec<i64>, Vec<i64>) {
        (0..self.parts).partition(|part| part.rem_euclid(self.count) == self.ordinal)
    }
}

impl Node {
    /// Takes a place. Nothing where all are taken.
    pub(crate) async fn enter(pool: &MySqlPool, id: [u8; 16]) -> Done<Option<Self>> {
        let mut tries = 1;
        loop {
            match Self::try_enter(pool, id).await {
                // Others may bury the same node at this moment.
                Err(failed) if failed.is_worth_another_try() && tries < TRIES_MAX => {
                    pause(i64::from(id[0]), tries).await;
                    tries += 1;
                }
                entered => return entered,
            }
        }
    }

    async fn try_enter(pool: &MySqlPool, id: [u8; 16]) -> Done<Option<Self>> {
        bury(pool).await?;
        for slot in 0..i64::try_from(NODES_MAX).unwrap_or_default() {
            if take(pool, id, slot).await? {
                let share = Share { ordinal: 0, count: 1, parts: 1 };
                let node = Self { id, slot, share: Arc::new(RwLock::new(share)) };
                node.look(pool).await?;
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// Whoever only looks, and has no place.
    pub(crate) fn outside() -> Self {
        let share = Share { ordinal: 0, count: 1, parts: 1 };
        Self { id: [0; 16], slot: -1, share: Arc::new(RwLock::new(share)) }
    }

    /// What it is called.
    pub(crate) const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// The number of its place.
    pub(crate) const fn slot(&self) -> i64 {
        self.slot
    }

    pub(crate) fn share(&self) -> Share {
        *self.share.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it is there, for as long as it runs.
    pub(crate) async fn stay(self, pool: MySqlPool) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let seen = async {
                // Whoever was taken for gone comes back to their place, unless somebody else has it.
                take(&pool, self.id, self.slot).await?;
                bury(&pool).await?;
                self.look(&pool).await
            };
            if let Err(error) = seen.await {
                let error = reveille_store::StoreError::from(error);
                tracing::warn!(%error, "the other nodes cannot be seen");
            }
        }
    }

    /// Who else is there.
    async fn look(&self, pool: &MySqlPool) -> Done<()> {
        let sql = format!("SELECT slot FROM nodes WHERE seen_at >= {NOW_US} - ? ORDER BY slot");
        let rows = query(AssertSqlSafe(sql)).bind(GONE_AFTER_US).fetch_all(pool).await?;
        let mut slots = Vec::new();
        for row in &rows {
            slots.push(number(row, 0)?);
        }
        let ours = slots.iter().position(|slot| *slot == self.slot);
        let count = i64::try_from(slots.len().max(1)).unwrap_or(1);
        // Where somebody else has our place we do what is overdue.
        let ordinal = ours.and_then(|place| i64::try_from(place).ok()).unwrap_or(-1);
        // What was dealt into more parts is still there.
        query("UPDATE state SET parts = ? WHERE parts < ?")
            .bind(count)
            .bind(count)
            .execute(pool)
            .await?;
        let parts = number(&query("SELECT parts FROM state").fetch_one(pool).await?, 0)?;
        let share = Share { ordinal, count, parts: parts.max(1) };
        *self.share.write().unwrap_or_else(PoisonError::into_inner) = share;
        Ok(())
    }

    /// Leaves its place to others, and what it still holds.
    pub(crate) async fn leave(&self, pool: &MySqlPool) -> Done<()> {
        remove(pool, (self.slot, &self.id), "").await
    }
}

/// What nodes hold that are gone is anybody's.
async fn bury(pool: &MySqlPool) -> Done<()> {
    let sql = format!("SELECT slot, node FROM nodes WHERE seen_at < {NOW_US} - ?");
    for row in query(AssertSqlSafe(sql)).bind(GONE_AFTER_US).fetch_all(pool).await? {
        let id: [u8; 16] = array(&row, 1)?;
        let still = format!("AND seen_at < {NOW_US} - {GONE_AFTER_US}");
        remove(pool, (number(&row, 0)?, &id), &still).await?;
    }
    Ok(())
}

/// Removes a node, if it is still there, and gives back what it holds: that is due now. Should it live all the same it settles nothing of it any more once somebody else has
/// claimed it.
async fn remove(pool: &MySqlPool, (slot, id): (i64, &[u8; 16]), still: &str) -> Done<()> {
    let mut transaction = pool.begin().await?;
    let delete = format!("DELETE FROM nodes WHERE slot = ? AND node = ? {still}");
    let delete = query(AssertSqlSafe(delete)).bind(slot).bind(id.as_slice());
    if delete.execute_in(SENT, &mut *transaction).await?.rows_affected() > 0 {
        if !still.is_empty() {
            tracing::warn!(slot, "a node is gone; what it held is due");
        }
        // What is in flight is due when its lease ends, which is soon: a part of the index.
        let free = format!(
            "UPDATE wakeups SET due_at = {NOW_US} DIV 1000 WHERE set_id = ? AND part = ? AND due_at > {NOW_US} DIV 1000
             AND due_at < {NOW_US} DIV 1000 + ? AND holder = ?"
        );
        let sets = query("SELECT c.id, s.parts FROM credential_sets c JOIN state s");
        for row in sets.fetch_in(SENT, &mut *transaction).await? {
            for part in 0..number(&row, 1)? {
                let free = query(AssertSqlSafe(free.clone())).bind(number(&row, 0)?).bind(part);
                let free = free.bind(LEASE_MAX_MS).bind(slot);
                free.execute_in(SENT, &mut *transaction).await?;
            }
        }
        let muster = query("DELETE FROM musters WHERE node = ?").bind(id.as_slice());
        muster.execute_in(SENT, &mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Takes a place that is free, or keeps it. Returns whether it is ours.
async fn take(pool: &MySqlPool, id: [u8; 16], slot: i64) -> Done<bool> {
    let sql = format!(
        "INSERT INTO nodes (slot, node, seen_at) VALUES (?, ?, {NOW_US}) ON DUPLICATE KEY UPDATE
         seen_at = IF(node = VALUES(node), VALUES(seen_at), seen_at)"
    );
    query(AssertSqlSafe(sql)).bind(slot).bind(id.as_slice()).execute(pool).await?;
    let row = query("SELECT node FROM nodes WHERE slot = ?").bind(slot).fetch_one(pool).await?;
    Ok(array(&row, 0)? == id)
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn every_part_is_one_nodes() {
        let shares = (0..3).map(|ordinal| Share { ordinal, count: 3, parts: 8 });
        let mut all: Vec<i64> = shares.clone().flat_map(|share| share.parts().0).collect();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
        for share in shares {
            let (ours, others) = share.parts();
            assert_eq!(ours.len() + others.len(), 8);
            assert!((0..8).contains(&share.part(i64::MIN)) && (0..8).contains(&share.part(-1)));
        }
        let alone = Share { ordinal: 0, count: 1, parts: 4 };
        assert_eq!(alone.parts(), (vec![0, 1, 2, 3], vec![]));
    }
}
