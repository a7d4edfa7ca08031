//! Delivers the wake-ups of one credential set: claims what the governor allows, sends, hands what it came to to the settler.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use reveille_mixer::{
    Allowance, DropGuard, DropGuardSettings, Governor, GovernorSettings, RetrySettings,
};
use reveille_model::limits::CLAIM_MAX;
use reveille_model::{
    CredentialSet, Duration, LeaseId, Outcome, Providers, Reach, Reason, Rng, Timestamp, Topic,
    Verdict, WakeupId, retry_after,
};
use reveille_providers::{Push, Sender};
use reveille_service::clock::{Clock, Stopwatch};
use reveille_service::lifecycle::Lifecycle;
use reveille_service::traces::Traces;
use reveille_store::{Claim, Claimed, Destination, Settlement, Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::claiming::{Claiming, claimed, claiming};
use super::report::Report;
use super::scopes::Scopes;
use super::settlement::{Trust, settlement};
use super::settler::{Settler, ToSettle, postponed};
use crate::board::Board;

/// In which a quarter of what the pace allows in a second is earned: a claim is worth its while then.
const WORTHWHILE: Duration = Duration::from_ms(250);
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
    /// Where an operator has halted delivery.
    pub halted: watch::Receiver<Providers>,
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
    /// Where it writes what it sees.
    pub(crate) board: Arc<Board>,
    /// Of claims, settlements and what is sent together.
    pub traces: Traces,
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
    /// How often credentials had been renewed when it was sent.
    renewal: u64,
    scope: String,
    verdict: Verdict,
    seconds: f64,
}

/// What the worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing: look for what is due.
    Look,
    /// What is being claimed. Answers are heard meanwhile.
    Claimed,
    /// An answer: enough is in flight. Or a moment, by which more may be sent although none has come.
    Answer(Timestamp),
    /// The moment at which something is due, if any; or that something becomes due earlier.
    Due(Option<Timestamp>),
    /// The end of a pause.
    Paused(Timestamp),
    /// An operator's word.
    Halted,
}

/// What only the running worker has.
struct Running {
    claiming: Option<Claiming>,
    governor: Governor,
    scopes: Scopes,
    guard: DropGuard,
    report: Report,
    in_flight: JoinSet<Answered>,
    /// What in flight is to be given back at a stop.
    held: BTreeMap<WakeupId, Settlement>,
    to_settler: mpsc::Sender<ToSettle>,
    /// Told when credentials are renewed.
    renewals: watch::Receiver<u64>,
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
            board: Arc::clone(&self.parts.board),
            traces: self.parts.traces.clone(),
        };
        let settling = settler.run();
        let delivering = async {
            let paused_until =
                self.parts.store.paused_until(&self.settings.set).await.unwrap_or_default();
            // A pause that a clock which ran ahead has written would last for ever.
            let latest = retry_after(self.parts.clock.now(), u64::MAX);
            let paused_until = paused_until.map(|until| until.min(latest));
            let governor = Governor::new(self.settings.governor, paused_until);
            let mut running = Running {
                claiming: None,
                governor,
                scopes: Scopes::new(self.settings.per_scope),
                guard: DropGuard::new(self.parts.drop_guard),
                report: Report::new(
                    self.settings.set.clone(),
                    (self.parts.traces.clone(), &self.parts.board),
                ),
                in_flight: JoinSet::new(),
                held: BTreeMap::new(),
                to_settler,
                renewals: self.sender.renewals(),
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
                next = self.claim(running);
            }
            self.show(running);
            let moment = match next {
                Next::Due(moment) => moment,
                Next::Paused(until) | Next::Answer(until) => Some(until),
                Next::Look | Next::Claimed | Next::Halted => None,
            };
            let may_look = matches!(next, Next::Answer(_) | Next::Due(_));
            tokio::select! {
                biased;
                () = lifecycle.stopping() => return,
                claimed = claimed(&mut running.claiming) => next = self.send_all(running, claimed).await,
                Some(answered) = running.in_flight.join_next() => {
                    self.heard(running, answered).await;
                    // As many as are there, so that claims and settlements come in groups.
                    while let Some(answered) = running.in_flight.try_join_next() {
                        self.heard(running, answered).await;
                    }
                    if matches!(next, Next::Answer(_)) {
                        next = Next::Look;
                    }
                }
                Ok(()) = self.parts.halted.changed(), if next != Next::Claimed => next = Next::Look,
                Ok(()) = running.renewals.changed(), if next != Next::Claimed => next = self.renewed(running).await,
                Ok(()) = self.parts.released.changed(), if may_look => next = Next::Look,
                Ok(()) = running.returned.changed(), if may_look => next = Next::Look,
                () = sleep_until(&*self.parts.clock, moment) => next = Next::Look,
            }
        }
    }

    /// Begins to claim what may be sent now.
    fn claim(&mut self, running: &mut Running) -> Next {
        if self.is_halted() {
            return Next::Halted;
        }
        let now = self.parts.clock.now();
        let in_flight = running.in_flight.len();
        let room = match running.governor.allowance(now, in_flight) {
            Allowance::Paused(until) | Allowance::Paced(until) => return Next::Paused(until),
            Allowance::Send(room) => room.min(CLAIM_MAX),
        };
        // A claim is a transaction: not for every place that becomes free, but for a good part of them.
        let a_second = usize::try_from(running.governor.pace() / 60).unwrap_or(usize::MAX);
        let worthwhile = self.settings.governor.in_flight_max.min(CLAIM_MAX).min(a_second) / 4;
        if in_flight > 0 && room < worthwhile.max(1) {
            // Not for as long as it takes: one that never comes would hold up what the pace allows meanwhile.
            return Next::Answer(now.plus(WORTHWHILE));
        }
        let claim = Claim {
            set: self.settings.set.clone(),
            now,
            lease: LeaseId::from_random(self.parts.rng.next_u64()),
            lease_until: now.plus(LEASE),
            limit: room,
            hold: self.parts.hold,
        };
        running.claiming = Some(claiming(&self.parts.store, claim, &self.parts.traces));
        Next::Claimed
    }

    /// Sends what was claimed, or gives it back where a pause has begun meanwhile.
    async fn send_all(
        &mut self,
        running: &mut Running,
        claimed: Result<Vec<Claimed>, StoreError>,
    ) -> Next {
        let now = self.parts.clock.now();
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, set = %self.settings.set, "nothing can be claimed; trying again");
                return Next::Paused(now.plus(STORE_RETRY));
            }
        };
        // Some of what was due may have been settled by the claim itself: only an empty claim says that nothing is left.
        if claimed.is_empty() {
            return self.idle(now).await;
        }
        if self.is_halted() {
            self.give_back(&running.to_settler, claimed, now).await;
            return Next::Halted;
        }
        if let Some(until) = running.governor.paused_until(now) {
            self.give_back(&running.to_settler, claimed, until).await;
            return Next::Paused(until);
        }
        let in_flight = running.in_flight.len();
        for each in claimed {
            self.send(running, each, now).await;
        }
        running.governor.sent(running.in_flight.len().saturating_sub(in_flight));
        // Answers that came meanwhile may have left room.
        Next::Look
    }

    fn is_halted(&self) -> bool {
        self.parts.halted.borrow().contains(self.settings.set.provider())
    }

    async fn give_back(
        &self,
        to_settler: &mpsc::Sender<ToSettle>,
        claimed: Vec<Claimed>,
        until: Timestamp,
    ) {
        for each in &claimed {
            self.hand_over(to_settler, ToSettle::Wakeup(postponed(each, until))).await;
        }
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
        let push = Push {
            token: claimed.token.clone(),
            topic: claimed.topic.clone(),
            message_type: claimed.message_type.clone(),
            nonce: claimed.nonce,
            dry_run: claimed.dry_run,
            expires_at: claimed.expires_at,
            id: self.push_id(&claimed),
        };
        let scope = self.sender.scope(&push);
        if let Err(until) = running.scopes.enter(now, &scope) {
            return self
                .hand_over(&running.to_settler, ToSettle::Wakeup(postponed(&claimed, until)))
                .await;
        }
        running.report.leaves(&claimed, now);
        running.held.insert(claimed.id, postponed(&claimed, now));
        let (sender, renewal) = (Arc::clone(&self.sender), *running.renewals.borrow());
        running.in_flight.spawn(async move {
            let watch = Stopwatch::start();
            let verdict = sender.send(&push).await;
            Answered { claimed, renewal, scope, verdict, seconds: watch.seconds() }
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

    async fn hand_over(&self, to_settler: &mpsc::Sender<ToSettle>, what: ToSettle) {
        if to_settler.send(what).await.is_err() {
            tracing::error!(set = %self.settings.set, "the settler is gone");
        }
    }

    async fn heard(
        &mut self,
        running: &mut Running,
        answered: Result<Answered, tokio::task::JoinError>,
    ) {
        let Ok(Answered { claimed, renewal, scope, verdict, seconds }) = answered else {
            // Its wake-up comes back when the lease ends.
            tracing::error!(set = %self.settings.set, "a sending task ended without an answer");
            return;
        };
        running.held.remove(&claimed.id);
        running.scopes.leave(&scope);
        let now = self.parts.clock.now();
        if verdict.outcome.is_refusal() && renewal != *running.renewals.borrow() {
            // Other credentials are there by now, and it was not tried with them.
            running.report.answered(verdict, (seconds, now));
            let again = ToSettle::Wakeup(postponed(&claimed, now));
            return self.hand_over(&running.to_settler, again).await;
        }
        // What never left says nothing about the provider.
        let is_heard = verdict.reason != Reason::DRY_RUN;
        let mut paused_until = None;
        if is_heard {
            // Whom a proof is asked of was named by somebody who may have invented them.
            if claimed.nonce.is_none() {
                running.guard.heard(now, &scope, verdict.outcome);
            }
            paused_until = self.govern(running, &scope, verdict, now);
            running.report.heard(&scope, verdict);
            if let Some(device) = claimed.device.filter(|_| claimed.nonce.is_none()) {
                self.parts.board.heard(device.subscription, verdict);
            }
        }
        running.report.answered(verdict, (seconds, now));
        running.report.complain((&scope, verdict), (now, paused_until));
        let trust = Trust {
            in_scope: running.guard.is_trusted(now, &scope),
            anywhere: running.guard.is_trusted_anywhere(now),
        };
        let (retry, rng) = (&self.settings.retry, &mut self.parts.rng);
        let settlement = settlement(&claimed, verdict, (now, trust), (retry, rng));
        self.hand_over(&running.to_settler, ToSettle::Wakeup(settlement)).await;
        if let Some(until) = paused_until.filter(|_| verdict.reach == Reach::Set) {
            self.hand_over(&running.to_settler, ToSettle::Pause(until)).await;
        }
    }

    /// Goes on with other credentials: what those before were refused for is over, and nothing that they were told vouches for these.
    async fn renewed(&self, running: &mut Running) -> Next {
        let now = self.parts.clock.now();
        running.guard = DropGuard::new(self.parts.drop_guard);
        running.scopes.mended(now);
        if running.governor.mended(now) {
            tracing::info!(set = %self.settings.set, "the pause ends: we were refused, and have other credentials now");
            self.hand_over(&running.to_settler, ToSettle::Pause(now)).await;
        }
        Next::Look
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
        if is_good {
            running.scopes.heard(now, (scope, outcome), rng);
            return running.governor.heard(now, outcome, rng);
        }
        match verdict.reach {
            Reach::Scope if running.scopes.are_governed() => {
                running.scopes.heard(now, (scope, outcome), rng)
            }
            Reach::Scope | Reach::Set => running.governor.heard(now, outcome, rng),
        }
    }

    fn show(&self, running: &mut Running) {
        let now = self.parts.clock.now();
        let Running { report, governor, scopes, guard, in_flight, .. } = running;
        report.gauges(now, in_flight.len(), governor);
        report.troubles(now, scopes, guard);
    }

    /// At a stop: waits a while for what is in flight, then gives the rest back.
    async fn drain(&mut self, mut running: Running) {
        if running.claiming.is_some()
            && let Ok(claimed) = claimed(&mut running.claiming).await
        {
            self.give_back(&running.to_settler, claimed, self.parts.clock.now()).await;
        }
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
}

/// Waits for a moment; without one, for ever.
async fn sleep_until(clock: &dyn Clock, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
