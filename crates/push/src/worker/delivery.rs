//! Delivers the wake-ups of one credential set: claims what the governor allows, sends, hands what it came to to the settler.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use reveille_mixer::{After, Allowance, Attempt, Governor, GovernorSettings, after};
use reveille_model::limits::CLAIM_MAX;
use reveille_model::{
    CredentialSet, Duration, LeaseId, Outcome, Rng, Timestamp, Verdict, WakeupId,
};
use reveille_providers::{Push, Sender};
use reveille_service::clock::{Clock, Stopwatch};
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Claim, Claimed, End, Settlement, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::settler::{Settler, ToSettle};
use crate::metrics::{CONFIG_ERROR, DELIVERIES, DELIVERIES_IN_FLIGHT, DELIVERY_DURATION, PAUSED};

/// How long a claim holds. Longer than a sender can take, resends and a new credential included.
const LEASE: Duration = Duration::from_s(120);
/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_s(1);
/// How long to wait at least before looking again when something seems due and cannot be claimed: a window is being expanded.
const LOOK_AGAIN: Duration = Duration::from_ms(250);
/// At a stop: how long what is in flight may take before it is given back.
const DRAIN_MAX: Duration = Duration::from_s(10);
/// Settlements that may wait for the settler.
const SETTLE_QUEUE_MAX: usize = 4_096;

/// One credential set's settings.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// The credential set.
    pub set: CredentialSet,
    /// Its bounds and delays.
    pub governor: GovernorSettings,
}

/// The delivery task of one credential set.
pub struct Delivery {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sender: Arc<dyn Sender>,
    settings: DeliverySettings,
    rng: Rng,
    released: watch::Receiver<Timestamp>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One push, answered.
struct Answered {
    claimed: Claimed,
    verdict: Verdict,
    seconds: f64,
}

/// What the worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing: look for what is due.
    Look,
    /// An answer: enough is in flight.
    Answer,
    /// The moment at which something is due, if any; or that something becomes due earlier.
    Due(Option<Timestamp>),
    /// The end of a pause.
    Paused(Timestamp),
}

/// What only the running worker has.
struct Running {
    governor: Governor,
    in_flight: JoinSet<Answered>,
    /// What in flight is to be given back at a stop.
    held: BTreeMap<WakeupId, Settlement>,
    to_settler: mpsc::Sender<ToSettle>,
    /// Told when wake-ups went back to waiting.
    returned: watch::Receiver<()>,
}

impl Delivery {
    /// A worker.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        sender: Arc<dyn Sender>,
        settings: DeliverySettings,
        (rng, released): (Rng, watch::Receiver<Timestamp>),
    ) -> Self {
        Self { store, clock, sender, settings, rng, released }
    }

    /// Runs until the lifecycle stops and what was in flight is settled or given back.
    pub async fn run(mut self, lifecycle: Lifecycle) {
        let (to_settler, queue) = mpsc::channel(SETTLE_QUEUE_MAX);
        let (tell_returned, returned) = watch::channel(());
        let settler = Settler {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            set: self.settings.set.clone(),
            queue,
            returned: tell_returned,
        };
        let settling = settler.run();
        let delivering = async {
            let paused_until =
                self.store.paused_until(&self.settings.set).await.unwrap_or_default();
            let governor = Governor::new(self.settings.governor, paused_until);
            let (in_flight, held) = (JoinSet::new(), BTreeMap::new());
            let mut running = Running { governor, in_flight, held, to_settler, returned };
            self.deliver(&mut running, &lifecycle).await;
            self.drain(running).await;
        };
        tokio::join!(settling, delivering);
    }

    async fn deliver(&mut self, running: &mut Running, lifecycle: &Lifecycle) {
        let mut next = Next::Look;
        while !lifecycle.is_stopping() {
            if next == Next::Look {
                next = self.claim_and_send(running).await;
            }
            self.gauges(running);
            let moment = match next {
                Next::Due(moment) => moment,
                Next::Paused(until) => Some(until),
                Next::Look | Next::Answer => None,
            };
            let is_paused = matches!(next, Next::Paused(_));
            tokio::select! {
                biased;
                () = lifecycle.stopping() => return,
                Some(answered) = running.in_flight.join_next() => {
                    self.heard(running, answered).await;
                    // As many as are there, so that claims and settlements come in groups.
                    while let Some(answered) = running.in_flight.try_join_next() {
                        self.heard(running, answered).await;
                    }
                    if next == Next::Answer {
                        next = Next::Look;
                    }
                }
                Ok(()) = self.released.changed(), if !is_paused => next = Next::Look,
                Ok(()) = running.returned.changed(), if !is_paused => next = Next::Look,
                () = sleep_until(&*self.clock, moment) => next = Next::Look,
            }
        }
    }

    /// Claims what may be sent now and sends it.
    async fn claim_and_send(&mut self, running: &mut Running) -> Next {
        let now = self.clock.now();
        let in_flight = running.in_flight.len();
        let room = match running.governor.allowance(now, in_flight) {
            Allowance::Paused(until) | Allowance::Paced(until) => return Next::Paused(until),
            Allowance::Send(room) => room.min(CLAIM_MAX),
        };
        // A claim is a transaction: not for every place that becomes free, but for a good part of them.
        let worthwhile = self.settings.governor.in_flight_max.min(CLAIM_MAX) / 4;
        if in_flight > 0 && room < worthwhile.max(1) {
            return Next::Answer;
        }
        let claim = Claim {
            set: self.settings.set.clone(),
            now,
            lease: LeaseId::from_random(self.rng.next_u64()),
            lease_until: now.plus(LEASE),
            limit: room,
        };
        let claimed = match self.store.claim(claim).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, set = %self.settings.set, "nothing can be claimed; trying again");
                return Next::Paused(now.plus(STORE_RETRY));
            }
        };
        let there_may_be_more = !claimed.is_empty();
        running.governor.sent(claimed.len());
        for each in claimed {
            self.send(running, each);
        }
        // Some of what was due may have been settled by the claim itself: only an empty claim says that nothing is left.
        if there_may_be_more { Next::Answer } else { self.idle(now).await }
    }

    /// Nothing more is due: until when?
    async fn idle(&self, now: Timestamp) -> Next {
        match self.store.next_due(&self.settings.set).await {
            Ok(next_due) => Next::Due(next_due.map(|due| due.max(now.plus(LOOK_AGAIN)))),
            Err(error) => {
                tracing::error!(%error, set = %self.settings.set, "the outbox cannot be read; trying again");
                Next::Paused(now.plus(STORE_RETRY))
            }
        }
    }

    fn send(&self, running: &mut Running, claimed: Claimed) {
        let Claimed { id, lease, device, .. } = claimed;
        running.held.insert(id, Settlement { id, lease, device, end: End::GiveBack });
        let sender = Arc::clone(&self.sender);
        running.in_flight.spawn(async move {
            let push = Push {
                token: claimed.token.clone(),
                topic: claimed.topic.clone(),
                message_type: claimed.message_type.clone(),
                dry_run: claimed.dry_run,
                expires_at: claimed.expires_at,
            };
            let watch = Stopwatch::start();
            let verdict = sender.send(&push).await;
            Answered { claimed, verdict, seconds: watch.seconds() }
        });
    }

    async fn heard(
        &mut self,
        running: &mut Running,
        answered: Result<Answered, tokio::task::JoinError>,
    ) {
        let Ok(Answered { claimed, verdict, seconds }) = answered else {
            // Its wake-up comes back when the lease ends.
            tracing::error!(set = %self.settings.set, "a sending task ended without an answer");
            return;
        };
        running.held.remove(&claimed.id);
        let set = || self.settings.set.to_string();
        let Verdict { outcome, reason } = verdict;
        counter!(DELIVERIES, "set" => set(), "outcome" => outcome.as_str(), "reason" => reason.0)
            .increment(1);
        histogram!(DELIVERY_DURATION, "set" => set()).record(seconds);
        let now = self.clock.now();
        let paused_until = running.governor.heard(now, outcome, &mut self.rng);
        match outcome {
            Outcome::ConfigError | Outcome::RefreshCredential => {
                gauge!(CONFIG_ERROR, "set" => set()).set(1.0);
            }
            Outcome::Accepted => gauge!(CONFIG_ERROR, "set" => set()).set(0.0),
            _ => {}
        }
        if let Some(until) = paused_until {
            let seconds = until.since(now).as_s();
            tracing::warn!(set = %self.settings.set, outcome = outcome.as_str(), reason = reason.0, seconds, "paused");
        }
        if outcome == Outcome::PayloadError {
            tracing::error!(set = %self.settings.set, reason = reason.0, "the provider refuses a message of ours");
        }
        let settlement = self.settlement(&claimed, outcome, now);
        let pause = paused_until.map(ToSettle::Pause);
        for each in [Some(ToSettle::Wakeup(settlement)), pause].into_iter().flatten() {
            if running.to_settler.send(each).await.is_err() {
                tracing::error!(set = %self.settings.set, "the settler is gone");
            }
        }
    }

    fn settlement(&mut self, claimed: &Claimed, outcome: Outcome, now: Timestamp) -> Settlement {
        let attempt =
            Attempt { number: claimed.attempts.saturating_add(1), now, dry_run: claimed.dry_run };
        let end = match after(outcome, attempt, &self.settings.governor.retry, &mut self.rng) {
            After::Settle(how) => End::Settled(how),
            After::Dead(proof) => End::Dead(proof),
            After::Retry { due_at } => End::Retry(due_at),
        };
        Settlement { id: claimed.id, lease: claimed.lease, device: claimed.device, end }
    }

    /// At a stop: waits a while for what is in flight, then gives the rest back.
    async fn drain(&mut self, mut running: Running) {
        let draining = async {
            while let Some(answered) = running.in_flight.join_next().await {
                self.heard(&mut running, answered).await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX.to_std(), draining).await.is_err() {
            tracing::warn!(set = %self.settings.set, count = running.held.len(), "pushes without an answer are given back");
        }
        for settlement in std::mem::take(&mut running.held).into_values() {
            if running.to_settler.send(ToSettle::Wakeup(settlement)).await.is_err() {
                return;
            }
        }
    }

    fn gauges(&self, running: &Running) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let in_flight = running.in_flight.len() as f64;
        gauge!(DELIVERIES_IN_FLIGHT, "set" => self.settings.set.to_string()).set(in_flight);
        let paused = running.governor.paused_until(self.clock.now()).is_some();
        gauge!(PAUSED, "set" => self.settings.set.to_string()).set(f64::from(u8::from(paused)));
    }
}

/// Waits for a moment; without one, for ever.
async fn sleep_until(clock: &dyn Clock, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
