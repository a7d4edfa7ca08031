//! What a verdict comes to for the wake-up it answers.

use reveille_mixer::{After, Attempt, RetrySettings, after};
use reveille_model::{Rng, Settled, Timestamp, Verdict};
use reveille_store::{Claimed, End, Settlement, Suspicion};

/// What the drop guard says about verdicts of death.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust {
    /// Of the scope the push concerned.
    pub(super) in_scope: bool,
    /// Of the credential set as a whole: somebody is reached.
    pub(super) anywhere: bool,
}

/// How a wake-up goes on, or ends.
pub(super) fn settlement(
    claimed: &Claimed,
    verdict: Verdict,
    (now, trust): (Timestamp, Trust),
    (retry, rng): (&RetrySettings, &mut Rng),
) -> Settlement {
    let Claimed { id, lease, device, dry_run, .. } = *claimed;
    let attempt = Attempt { number: claimed.attempts.saturating_add(1), now, dry_run };
    let reason = verdict.reason;
    let end = match after(verdict.outcome, attempt, retry, rng) {
        After::Settle(how) => End::Settled(how),
        After::Dead(proof) => End::Dead(proof, reason),
        After::Suspect => End::Suspected(Suspicion { reason, is_trusted: trust.in_scope }),
        After::Retry { due_at } => End::Retry(due_at),
    };
    // Whoever asks for a proof may have named somebody else's token with keys or an app of their own: an answer to that says nothing about the
    // device that is registered.
    if claimed.nonce.is_some() {
        let end = match end {
            End::Dead(..) | End::Suspected(_) => End::Settled(Settled::Dead),
            other => other,
        };
        return Settlement { id, lease, device, end, strike: None };
    }
    // That nobody can be reached at one host says nothing about us; that nobody can be reached anywhere does.
    let suspicion = Suspicion { reason, is_trusted: trust.anywhere };
    let strike = verdict.strike.map(|strike| (strike, suspicion));
    Settlement { id, lease, device, end, strike }
}
