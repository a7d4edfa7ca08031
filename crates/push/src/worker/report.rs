//! What one credential set's worker tells its operators: metrics, and what somebody should look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use reveille_mixer::{DropGuard, Governor};
use reveille_model::{CredentialSet, Outcome, Provider, Reach, Reason, Timestamp, Verdict};
use reveille_service::traces::Traces;
use reveille_store::Claimed;

use super::scopes::Scopes;
use super::sending::Sending;
use crate::board::{Board, SetSeen, lock};
use crate::compat;
use crate::metrics::{
    CONFIG_ERROR, DELIVERIES, DELIVERIES_IN_FLIGHT, DELIVERY_DURATION, DELIVERY_LATENESS,
    DROP_GUARD, PACE, PAUSED, SCOPES_PAUSED,
};

/// What was said already.
pub(super) struct Report {
    set: CredentialSet,
    sending: Sending,
    answers: BTreeMap<(&'static str, Reason), Counter>,
    duration: Histogram,
    lateness: Histogram,
    in_flight: Gauge,
    paused: Gauge,
    pace: Gauge,
    /// Whether the drop guard was tripped when it was last asked, and in which second that was.
    is_tripped: bool,
    looked_at_s: i64,
    /// Whether somebody died or was suspected since.
    is_guard_told: bool,
    /// Where our configuration is refused: the whole set (the empty text), or a topic of it.
    refused: BTreeSet<String>,
    /// The second of the last complaint about a message of ours.
    complained_at_s: i64,
    seen: Arc<Mutex<SetSeen>>,
}

impl Report {
    /// Nothing said yet.
    pub(super) fn new(set: CredentialSet, (traces, board): (Traces, &Board)) -> Self {
        let (name, seen) = (set.to_string(), board.set(&set));
        Self {
            sending: Sending::new(traces, set.clone()),
            set,
            answers: BTreeMap::new(),
            duration: histogram!(DELIVERY_DURATION, "set" => name.clone()),
            lateness: histogram!(DELIVERY_LATENESS, "set" => name.clone()),
            in_flight: gauge!(DELIVERIES_IN_FLIGHT, "set" => name.clone()),
            paused: gauge!(PAUSED, "set" => name.clone()),
            pace: gauge!(PACE, "set" => name),
            is_tripped: false,
            looked_at_s: 0,
            is_guard_told: false,
            refused: BTreeSet::new(),
            complained_at_s: 0,
            seen,
        }
    }

    /// A wake-up leaves. That which asks for proof belongs to no window, and what is tried again has left before.
    pub(super) fn leaves(&mut self, claimed: &Claimed, now: Timestamp) {
        self.sending.leaves(now);
        if claimed.attempts == 0 && claimed.nonce.is_none() {
            self.lateness.record(now.since(claimed.window_end).to_std().as_secs_f64());
        }
    }

    /// Counts an answer that took so many seconds.
    pub(super) fn answered(&mut self, verdict: Verdict, (seconds, now): (f64, Timestamp)) {
        lock(&self.seen).answered(now, verdict, seconds);
        let Verdict { outcome, reason, .. } = verdict;
        let (set, outcome) = (&self.set, outcome.as_str());
        let counter = self.answers.entry((outcome, reason)).or_insert_with(|| {
            counter!(DELIVERIES, "set" => set.to_string(), "outcome" => outcome, "reason" => reason.0)
        });
        counter.increment(1);
        self.sending.answered(verdict.outcome, now);
        self.duration.record(seconds);
        compat::answered(self.set.provider(), verdict.outcome, seconds);
    }

    /// Remembers where our configuration is refused until a push is taken there. What a host says that a client chose is not about us.
    pub(super) fn heard(&mut self, scope: &str, verdict: Verdict) {
        self.is_guard_told |= matches!(verdict.outcome, Outcome::DropSubscription(_));
        let is_topic = self.set.provider() == Provider::Apns;
        match (verdict.outcome, verdict.reach) {
            (Outcome::ConfigError | Outcome::RefreshCredential, Reach::Set) => {
                self.refused.insert(String::new());
            }
            (Outcome::ConfigError | Outcome::RefreshCredential, Reach::Scope) if is_topic => {
                self.refused.insert(scope.to_owned());
            }
            (Outcome::Accepted, _) if !self.refused.is_empty() => {
                self.refused.remove("");
                self.refused.remove(scope);
            }
            _ => {}
        }
    }

    /// Says what somebody should look at. A scope is named where it is a topic of ours, not where it is somebody's server.
    pub(super) fn complain(
        &mut self,
        (scope, verdict): (&str, Verdict),
        (now, paused_until): (Timestamp, Option<Timestamp>),
    ) {
        let Verdict { outcome, reason, reach, .. } = verdict;
        let (set, outcome_word) = (&self.set, outcome.as_str());
        let topic = if set.provider() == Provider::Apns { scope } else { "" };
        if let Some(until) = paused_until {
            let (seconds, whole_set) = (until.since(now).as_s(), reach == Reach::Set);
            if outcome == Outcome::ConfigError {
                tracing::error!(%set, topic, reason = reason.0, seconds, whole_set, "our configuration is refused; paused");
            } else {
                tracing::warn!(%set, topic, outcome = outcome_word, reason = reason.0, seconds, whole_set, "paused");
            }
        }
        // Once a second is often enough.
        if outcome == Outcome::PayloadError && self.complained_at_s != now.as_s() {
            self.complained_at_s = now.as_s();
            tracing::error!(%set, topic, reason = reason.0, "the provider refuses a message of ours");
        }
    }

    /// Shows what is going on.
    pub(super) fn gauges(&mut self, now: Timestamp, in_flight: usize, governor: &Governor) {
        self.sending.look(now, in_flight);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.in_flight.set(in_flight as f64);
        let paused_until = governor.paused_until(now);
        self.paused.set(f64::from(u8::from(paused_until.is_some())));
        let mut seen = lock(&self.seen);
        (seen.in_flight, seen.pace, seen.paused_until) = (in_flight, governor.pace(), paused_until);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.pace.set(governor.pace() as f64);
    }

    /// Shows what goes wrong: looks once a second, and when somebody died.
    pub(super) fn troubles(&mut self, now: Timestamp, scopes: &mut Scopes, guard: &mut DropGuard) {
        if self.looked_at_s == now.as_s() && !self.is_guard_told {
            return;
        }
        (self.looked_at_s, self.is_guard_told) = (now.as_s(), false);
        let set = || self.set.to_string();
        let is_tripped = guard.is_any_tripped(now);
        if is_tripped != self.is_tripped {
            self.is_tripped = is_tripped;
            if is_tripped {
                tracing::error!(set = %self.set, "too many devices look dead at once: is a topic, key, project or environment of ours wrong? Guarded verdicts are held in quarantine (`reveille quarantine list`)");
            } else {
                tracing::warn!(set = %self.set, "devices no longer look dead by the dozen");
            }
        }
        let is_refused = !self.refused.is_empty();
        gauge!(CONFIG_ERROR, "set" => set()).set(f64::from(u8::from(is_refused)));
        let scopes_paused = scopes.paused(now);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!(SCOPES_PAUSED, "set" => set()).set(scopes_paused as f64);
        gauge!(DROP_GUARD, "set" => set()).set(f64::from(u8::from(is_tripped)));
        let mut seen = lock(&self.seen);
        (seen.is_tripped, seen.is_refused, seen.scopes_paused) =
            (is_tripped, is_refused, scopes_paused);
    }
}
