//! Delivers the wake-ups of one credential set: claims what the governor allows, sends, hands what it came to to the settler.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use metrics::{counter, gauge, histogram};
use reveille_mixer::{
    After, Allowance, Attempt, DropGuard, DropGuardSettings, Governor, GovernorSettings,
    RetrySettings, after,
};
use reveille_model::limits::CLAIM_MAX;
use reveille_model::{
    CredentialSet, Duration, LeaseId, Outcome, Reach, Rng, Timestamp, Topic, Verdict, WakeupId,
};
use reveille_providers::{Push, Sender};
use reveille_service::clock::{Clock, Stopwatch};
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Claim, Claimed, Destination, End, Settlement, Store, Suspicion};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::lanes::Lanes;
use super::settler::{Settler, ToSettle};
use crate::metrics::{
    CONFIG_ERROR, DELIVERIES, DELIVERIES_IN_FLIGHT, DELIVERY_DURATION, DROP_GUARD, PACE, PAUSED,
};

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
    /// The topics its credentials cover (APNs only).
    pub topics: Vec<Topic>,
    /// Its bounds and pauses.
    pub governor: GovernorSettings,
    /// The bounds and pauses of each of its scopes, where it has some.
    pub per_scope: Option<GovernorSettings>,
    /// Its delays.
    pub retry: RetrySettings,
}

/// What a worker is made of besides its settings and sender.
pub struct DeliveryParts {
    /// Where wake-ups are.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Draws jitter and leases.
    pub rng: Rng,
    /// Told the end of each released window.
    pub released: watch::Receiver<Timestamp>,
    /// Makes the ids that pushes carry.
    pub push_ids: hmac::Key,
    /// When deaths are believed.
    pub drop_guard: DropGuardSettings,
    /// How long a quarantined device is left alone.
    pub hold: Duration,
    /// Who is told of deaths.
    pub tell: Vec<Destination>,
    /// Told when there are deaths to tell.
    pub deaths: watch::Sender<()>,
}

impl std::fmt::Debug for DeliveryParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeliveryParts").finish_non_exhaustive()
    }
}

/// The delivery task of one credential set.
pub struct Delivery {
    parts: DeliveryParts,
    sender: Arc<dyn Sender>,
    settings: DeliverySettings,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One push, answered.
struct Answered {
    claimed: Claimed,
    scope: String,
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
    lanes: Lanes,
    guard: DropGuard,
    /// Whether the guard was tripped when it was last asked, and in which second that was.
    is_tripped: bool,
    looked_at_s: i64,
    in_flight: JoinSet<Answered>,
    /// What in flight is to be given back at a stop.
    held: BTreeMap<WakeupId, Settlement>,
    to_settler: mpsc::Sender<ToSettle>,
    /// Told when wake-ups went back to waiting.
    returned: watch::Receiver<()>,
}

impl Delivery {
    /// A worker.
    pub fn new(parts: DeliveryParts, sender: Arc<dyn Sender>, settings: DeliverySettings) -> Self {
        Self { parts, sender, settings }
    }

    /// Runs until the lifecycle stops and what was in flight is settled or given back.
    pub async fn run(mut self, lifecycle: Lifecycle) {
        let (to_settler, queue) = mpsc::channel(SETTLE_QUEUE_MAX);
        let (tell_returned, returned) = watch::channel(());
        let settler = Settler {
            store: Arc::clone(&self.parts.store),
            clock: Arc::clone(&self.parts.clock),
            set: self.settings.set.clone(),
            hold: self.parts.hold,
            tell: self.parts.tell.clone(),
            queue,
            returned: tell_returned,
            deaths: self.parts.deaths.clone(),
        };
        let settling = settler.run();
        let delivering = async {
            let paused_until =
                self.parts.store.paused_until(&self.settings.set).await.unwrap_or_default();
            let governor = Governor::new(self.settings.governor, paused_until);
            let mut running = Running {
                governor,
                lanes: Lanes::new(self.settings.per_scope),
                guard: DropGuard::new(self.parts.drop_guard),
                is_tripped: false,
                looked_at_s: 0,
                in_flight: JoinSet::new(),
                held: BTreeMap::new(),
                to_settler,
                returned,
            };
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
                Ok(()) = self.parts.released.changed(), if !is_paused => next = Next::Look,
                Ok(()) = running.returned.changed(), if !is_paused => next = Next::Look,
                () = sleep_until(&*self.parts.clock, moment) => next = Next::Look,
            }
        }
    }

    /// Claims what may be sent now and sends it.
    async fn claim_and_send(&mut self, running: &mut Running) -> Next {
        let now = self.parts.clock.now();
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
            lease: LeaseId::from_random(self.parts.rng.next_u64()),
            lease_until: now.plus(LEASE),
            limit: room,
            hold: self.parts.hold,
        };
        let claimed = match self.parts.store.claim(claim).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, set = %self.settings.set, "nothing can be claimed; trying again");
                return Next::Paused(now.plus(STORE_RETRY));
            }
        };
        let there_may_be_more = !claimed.is_empty();
        running.governor.sent(claimed.len());
        for each in claimed {
            self.send(running, each, now).await;
        }
        // Some of what was due may have been settled by the claim itself: only an empty claim says that nothing is left.
        if there_may_be_more { Next::Answer } else { self.idle(now).await }
    }

    /// Nothing more is due: until when?
    async fn idle(&self, now: Timestamp) -> Next {
        match self.parts.store.next_due(&self.settings.set).await {
            Ok(next_due) => Next::Due(next_due.map(|due| due.max(now.plus(LOOK_AGAIN)))),
            Err(error) => {
                tracing::error!(%error, set = %self.settings.set, "the outbox cannot be read; trying again");
                Next::Paused(now.plus(STORE_RETRY))
            }
        }
    }

    /// Sends one push, or puts it off where its scope has no room.
    async fn send(&self, running: &mut Running, claimed: Claimed, now: Timestamp) {
        let Claimed { id, lease, device, .. } = claimed;
        let back =
            |until| Settlement { id, lease, device, end: End::Postpone(until), strike: None };
        let push = Push {
            token: claimed.token.clone(),
            topic: claimed.topic.clone(),
            message_type: claimed.message_type.clone(),
            dry_run: claimed.dry_run,
            expires_at: claimed.expires_at,
            id: self.push_id(&claimed),
        };
        let scope = self.sender.scope(&push);
        if let Err(until) = running.lanes.enter(now, &scope) {
            return self.hand_over(running, ToSettle::Wakeup(back(until))).await;
        }
        running.held.insert(id, back(now));
        let sender = Arc::clone(&self.sender);
        running.in_flight.spawn(async move {
            let watch = Stopwatch::start();
            let verdict = sender.send(&push).await;
            Answered { claimed, scope, verdict, seconds: watch.seconds() }
        });
    }

    /// Names a push outside: the same for every attempt, and saying nothing of when it was made.
    fn push_id(&self, claimed: &Claimed) -> [u8; 16] {
        let mut of = hmac::Context::with_key(&self.parts.push_ids);
        of.update(&claimed.id.0.to_be_bytes());
        of.update(&claimed.sort_key.to_be_bytes());
        of.update(&claimed.window_end.as_ms().to_be_bytes());
        of.sign().as_ref().first_chunk::<16>().copied().unwrap_or_default()
    }

    async fn hand_over(&self, running: &Running, what: ToSettle) {
        if running.to_settler.send(what).await.is_err() {
            tracing::error!(set = %self.settings.set, "the settler is gone");
        }
    }

    async fn heard(
        &mut self,
        running: &mut Running,
        answered: Result<Answered, tokio::task::JoinError>,
    ) {
        let Ok(Answered { claimed, scope, verdict, seconds }) = answered else {
            // Its wake-up comes back when the lease ends.
            tracing::error!(set = %self.settings.set, "a sending task ended without an answer");
            return;
        };
        running.held.remove(&claimed.id);
        running.lanes.leave(&scope);
        let now = self.parts.clock.now();
        running.guard.heard(now, &scope, verdict.outcome);
        let paused_until = self.govern(running, &scope, verdict, now);
        self.report(verdict, seconds, paused_until.map(|until| until.since(now)));
        let is_trusted = running.guard.is_trusted(now, &scope);
        let settlement = self.settlement(&claimed, verdict, (now, is_trusted));
        self.hand_over(running, ToSettle::Wakeup(settlement)).await;
        if let Some(until) = paused_until.filter(|_| verdict.reach == Reach::Set) {
            self.hand_over(running, ToSettle::Pause(until)).await;
        }
    }

    /// Tells the set's governor, or the scope's. Returns the end of the pause that begins.
    fn govern(
        &mut self,
        running: &mut Running,
        scope: &str,
        verdict: Verdict,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (outcome, rng) = (verdict.outcome, &mut self.parts.rng);
        let is_good = matches!(
            outcome,
            Outcome::Accepted | Outcome::DropSubscription(_) | Outcome::PayloadError
        );
        match verdict.reach {
            Reach::Set => {
                if is_good {
                    running.lanes.heard(now, (scope, outcome), rng);
                }
                running.governor.heard(now, outcome, rng)
            }
            Reach::Scope => running.lanes.heard(now, (scope, outcome), rng),
        }
    }

    fn report(&self, verdict: Verdict, seconds: f64, pause: Option<Duration>) {
        let set = || self.settings.set.to_string();
        let Verdict { outcome, reason, .. } = verdict;
        counter!(DELIVERIES, "set" => set(), "outcome" => outcome.as_str(), "reason" => reason.0)
            .increment(1);
        histogram!(DELIVERY_DURATION, "set" => set()).record(seconds);
        match outcome {
            Outcome::ConfigError | Outcome::RefreshCredential => {
                gauge!(CONFIG_ERROR, "set" => set()).set(1.0);
            }
            Outcome::Accepted => gauge!(CONFIG_ERROR, "set" => set()).set(0.0),
            _ => {}
        }
        if let Some(pause) = pause {
            let whole_set = verdict.reach == Reach::Set;
            tracing::warn!(set = %self.settings.set, outcome = outcome.as_str(), reason = reason.0, seconds = pause.as_s(), whole_set, "paused");
        }
        if outcome == Outcome::PayloadError {
            tracing::error!(set = %self.settings.set, reason = reason.0, "the provider refuses a message of ours");
        }
    }

    fn settlement(
        &mut self,
        claimed: &Claimed,
        verdict: Verdict,
        (now, is_trusted): (Timestamp, bool),
    ) -> Settlement {
        let Claimed { id, lease, device, dry_run, .. } = *claimed;
        let attempt = Attempt { number: claimed.attempts.saturating_add(1), now, dry_run };
        let reason = verdict.reason;
        let end = match after(verdict.outcome, attempt, &self.settings.retry, &mut self.parts.rng) {
            After::Settle(how) => End::Settled(how),
            After::Dead(proof) => End::Dead(proof, reason),
            After::Suspect => End::Suspected(Suspicion { reason, is_trusted }),
            After::Retry { due_at } => End::Retry(due_at),
        };
        let strike = verdict.strike.map(|strike| (strike, reason));
        Settlement { id, lease, device, end, strike }
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

    fn gauges(&self, running: &mut Running) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let in_flight = running.in_flight.len() as f64;
        gauge!(DELIVERIES_IN_FLIGHT, "set" => self.settings.set.to_string()).set(in_flight);
        let (set, now) = (|| self.settings.set.to_string(), self.parts.clock.now());
        let paused = running.governor.paused_until(now).is_some();
        gauge!(PAUSED, "set" => set()).set(f64::from(u8::from(paused)));
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!(PACE, "set" => set()).set(running.governor.pace() as f64);
        if running.looked_at_s == now.as_s() {
            return;
        }
        running.looked_at_s = now.as_s();
        let is_tripped = running.guard.is_any_tripped(now);
        if is_tripped != running.is_tripped {
            running.is_tripped = is_tripped;
            if is_tripped {
                tracing::error!(set = %self.settings.set, "too many devices look dead at once: is a topic, key, project or environment of ours wrong? Guarded verdicts are held in quarantine (`reveille quarantine list`)");
            } else {
                tracing::warn!(set = %self.settings.set, "devices no longer look dead by the dozen");
            }
        }
        gauge!(DROP_GUARD, "set" => set()).set(f64::from(u8::from(is_tripped)));
    }
}

/// Waits for a moment; without one, for ever.
async fn sleep_until(clock: &dyn Clock, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
