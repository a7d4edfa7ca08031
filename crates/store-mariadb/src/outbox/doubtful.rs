//! Claims of which nobody knows whether they were written: the answer to the commit was lost, or came too late. What such a claim holds is nobody's, and would wait for the end
//! of its lease.

use std::sync::{Mutex, PoisonError};

use reveille_model::{CredentialSet, LeaseId, Timestamp};
use reveille_store::Claim;
use sqlx::AssertSqlSafe;

use crate::engine::Tables;
use crate::error::Done;
use crate::statement::query;

/// How many are remembered. What others hold comes back when their leases end.
const DOUBTFUL_MAX: usize = 64;

/// A claim that may have been written, and may still be.
#[derive(Debug, Clone)]
struct Doubtful {
    set: CredentialSet,
    lease: LeaseId,
    lease_until: Timestamp,
}

/// Those of this process.
#[derive(Debug, Default)]
pub(crate) struct DoubtfulClaims(Mutex<Vec<Doubtful>>);

impl DoubtfulClaims {
    /// Takes note of one.
    pub(super) fn note(&self, claim: &Claim) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == DOUBTFUL_MAX {
            all.remove(0);
        }
        let Claim { set, lease, lease_until, .. } = claim;
        all.push(Doubtful { set: set.clone(), lease: *lease, lease_until: *lease_until });
    }

    /// Those of a credential set whose leases have not ended. They stay: a commit may take effect later than anybody waits for it.
    fn of(&self, set: &CredentialSet, now: Timestamp) -> Vec<Doubtful> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|each| now < each.lease_until);
        all.iter().filter(|each| each.set == *set).cloned().collect()
    }
}

/// What doubtful claims hold is due now.
pub(super) async fn give_back(tables: &mut Tables<'_>, set_id: i64, claim: &Claim) -> Done<()> {
    let doubtful = tables.engine.doubtful.of(&claim.set, claim.now);
    if doubtful.is_empty() {
        return Ok(());
    }
    let (ours, others) = tables.engine.node.share().parts();
    let parts: Vec<i64> = ours.into_iter().chain(others).collect();
    let marks = |count: usize| vec!["?"; count].join(", ");
    // One statement however many there are. A lease is one claim's, so that it makes no difference which end of a lease stands beside which.
    let (parts_marks, leases_marks) = (marks(parts.len()), marks(doubtful.len()));
    let sql = format!(
        "UPDATE wakeups FORCE INDEX (wakeups_due) SET due_at = ? WHERE set_id = ? AND part IN ({parts_marks})
         AND due_at IN ({leases_marks}) AND lease IN ({leases_marks})"
    );
    let mut update = query(AssertSqlSafe(sql)).bind(claim.now.as_ms()).bind(set_id);
    for part in parts {
        update = update.bind(part);
    }
    for each in &doubtful {
        update = update.bind(each.lease_until.as_ms());
    }
    for each in &doubtful {
        update = update.bind(each.lease.as_i64());
    }
    let given_back = tables.execute(update).await?;
    if given_back > 0 {
        tracing::warn!(count = given_back, set = %claim.set, "wake-ups of a claim whose answer was lost are due again");
    }
    Ok(())
}
