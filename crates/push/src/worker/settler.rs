//! Commits what deliveries came to, in groups.

use std::sync::Arc;

use metrics::counter;
use reveille_model::limits::SETTLE_MAX;
use reveille_model::{CredentialSet, Duration, Timestamp};
use reveille_service::clock::Clock;
use reveille_service::traces::Traces;
use reveille_store::{
    Claimed, Destination, End, SettleBatch, SettleReport, Settlement, Store, StoreError,
};
use tokio::sync::{mpsc, watch};

use crate::board::{Board, Change};
use crate::metrics::{FEEDBACK, LEASES_LOST, SUBSCRIPTIONS_DROPPED, SUBSCRIPTIONS_KEPT};

/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_s(1);
/// How often the store is tried. What cannot be settled by then is sent again after its lease.
const STORE_TRIES_MAX: u32 = 30;

/// What a delivery worker hands over.
#[derive(Debug)]
pub(super) enum ToSettle {
    /// A wake-up's end.
    Wakeup(Settlement),
    /// The credential set is paused until then.
    Pause(Timestamp),
}

/// Gives a wake-up back that was not tried.
pub(super) fn postponed(claimed: &Claimed, until: Timestamp) -> Settlement {
    let Claimed { id, lease, device, .. } = *claimed;
    Settlement { id, lease, device, end: End::Postpone(until), strike: None }
}

/// The settling task of one credential set.
pub(super) struct Settler {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) set: CredentialSet,
    pub(super) hold: Duration,
    pub(super) tell: Vec<Destination>,
    pub(super) queue: mpsc::Receiver<ToSettle>,
    /// Told when wake-ups went back to waiting: they may be due before anything the worker knows of.
    pub(super) returned: watch::Sender<()>,
    /// Told when there are deaths to tell.
    pub(super) deaths: watch::Sender<()>,
    pub(super) board: Arc<Board>,
    pub(super) traces: Traces,
}

impl Settler {
    /// Runs until the worker is gone and everything it handed over is settled.
    pub(super) async fn run(mut self) {
        let mut handed = Vec::with_capacity(SETTLE_MAX);
        while self.queue.recv_many(&mut handed, SETTLE_MAX).await > 0 {
            let mut settlements = Vec::with_capacity(handed.len());
            let mut pause = None;
            for each in handed.drain(..) {
                match each {
                    ToSettle::Wakeup(settlement) => settlements.push(settlement),
                    ToSettle::Pause(until) => pause = Some(until),
                }
            }
            self.settle(settlements, pause).await;
        }
    }

    async fn settle(&self, settlements: Vec<Settlement>, pause: Option<Timestamp>) {
        for _ in 0..STORE_TRIES_MAX {
            match self.try_settle(&settlements, pause).await {
                Ok(report) => {
                    if settlements
                        .iter()
                        .any(|each| each.strike.is_some() || !matches!(each.end, End::Settled(_)))
                    {
                        self.returned.send_replace(());
                    }
                    return self.report(report);
                }
                Err(error) => {
                    tracing::error!(%error, set = %self.set, "deliveries cannot be settled; trying again");
                    self.clock.sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn try_settle(
        &self,
        settlements: &[Settlement],
        pause: Option<Timestamp>,
    ) -> Result<SettleReport, StoreError> {
        if let Some(until) = pause {
            self.store.pause(&self.set, until).await?;
        }
        if settlements.is_empty() {
            return Ok(SettleReport::default());
        }
        let batch = SettleBatch {
            settlements: settlements.to_vec(),
            now: self.clock.now(),
            hold: self.hold,
            tell: self.tell.clone(),
        };
        let mut span = self.traces.begin("settle");
        span.of_set(&self.set);
        span.count("reveille.wakeups", settlements.len() as u64);
        span.around(self.store.settle(batch)).await
    }

    /// Feedback `own`: says how many subscriptions went, and never which.
    fn report(&self, report: SettleReport) {
        let set = || self.set.to_string();
        if report.lost > 0 {
            counter!(LEASES_LOST, "set" => set()).increment(report.lost);
            tracing::warn!(set = %self.set, count = report.lost, "answers came after their leases had run out");
        }
        if report.dropped > 0 {
            counter!(SUBSCRIPTIONS_DROPPED, "set" => set()).increment(report.dropped);
            let (now, provider) = (self.clock.now(), self.set.provider());
            self.board.changed(now, provider, Change::Dropped, report.dropped);
            tracing::info!(set = %self.set, count = report.dropped, "subscriptions were deleted on proof");
        }
        if report.renewed > 0 {
            counter!(SUBSCRIPTIONS_KEPT, "set" => set(), "why" => "renewed")
                .increment(report.renewed);
        }
        if report.suspected > 0 {
            counter!(SUBSCRIPTIONS_KEPT, "set" => set(), "why" => "suspect")
                .increment(report.suspected);
            tracing::warn!(set = %self.set, count = report.suspected, "devices look dead and are in quarantine");
        }
        if report.not_told > 0 {
            counter!(FEEDBACK, "destination" => "all", "result" => "lost")
                .increment(report.not_told);
            tracing::error!(set = %self.set, count = report.not_told, "dead tokens will not be told: too many wait to be");
        }
        if report.to_tell > 0 {
            self.deaths.send_replace(());
        }
    }
}
